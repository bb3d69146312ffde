import type { Socket } from "node:net";

export interface LaneOptions {
  from: Socket;
  to: Socket;
  delayMs: () => number;
  /** Nothing is delivered before this time of performance.now(). */
  notBefore: number;
  /** Resets the connection, both ways. */
  reset: () => void;
  filter?: (bytes: Buffer) => { pass: Buffer; last: boolean };
}

type Parcel = { due: number } & ({ kind: "bytes"; bytes: Buffer } | { kind: "end" } | { kind: "reset" });

/** Enough for a fast line's bytes in flight over half a second; the source waits beyond it. */
const BYTES_MAX = 32 * 1024 * 1024;

/** One direction of a connection: delivers what it reads after the delay, in order, by one timer. */
export class Lane {
  readonly #options: LaneOptions;
  #queue: Parcel[] = [];
  #bytes = 0;
  #lastDue: number;
  #timer: NodeJS.Timeout | undefined;
  #blocked = false;
  #lossy = false;
  #stopped = false;

  constructor(options: LaneOptions) {
    this.#options = options;
    this.#lastDue = options.notBefore;
    const { from, to } = options;
    from.on("data", (bytes) => this.#take(bytes));
    from.on("end", () => this.#put({ kind: "end" }));
    // A reset travels as the bytes do: an answer that is under way still arrives before it.
    from.on("error", () => this.#put({ kind: "reset" }));
    to.on("drain", () => {
      this.#blocked = false;
      this.#deliver();
    });
  }

  /** It has lost bytes, or would have. */
  get lossy(): boolean {
    return this.#lossy;
  }

  /** From now on nothing arrives any more, what is under way included. */
  lose(): void {
    this.#lossy = true;
    this.#clear();
    this.#options.from.resume();
  }

  stop(): void {
    this.#stopped = true;
    this.#clear();
  }

  #take(bytes: Buffer): void {
    if (this.#lossy) return;
    const { pass, last } = this.#options.filter?.(bytes) ?? { pass: bytes, last: false };
    if (pass.length > 0) this.#put({ kind: "bytes", bytes: pass });
    if (last) this.#put({ kind: "reset" });
  }

  #put(what: { kind: "bytes"; bytes: Buffer } | { kind: "end" } | { kind: "reset" }): void {
    if (this.#stopped || this.#lossy) return;
    this.#lastDue = Math.max(this.#lastDue, performance.now() + this.#options.delayMs());
    this.#queue.push({ due: this.#lastDue, ...what });
    if (what.kind === "bytes") {
      this.#bytes += what.bytes.length;
      if (this.#bytes > BYTES_MAX) this.#options.from.pause();
    }
    this.#deliver();
  }

  #deliver(): void {
    if (this.#timer !== undefined || this.#blocked) return;
    let count = 0;
    for (const parcel of this.#queue) {
      const wait = parcel.due - performance.now();
      // Timers have whole milliseconds; half of one more or less is as near as they come.
      if (wait > 0.5) {
        this.#timer = setTimeout(() => {
          this.#timer = undefined;
          this.#deliver();
        }, wait);
        break;
      }
      count += 1;
      this.#hand(parcel);
      if (this.#stopped) return;
      if (this.#blocked) break;
    }
    if (count > 0) this.#queue = this.#queue.slice(count);
    if (this.#bytes < BYTES_MAX / 2 && this.#options.from.isPaused()) this.#options.from.resume();
  }

  #hand(parcel: Parcel): void {
    const { to, reset } = this.#options;
    switch (parcel.kind) {
      case "bytes":
        this.#bytes -= parcel.bytes.length;
        this.#blocked = to.writable && !to.write(parcel.bytes);
        return;
      case "end":
        to.end();
        return;
      case "reset":
        reset();
        return;
    }
  }

  #clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#queue = [];
    this.#bytes = 0;
  }
}
