import type { Position } from "../position.ts";
import type { BufferedWrites, RawEntry } from "./buffered-writes.ts";
import type { StreamInfo } from "./stream.ts";

/**
 * What a process knows of writes that are not in its memory, because it has not read them, or not again, from the stream:
 * how many there are, and of some of them everything.
 */
export class UnreadWrites {
  readonly #writes: BufferedWrites;
  #remembered: RawEntry[] = [];
  /** The stream and its epoch as they were last seen. */
  #look: { epoch: string | undefined; seen: StreamInfo } | undefined;
  /** What this process has appended since then. */
  #appended: Position[] = [];

  constructor(writes: BufferedWrites) {
    this.#writes = writes;
  }

  /** Writes in the stream that are not in memory yet, as far as that is known. */
  get count(): number {
    if (!this.#look) return 0;
    const { length, first } = this.#look.seen;
    return Math.max(0, length + this.#appended.length - this.#readFrom(first));
  }

  /** What Redis had lost, and then what this process has appended: known until it was read. */
  get remembered(): readonly RawEntry[] {
    return this.#remembered;
  }

  append(entry: RawEntry): void {
    this.#remembered.push(entry);
    if (this.#look && entry.position > this.#look.seen.generated) this.#appended.push(entry.position);
  }

  /** How much there is to read, so that limits hold meanwhile, and a loss of what was never read can be told. */
  look(epoch: string | undefined, seen: StreamInfo): void {
    this.#look = { epoch, seen };
    this.#appended = this.#appended.filter((position) => position > seen.generated);
  }

  /** They were in memory, and Redis has lost them. */
  lose(lost: readonly RawEntry[]): void {
    this.#remembered = lost.concat(this.#remembered);
  }

  /** What was trimmed up to here need not be read any more. */
  trimmedTo(position: Position): void {
    this.#remembered = this.#remembered.filter((entry) => entry.position > position);
  }

  /** A loss was told: what was seen before it says nothing any more. */
  forgetLook(): void {
    this.#look = undefined;
    this.#appended = [];
  }

  /** All of them are in memory. */
  allRead(): void {
    this.#remembered = [];
    this.forgetLook();
  }

  /**
   * How many writes that nobody in this process has read are not in the stream any more, at least, which it sees `now`;
   * `lost` were lost that were read.
   */
  neverRead(epoch: string | undefined, now: StreamInfo, lost: number): number {
    if (!this.#look) return 0;
    const { epoch: before, seen } = this.#look;
    const emptied = before !== undefined && before !== epoch;
    if (!emptied && now.generated >= seen.generated) return 0;
    const { last } = this.#writes;
    const own = this.#remembered.filter(({ position }) => position > last && position <= seen.generated).length;
    const unread = seen.length - this.#readFrom(seen.first) - own;
    // Of an older copy only the end is missing. Redis counts what was ever added to a stream.
    const missing = emptied ? unread : (seen.added ?? 0) - (now.added ?? 0) - lost - own;
    return Math.max(0, Math.min(unread, missing));
  }

  #readFrom(first: Position | undefined): number {
    return first === undefined ? 0 : this.#writes.countAfter(first - 1n);
  }
}
