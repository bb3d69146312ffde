import { type ChildProcess, spawn } from "node:child_process";
import { type FileHandle, open } from "node:fs/promises";
import { releaseChild, watchChild } from "./janitor.ts";

export interface ChildOptions {
  command: string;
  args: readonly string[];
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** User to run as, when this process is root. */
  user?: { uid: number; gid: number };
  /** File that stderr is appended to. */
  log: string;
  /** Gets stdout; without it stdout goes to the log too. */
  onOutput?: (text: string) => void;
}

/** A process that does not outlive this one, gets no Ctrl-C of its terminal, and inherits none of its streams. */
export class Child {
  readonly pid: number;
  readonly exited: Promise<void>;
  readonly #process: ChildProcess;
  #running = true;
  #endedBy: NodeJS.Signals | undefined;

  private constructor(process: ChildProcess, pid: number) {
    this.#process = process;
    this.pid = pid;
    this.exited = new Promise((resolve) => {
      process.once("exit", (_, signal) => {
        this.#running = false;
        this.#endedBy = signal ?? undefined;
        releaseChild(pid);
        resolve();
      });
    });
  }

  static async start(options: ChildOptions): Promise<Child> {
    const log: FileHandle = await open(options.log, "a");
    try {
      const process = spawn(options.command, options.args, {
        stdio: ["ignore", options.onOutput ? "pipe" : log.fd, log.fd],
        detached: true,
        ...(options.env && { env: options.env }),
        ...(options.cwd && { cwd: options.cwd }),
        ...options.user,
      });
      if (options.onOutput) process.stdout?.setEncoding("utf8").on("data", options.onOutput);
      await new Promise((resolve, reject) => process.once("spawn", resolve).once("error", reject));
      const pid = process.pid ?? 0;
      watchChild(pid);
      return new Child(process, pid);
    } finally {
      await log.close();
    }
  }

  get running(): boolean {
    return this.#running;
  }

  /** The signal that ended it; undefined while it runs, or where it ended by itself. */
  get endedBy(): NodeJS.Signals | undefined {
    return this.#endedBy;
  }

  /** Sends the signal and resolves when the process has ended; after the time, milliseconds, it is killed. */
  async end(signal: NodeJS.Signals, killAfterMs = 15_000): Promise<void> {
    if (!this.#running) return;
    this.#process.kill(signal);
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), killAfterMs);
    await this.exited;
    clearTimeout(timer);
  }

  signal(signal: NodeJS.Signals): void {
    if (this.#running) this.#process.kill(signal);
  }
}
