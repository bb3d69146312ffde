import { aborted } from "./abort.ts";

/**
 * A value of which only the newest matters. Readers wait for the next change; a slow reader skips to the newest, so
 * nothing queues up.
 */
export class Latest<T> {
  #value: T;
  #version = 0;
  #waiting = new Set<() => void>();

  constructor(value: T) {
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  get version(): number {
    return this.#version;
  }

  set(value: T): void {
    this.#value = value;
    this.#version += 1;
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const wake of waiting) wake();
  }

  /** Resolves when the version differs from the given one; rejects with the signal's reason. */
  async changed(since: number, signal: AbortSignal): Promise<void> {
    while (this.#version === since) {
      let wake = (): void => {};
      const change = new Promise<void>((resolve) => {
        wake = resolve;
      });
      this.#waiting.add(wake);
      try {
        await aborted(signal, change);
      } finally {
        this.#waiting.delete(wake);
      }
    }
  }

  /** Resolves with the first value, present or later, that satisfies the predicate. */
  async until(predicate: (value: T) => boolean, signal: AbortSignal): Promise<T> {
    for (;;) {
      if (predicate(this.#value)) return this.#value;
      await this.changed(this.#version, signal);
    }
  }
}
