import { type Position, START } from "../position.ts";
import type { Mutation, Rejection, Write } from "../write.ts";
import { decodeWrite } from "./entry-codec.ts";
import type { BufferedWrite } from "./write-buffer.ts";

/** With more unproven writes than this, payloads are decoded when they are needed, and not kept decoded. */
const DECODED = 100_000;

class Entry implements BufferedWrite {
  readonly position: Position;
  readonly writeId: string;
  readonly duplicateOf: Position | undefined;
  readonly payload: string;
  state: BufferedWrite["state"] = "ACCEPTED";
  lsn: BufferedWrite["lsn"] = undefined;
  appliedAt: BufferedWrite["appliedAt"] = undefined;
  rejection: BufferedWrite["rejection"] = undefined;
  /** When this process saw its proof, milliseconds. */
  provenAt = 0;
  #decoded: Write | undefined;

  constructor(
    position: Position,
    writeId: string,
    payload: string,
    duplicateOf: Position | undefined,
    decoded?: Write,
  ) {
    this.position = position;
    this.writeId = writeId;
    this.payload = payload;
    this.duplicateOf = duplicateOf;
    this.#decoded = decoded;
  }

  get acceptedAt(): Date {
    return new Date(Number(this.position >> 64n));
  }

  get bytes(): number {
    return this.payload.length;
  }

  get write(): Write {
    this.#decoded ??= decodeWrite(this.writeId, this.payload);
    return this.#decoded;
  }

  /** The payload is enough to decode it again; a proven write is hardly ever asked for. */
  forgetDecoded(): void {
    this.#decoded = undefined;
  }
}

/**
 * The stream of one site as this process knows it, in order. Writes enter at the tail as the stream is read, are proven
 * (visible on the local replica) as a prefix, and leave at the head when they are trimmed. The unproven ones are what a
 * merged read may have to show.
 */
export class BufferedWrites {
  #entries: Entry[] = [];
  readonly #byId = new Map<string, Entry>();
  /** Last pending operation on a row: what the merged view says of its existence without asking the replica. */
  readonly #rows = new Map<string, { exists: boolean | "unknown"; position: Position }>();
  /** How many unproven writes change each table. */
  readonly #touched = new Map<string, number>();
  #proven = 0;
  #bytes = 0;
  #duplicates = 0;
  #rejections = 0;
  /** Every write up to here has left this process's memory. */
  #forgottenTo: Position = START;

