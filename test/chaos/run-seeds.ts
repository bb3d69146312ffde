import { fork } from "node:child_process";
import { join } from "node:path";
import { brokenOff, type SeedOptions, type SeedResult } from "./run-seed.ts";

export interface SeedsOptions extends Omit<SeedOptions, "seed" | "happened"> {
  seeds: readonly number[];
  /** How many runs at once, each on databases of its own. */
  parallel: number;
  /** Gets each result as it comes. */
  done: (result: SeedResult) => void;
}

/** Many runs in worker processes. Resolves with all results when the last one is there. */
export async function runSeeds({ seeds, parallel, done, ...options }: SeedsOptions): Promise<SeedResult[]> {
  const left = [...seeds];
  const results: SeedResult[] = [];
  const work = async (): Promise<void> => {
    let worker: Worker | undefined;
    for (let seed = left.shift(); seed !== undefined; seed = left.shift()) {
      worker = worker?.alive ? worker : new Worker();
      const result = await worker.run({ ...options, seed });
      results.push(result);
      done(result);
    }
    worker?.[Symbol.dispose]();
  };
  await Promise.all(Array.from({ length: Math.min(parallel, seeds.length) }, work));
  return results;
}

class Worker implements Disposable {
  readonly #process = fork(join(import.meta.dirname, "seed-worker.ts"));

  get alive(): boolean {
    return this.#process.connected;
  }

  /** A worker that ends in the middle is a run that broke off; the history has what happened until then. */
  async run(options: SeedOptions): Promise<SeedResult> {
    return await new Promise((resolve) => {
      const ended = (): void => resolve(brokenOff(options, "its process ended"));
      this.#process.once("exit", ended);
      this.#process.once("message", (result: SeedResult) => {
        this.#process.off("exit", ended);
        resolve(result);
      });
      this.#process.send(options);
    });
  }

  [Symbol.dispose](): void {
    if (this.#process.connected) this.#process.disconnect();
  }
}
