/** Growing waits between attempts, with jitter so that several processes do not knock together. */
export class Backoff {
  readonly #firstMs: number;
  readonly #longestMs: number;
  #failures = 0;

  constructor({ firstMs, longestMs }: { firstMs: number; longestMs: number }) {
    this.#firstMs = firstMs;
    this.#longestMs = longestMs;
  }

  /** Milliseconds to wait before the next attempt. */
  next(): number {
    const ms = Math.min(this.#longestMs, this.#firstMs * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    return ms * (0.75 + Math.random() / 4);
  }

  reset(): void {
    this.#failures = 0;
  }
}
