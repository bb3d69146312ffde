import { createWriteStream, type WriteStream } from "node:fs";
import { join } from "node:path";
import { Child } from "./child.ts";
import { eventually } from "./eventually.ts";

export interface ApiServerOptions {
  /** The service's configuration, by its environment names. */
  env: Record<string, string>;
  /** File that the server's log goes to. */
  log: string;
  /** What Node runs. Default: the sources. */
  program?: string;
}

/** What one start has beyond the rest. */
export interface StartOptions {
  /** Modules that are loaded before the service, as with `node --import`. */
  imports?: readonly string[];
  /** More environment. */
  env?: Record<string, string>;
}

const projectRoot = join(import.meta.dirname, "..", "..");

/** An API server in a process of its own. It keeps its port when it is started again. */
export class ApiServer implements AsyncDisposable {
  readonly #options: ApiServerOptions;
  #child: Child | undefined;
  #log: WriteStream | undefined;
  #port = 0;
  /** The newest lines of the log, for errors. */
  #lines: string[] = [];

  constructor(options: ApiServerOptions) {
    this.#options = options;
  }

  /** host:port. */
  get grpc(): string {
    return `127.0.0.1:${this.#port}`;
  }

  get baseUrl(): string {
    return `http://${this.grpc}`;
  }

  /** Of the process that was started last. */
  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get running(): boolean {
    return this.#child?.running ?? false;
  }

  /** Resolves when the process has ended, with the signal that ended it; undefined where it ended by itself. */
  get ended(): Promise<NodeJS.Signals | undefined> {
    const child = this.#child;
    return child ? child.exited.then(() => child.endedBy) : Promise.resolve(undefined);
  }

  /** Resolves when the server says that it listens. The options hold for this start alone. */
  async start(options: StartOptions = {}): Promise<void> {
    if (this.running) throw new Error(`the server on port ${this.#port} is running`);
    const { env, log, program = "src/cli.ts" } = this.#options;
    const file = createWriteStream(log, { flags: "a" });
    this.#log = file;
    let listening: (port: number) => void = () => {};
    const port = new Promise<number>((resolve) => {
      listening = resolve;
    });
    let rest = "";
    const child = await Child.start({
      command: process.execPath,
      args: [...(options.imports ?? []).flatMap((module) => ["--import", module]), program, "serve"],
      cwd: projectRoot,
      env: { ...inheritedEnv(), ...env, ...options.env, LISTEN_ADDRESS: `127.0.0.1:${this.#port}` },
      log,
      onOutput: (text) => {
        file.write(text);
        const lines = (rest + text).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) {
          this.#lines = [...this.#lines.slice(-40), line];
          const listened = listeningPort(line);
          if (listened !== undefined) listening(listened);
        }
      },
    });
    this.#child = child;
    const started = await Promise.race([port, child.exited.then(() => undefined)]);
    if (started === undefined) throw new Error(`the server ended at its start, see ${log}:\n${this.#lines.join("\n")}`);
    this.#port = started;
  }

  /** Resolves when every service of the server can do its work. */
  async ready(): Promise<void> {
    await eventually(
      async () => (this.running ? await this.#health() : `ended: ${this.#lines.join("\n")}`),
      (health) => typeof health === "object" && Object.values(health.services).every(({ serving }) => serving),
      { timeoutMs: 30_000, everyMs: 20, what: `that the server on port ${this.#port} is ready` },
    );
  }

  /** SIGTERM: the server finishes what it has begun. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM");
  }

  /** kill -9. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Stops it where it is, without its clients noticing, until `thaw`. */
  freeze(): void {
    this.#child?.signal("SIGSTOP");
  }

  thaw(): void {
    this.#child?.signal("SIGCONT");
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #health(): Promise<{ services: Record<string, { serving: boolean }> }> {
    const response = await fetch(`${this.baseUrl}/healthz`, { headers: { connection: "close" } });
    return (await response.json()) as { services: Record<string, { serving: boolean }> };
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    this.thaw(); // a frozen process takes no SIGTERM
    await this.#child?.end(signal);
    this.#log?.end();
  }
}

function listeningPort(line: string): number | undefined {
  if (!line.includes('"listening"')) return undefined;
  const entry = JSON.parse(line) as { msg?: unknown; port?: unknown };
  return entry.msg === "listening" && typeof entry.port === "number" ? entry.port : undefined;
}

/** What a process needs from its surroundings; configuration of the service that lies around is not part of it. */
function inheritedEnv(): NodeJS.ProcessEnv {
  const { PATH, HOME, TMPDIR, LANG, NODE_OPTIONS, NODE_EXTRA_CA_CERTS } = process.env;
  const known = { PATH, HOME, TMPDIR, LANG, NODE_OPTIONS, NODE_EXTRA_CA_CERTS };
  return Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined));
}
