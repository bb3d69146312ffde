import { fork } from "node:child_process";
import { join } from "node:path";
import type { SeedOptions, SeedResult } from "./run-seed.ts";

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
    using worker = new Worker();
    for (let seed = left.shift(); seed !== undefined; seed = left.shift()) {
      const result = await worker.run({ ...options, seed });
      results.push(result);
      done(result);
    }
  };
  await Promise.all(Array.from({ length: Math.min(parallel, seeds.length) }, work));
  return results;
}

class Worker implements Disposable {
  readonly #process = fork(join(import.meta.dirname, "seed-worker.ts"));

  async run(options: SeedOptions): Promise<SeedResult> {
    return await new Promise((resolve, reject) => {
      const ended = (): void => reject(new Error(`the worker ended in the run of seed ${options.seed}`));
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
