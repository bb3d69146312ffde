import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { eventually } from "../support/eventually.ts";
import { cppBuild } from "./cpp-build.ts";

export interface Acknowledgement {
  /** The how-manieth write it is, from 0. */
  n: number;
  writeId: string;
  /** The id had been stored before: an answer was lost. */
  duplicate: boolean;
}

/** A process of the C++ client that makes as many writes as it is told to, one after the other. */
export class SampleWriter implements AsyncDisposable {
  readonly acknowledged: Acknowledgement[] = [];
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #ended: Promise<unknown>;
  #asked = 0;
  #complaint = "";

  /** `mark` goes into each row's column observer. */
  constructor(address: string, mark: string) {
    this.#process = spawn(join(cppBuild, "write-samples"), [address, mark], { stdio: ["pipe", "pipe", "pipe"] });
    this.#ended = once(this.#process, "exit");
    this.#process.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#complaint += text;
    });
    createInterface(this.#process.stdout).on("line", (line) => {
      const [n, writeId = "", how] = line.split(" ");
      this.acknowledged.push({ n: Number(n), writeId, duplicate: how === "duplicate" });
    });
  }

  /** Begins this many more writes. */
  begin(count: number): void {
    this.#asked += count;
    this.#process.stdin.write(`${count}\n`);
  }

  /** Resolves when this many writes more than now are acknowledged. */
  async further(count: number): Promise<void> {
    await this.#reached(this.acknowledged.length + count);
  }

  /** Resolves when all writes that were begun are acknowledged. */
  async all(): Promise<void> {
    await this.#reached(this.#asked);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.stdin.end();
    this.#process.kill();
    await this.#ended;
  }

  async #reached(count: number): Promise<void> {
    await eventually(
      () => {
        if (this.#process.exitCode !== null) return `ended: ${this.#complaint}`;
        return this.acknowledged.length;
      },
      (reached) => typeof reached === "number" && reached >= count,
      { timeoutMs: 120_000, what: `that ${count} writes are acknowledged` },
    );
  }
}
