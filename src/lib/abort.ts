/** Resolves or rejects as the promise does, or rejects with the signal's reason, whichever comes first. */
export function aborted<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  if (signal.aborted) {
    promise.catch(() => {}); // nobody waits for it any more; unhandled, its rejection would end the process
    return Promise.reject(signal.reason as Error);
  }
  return new Promise<T>((resolve, reject) => {
    const stop = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

/** Resolves after the time, milliseconds, or rejects with the signal's reason. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.reject(signal.reason as Error);
  return new Promise<void>((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}

/**
 * A signal that aborts after the time, milliseconds, of any size and fraction; disposing of it stops its clock, so that
 * what was done in time costs nothing later.
 */
export class Deadline implements Disposable {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #last: NodeJS.Immediate | undefined;

  constructor(ms: number) {
    const time = Math.ceil(Math.max(0, Math.min(ms, 2 ** 31 - 1)));
    this.#timer = setTimeout(() => {
      // Where this process itself was busy until now, the answer may have come in time and wait to be read: it goes first.
      this.#last = setImmediate(() => this.#controller.abort(new Error(`no answer within ${time} ms`)));
    }, time);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#last);
  }
}
