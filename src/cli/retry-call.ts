import { sleep } from "../lib/abort.ts";
import { Backoff } from "../lib/backoff.ts";
import type { CommandCall } from "./command.ts";
import { transient } from "./transient.ts";

/**
 * Makes a call until it is answered. Rejects with the last error when the time, milliseconds, is over, or at once with
 * what trying again does not mend. The first failure is told, with what is done about it.
 */
export async function retryCall<T>(
  call: (leftMs: number) => Promise<T>,
  { say, timeoutMs, remedy }: Pick<CommandCall, "say"> & { timeoutMs: number; remedy: string },
): Promise<T> {
  const end = performance.now() + timeoutMs;
  const backoff = new Backoff({ firstMs: 200, longestMs: 5_000 });
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call(Math.max(1, Math.ceil(end - performance.now()))); // gRPC knows whole milliseconds
    } catch (thrown) {
      const passing = transient(thrown);
      if (!passing) throw thrown;
      const pauseMs = Math.max(passing.afterMs, backoff.next());
      if (performance.now() + pauseMs >= end) throw thrown;
      if (attempt === 1) say(`${passing.error.rawMessage}; ${remedy}`);
      await sleep(pauseMs, new AbortController().signal);
    }
  }
}