  get size(): number {
    return this.#entries.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Grows with every write that turns out to be refused: what was shown with it must not be shown any more. */
  get rejections(): number {
    return this.#rejections;
  }

  get forgottenTo(): Position {
    return this.#forgottenTo;
  }

  /** Position of the newest write known; START where there was none. */
  get last(): Position {
    return this.#entries.at(-1)?.position ?? this.#forgottenTo;
  }

  get unproven(): number {
    return this.#entries.length - this.#proven;
  }

  get oldest(): BufferedWrite | undefined {
    return this.#entries[0];
  }

  byId(writeId: string): BufferedWrite | undefined {
    return this.#byId.get(writeId);
  }

  /** Adds the next entry of the stream. `decoded` saves decoding what this process has just encoded. */
  add(position: Position, writeId: string, payload: string, decoded?: Write): BufferedWrite {
    if (position <= this.last) throw new RangeError("entries of a stream come in order");
    const first = this.#byId.get(writeId);
    const entry = new Entry(position, writeId, payload, first?.position, decoded);
    const { mutations } = entry.write; // throws for a payload of another version, before anything is changed
    this.#entries.push(entry);
    this.#bytes += entry.bytes;
    this.#touch(mutations, 1);
    if (first) this.#duplicates += 1;
    else {
      this.#byId.set(writeId, entry);
      this.#recordRows(entry);
    }
    if (this.unproven > DECODED) entry.forgetDecoded();
    return entry;
  }

  /** Whether any unproven write changes the table. */
  touches(table: string): boolean {
    return (this.#touched.get(table) ?? 0) > 0;
  }

  /** Whether the newest pending write to the row made or removed it; undefined where there is none, or it says nothing. */
  rowExists(table: string, key: Mutation["key"]): boolean | "unknown" | undefined {
    return this.#rows.get(rowKey({ table, key }))?.exists;
  }

  /** Entries after the position, oldest first, at most `count`. */
  after(position: Position, count = Number.POSITIVE_INFINITY): BufferedWrite[] {
    const from = this.#indexAfter(position);
    return this.#entries.slice(from, count === Number.POSITIVE_INFINITY ? undefined : from + count);
  }

  countAfter(position: Position): number {
    return this.#entries.length - this.#indexAfter(position);
  }

  /** The first entry after the position. */
  firstAfter(position: Position): BufferedWrite | undefined {
    return this.#entries[this.#indexAfter(position)];
  }

  /** Unproven entries up to the position: those whose proof can be looked for once the replica's cursor is there. */
  unprovenUpTo(position: Position, count: number): BufferedWrite[] {
    return this.#entries.slice(this.#proven, Math.min(this.#indexAfter(position), this.#proven + count));
  }

  /** Main refused the write for good. */
  reject(entry: BufferedWrite, rejection: Rejection, at: Date): void {
    if (entry.state !== "REJECTED") {
      this.#rejections += 1;
      // What it would have made or removed it did not; what was there before it is not known any more.
      for (const mutation of entry.write.mutations) {
        const row = this.#rows.get(rowKey(mutation));
        if (row?.position === entry.position) row.exists = "unknown";
      }
    }
    entry.state = "REJECTED";
    entry.rejection = rejection;
    entry.appliedAt = at;
  }

  /** Entries up to the position are visible on the local replica. */
  prove(position: Position): void {
    const to = this.#indexAfter(position);
    for (let i = this.#proven; i < to; i++) {
      const entry = this.#entries[i];
      if (!entry) continue;
      this.#touch(entry.write.mutations, -1);
      for (const mutation of entry.write.mutations) {
        const key = rowKey(mutation);
        if (this.#rows.get(key)?.position === entry.position) this.#rows.delete(key);
      }
      entry.forgetDecoded();
      entry.provenAt = Date.now();
    }
    this.#proven = Math.max(this.#proven, to);
  }

  /** Main has not decided the entries after the position, whatever was known before (failover): they are open again. */
  reopen(position: Position): void {
    for (const entry of this.#entries.slice(this.#indexAfter(position))) {
      if (entry.state === "ACCEPTED") continue;
      entry.state = "ACCEPTED";
      entry.lsn = undefined;
      entry.appliedAt = undefined;
      entry.rejection = undefined;
    }
  }

  /** The replica does not show what it showed before (failover): entries after the position are unproven again. */
  unprove(position: Position): void {
    this.reopen(position);
    const from = this.#indexAfter(position);
    for (const entry of this.#entries.slice(from, this.#proven)) this.#touch(entry.write.mutations, 1);
    this.#proven = Math.min(this.#proven, from);
    for (const entry of this.#entries.slice(from)) if (entry.duplicateOf === undefined) this.#recordRows(entry);
  }

  /**
   * The last position that may be trimmed: proven before the time (milliseconds), and not the original of a duplicate that
   * still waits (the duplicate would pass for a first one after a restart).
   */
  trimmableTo(provenBefore: number): Position {
    let to = this.#forgottenTo;
    const waiting = this.#duplicates === 0 ? [] : this.#entries.slice(this.#proven);
    const originals = waiting.flatMap((entry) => (entry.duplicateOf === undefined ? [] : [entry.duplicateOf]));
    const floor = originals.reduce((least, position) => (position < least ? position : least), this.last + 1n);
    for (let i = 0; i < this.#proven; i++) {
      const entry = this.#entries[i];
      if (!entry || entry.position >= floor || entry.provenAt >= provenBefore) break;
      to = entry.position;
    }
    return to;
  }

  /** Forgets entries up to the position; they must be proven. */
  forget(position: Position): void {
    const count = this.#indexAfter(position);
    if (count > this.#proven) throw new RangeError("only proven writes may be forgotten");
    for (const entry of this.#entries.splice(0, count)) {
      this.#bytes -= entry.bytes;
      this.#forgottenTo = entry.position;
      if (entry.duplicateOf !== undefined) this.#duplicates -= 1;
      else this.#byId.delete(entry.writeId);
    }
    this.#proven -= count;
  }

  /** The raw entries after the position, for writing them again where Redis has lost them. */
  payloadsAfter(position: Position): { position: Position; writeId: string; payload: string }[] {
    return this.#entries.slice(this.#indexAfter(position));
  }

  /** A write with preconditions may do nothing, and an update proves nothing: neither says whether a row exists. */
  #recordRows({ position, write: { mutations } }: BufferedWrite): void {
    const conditional = mutations.some(({ preconditions }) => preconditions.length > 0);
    for (const mutation of mutations) {
      const key = rowKey(mutation);
      if (conditional) this.#rows.set(key, { exists: "unknown", position });
      else if (mutation.operation !== "update")
        this.#rows.set(key, { exists: mutation.operation !== "delete", position });
    }
  }

  #touch(mutations: readonly Mutation[], by: 1 | -1): void {
    for (const { table } of mutations) {
      const count = (this.#touched.get(table) ?? 0) + by;
      if (count === 0) this.#touched.delete(table);
      else this.#touched.set(table, count);
    }
  }

  #indexAfter(position: Position): number {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#entries[middle]?.position ?? 0n) <= position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function rowKey({ table, key }: Pick<Mutation, "table" | "key">): string {
  return `${table}\n${JSON.stringify(key)}`;
}
