import { execFile, execFileSync } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const projectRoot = join(import.meta.dirname, "..", "..");

/** Why compose.yaml cannot be tried here; undefined where it can. TEST_DOCKER=1 says that it must be possible. */
export function noCompose(): string | undefined {
  if (process.env.TEST_DOCKER === "1") return undefined;
  const tried: [string[], string][] = [
    [["version", "--format", "{{.Server.Version}}"], "no Docker engine runs"],
    [["compose", "version"], "docker compose is not installed"],
  ];
  for (const [args, reason] of tried) {
    try {
      execFileSync("docker", args, { stdio: "ignore", timeout: 20_000 });
    } catch {
      return reason;
    }
  }
  return undefined;
}

/** The system of compose.yaml under a project name of its own, on ports of the engine's choice. */
export class Compose implements AsyncDisposable {
  readonly #project: string;
  readonly #env: NodeJS.ProcessEnv;

  constructor(project: string) {
    this.#project = project;
    this.#env = { ...process.env, OPSDB_IMAGE: project, COLOGNE_PORT: "0", CHILE_PORT: "0" };
  }

  /** `docker compose` with these arguments; what it said. */
  async do(...args: string[]): Promise<string> {
    return await this.docker("compose", "-p", this.#project, ...args);
  }

  async docker(...args: string[]): Promise<string> {
    const options = { cwd: projectRoot, env: this.#env, maxBuffer: 64 * 1024 * 1024, timeout: 600_000 };
    return (await run("docker", args, options)).stdout.trim();
  }

  container(service: string): string {
    return `${this.#project}-${service}-1`;
  }

  /** The published address of a service's port. */
  async baseUrl(service: string): Promise<string> {
    return `http://${await this.do("port", service, "8080")}`;
  }

  /** Nothing crosses the link from now on, and nobody is told. */
  async cutLink(): Promise<void> {
    await this.docker("network", "disconnect", `${this.#project}_link`, this.container("main-db"));
  }

  async healLink(): Promise<void> {
    const network = `${this.#project}_link`;
    await this.docker("network", "connect", "--alias", "main-db", network, this.container("main-db"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.do("down", "--volumes", "--timeout", "10");
    await this.docker("image", "rm", this.#project);
  }
}
