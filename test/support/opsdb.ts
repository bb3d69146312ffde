import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { vi } from "vitest";
import { runCommandLine } from "../../src/cli/run-command-line.ts";
import { eventually } from "./eventually.ts";

/** What the program said, and its exit code. */
export interface Said {
  code: number | null;
  out: string;
  err: string;
}

export interface OpsdbOptions {
  env?: Record<string, string>;
  /** What it reads from standard input. */
  input?: string;
}

export const projectRoot = join(import.meta.dirname, "..", "..");
/** How the program is called from the project's directory. */
export const opsdbCommand = [process.execPath, "src/cli.ts"] as const;

/** Runs the program opsdb in a process of its own until it ends. */
export async function runOpsdb(args: readonly string[], { env = {}, input = "" }: OpsdbOptions = {}): Promise<Said> {
  const child = spawnOpsdb(args, env);
  child.stdin.on("error", () => {}); // it need not read all of it
  child.stdin.end(input);
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  return { code: code as number | null, out, err };
}

/** The same in this process, for what says no more than a few lines: many runs of it take little time. */
export async function runHere(args: readonly string[], { env = {} }: Pick<OpsdbOptions, "env"> = {}): Promise<Said> {
  const said = { out: "", err: "" };
  const log = vi.spyOn(console, "log").mockImplementation((line: string) => {
    said.out += `${line}\n`;
  });
  const error = vi.spyOn(console, "error").mockImplementation((line: string) => {
    said.err += `${line}\n`;
  });
  try {
    const code = await runCommandLine(args, env);
    return { code, ...said };
  } finally {
    log.mockRestore();
    error.mockRestore();
  }
}

/** The program while it runs; it ends with this. */
export class RunningOpsdb implements AsyncDisposable {
  readonly child: ChildProcessWithoutNullStreams;
  out = "";
  err = "";
  readonly #closed: Promise<unknown[]>;

  /** `read` false: nobody reads its output until somebody does. */
  constructor(
    args: readonly string[],
    { env = {}, read = true }: { env?: Record<string, string>; read?: boolean } = {},
  ) {
    this.child = spawnOpsdb(args, env);
    this.#closed = once(this.child, "close");
    this.child.stdin.on("error", () => {});
    this.child.stderr.setEncoding("utf8").on("data", (said: string) => {
      this.err += said;
    });
    if (read)
      this.child.stdout.setEncoding("utf8").on("data", (said: string) => {
        this.out += said;
      });
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Resolves when it has said this, on standard output or error. */
  async says(pattern: RegExp, timeoutMs = 30_000): Promise<void> {
    await eventually(
      () => this.out + this.err,
      (said) => pattern.test(said),
      { timeoutMs, what: `that it says ${pattern}` },
    );
  }

  /** Resolves with the exit code, or the signal that ended it. */
  async ended(): Promise<number | NodeJS.Signals | null> {
    await this.#closed;
    return this.child.exitCode ?? this.child.signalCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill("SIGKILL");
    this.child.stdout.resume();
    await this.#closed;
  }
}

function spawnOpsdb(args: readonly string[], env: Record<string, string>): ChildProcessWithoutNullStreams {
  const [command, ...program] = opsdbCommand;
  return spawn(command, [...program, ...args], {
    cwd: projectRoot,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, TZ: "UTC", ...env },
  });
}
