import { setTimeout as delay } from "node:timers/promises";

export interface EventuallyOptions {
  timeoutMs?: number;
  everyMs?: number;
  what?: string;
}

/** Asks until the answer satisfies, and returns it. Fails with the last answer (or error) after the time. */
export async function eventually<T>(
  ask: () => T | Promise<T>,
  satisfies: (value: T) => boolean = Boolean,
  options: EventuallyOptions = {},
): Promise<T> {
  const { timeoutMs = 10_000, everyMs = 10, what = "the condition" } = options;
  const end = performance.now() + timeoutMs;
  for (;;) {
    let last: unknown;
    try {
      const value = await ask();
      if (satisfies(value)) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) {
      throw new Error(`${what} did not hold within ${timeoutMs} ms; last: ${show(last)}`, { cause: last });
    }
    await delay(everyMs);
  }
}

function show(value: unknown): string {
  if (value instanceof Error) return String(value);
  return JSON.stringify(value, (_, part: unknown) => (typeof part === "bigint" ? `${part}` : part)) ?? String(value);
}
