import { type Position, START } from "../position.ts";
import { type Mutation, type Rejection, samePayload, type Write } from "../write.ts";
import { decodeWrite } from "./entry-codec.ts";
import { rejectedId } from "./settle.ts";
import type { BufferedWrite } from "./write-buffer.ts";

/** With more unproven writes than this, payloads are decoded when they are needed, and not kept decoded. */
const DECODED = 100_000;

/** An entry as it stands in the stream. */
export interface RawEntry {
  readonly position: Position;
  readonly writeId: string;
  readonly payload: string;
}

class Entry implements BufferedWrite {
  readonly position: Position;
  readonly writeId: string;
  readonly duplicateOf: Position | undefined;
  readonly conflicting: boolean;
  readonly payload: string;
  state: BufferedWrite["state"] = "ACCEPTED";
  lsn: BufferedWrite["lsn"] = undefined;
  appliedAt: BufferedWrite["appliedAt"] = undefined;
  rejection: BufferedWrite["rejection"] = undefined;
  /** When this process saw its proof, milliseconds of the monotonic clock: the host's may be set meanwhile. */
  provenAt = 0;
  #decoded: Write | undefined;

  constructor(position: Position, writeId: string, payload: string, first: Entry | undefined, decoded?: Write) {
    this.position = position;
    this.writeId = writeId;
    this.payload = payload;
    this.duplicateOf = first?.position;
    this.#decoded = decoded;
    this.conflicting = first !== undefined && !samePayload(first.write.payloadHash, this.write.payloadHash);
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
  /** By contentId: what was rejected because its id belongs to other content. */
  readonly #byContent = new Map<string, BufferedWrite>();
  /** By table and key: the last pending write that says something of the row's existence. */
  readonly #rows = new Map<string, Map<string, Entry>>();
  /** How many unproven writes change each table. */
  readonly #touched = new Map<string, number>();
  /** Originals of duplicates that are not trimmed yet. */
  readonly #originals = new Map<Position, Position>();
  #proven = 0;
  #bytes = 0;
  #rejections = 0;
  #truncations = 0;
  /** What is not in memory up to here never will be: it has left, or had left the stream before it was read. */
  #forgottenTo: Position = START;
  #trimmedTo: Position = START;

  get size(): number {
    return this.#entries.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Grows with every write that turns out to be refused, or open again: what was shown until then is not right any more. */
  get rejections(): number {
    return this.#rejections;
  }

  /** Grows when entries are forgotten that are still to be shown: a read that began before would miss them. */
  get truncations(): number {
    return this.#truncations;
  }

  /** Every write up to here has been seen on the local database. */
  get provenTo(): Position {
    return later(this.#entries[this.#proven - 1]?.position ?? START, this.#forgottenTo);
  }

  get forgottenTo(): Position {
    return this.#forgottenTo;
  }

  /** Everything up to here has left the stream, trimmed by any process of the site that had proof of it. */
  get trimmedTo(): Position {
    return this.#trimmedTo;
  }

  /** Position of the newest write known; START where there was none. */
  get last(): Position {
    return later(this.#entries.at(-1)?.position ?? START, this.#forgottenTo);
  }

  get unproven(): number {
    return this.#entries.length - this.#proven;
  }

  get firstUnproven(): BufferedWrite | undefined {
    return this.#entries[this.#proven];
  }

  isProven(position: Position): boolean {
    return this.#indexAfter(position) <= this.#proven;
  }

  /** The first write with this id; or what is rejected by it, because its own id belongs to other content. */
  byId(writeId: string): BufferedWrite | undefined {
    return this.#byId.get(writeId) ?? this.#byContent.get(writeId);
  }

  /** Adds the next entry of the stream. `decoded` saves decoding what this process has just encoded. */
  add(position: Position, writeId: string, payload: string, decoded?: Write): BufferedWrite {
    if (position <= this.last) throw new RangeError("entries of a stream come in order");
    const first = this.#byId.get(writeId);
    const entry = new Entry(position, writeId, payload, first, decoded);
    const { mutations } = entry.write; // throws for a payload of another version, before anything is changed
    this.#entries.push(entry);
    this.#bytes += entry.bytes;
    this.#touch(mutations, 1);
    if (first) this.#originals.set(position, first.position);
    else {
      this.#byId.set(writeId, entry);
      this.#recordRows(entry);
    }
    if (this.unproven > DECODED) entry.forgetDecoded();
    return entry;
  }

  /** Forgets the entries after the position, whatever their state: they are about to be read anew. */
  truncate(position: Position): void {
    this.#truncations += 1;
    const kept = this.#entries.slice(0, this.#indexAfter(position));
    this.#entries = kept;
    this.#proven = Math.min(this.#proven, kept.length);
    this.#bytes = 0;
    for (const map of [this.#byId, this.#byContent, this.#rows, this.#touched, this.#originals]) map.clear();
    for (const [i, entry] of kept.entries()) {
      this.#bytes += entry.bytes;
      if (entry.duplicateOf !== undefined) this.#originals.set(entry.position, entry.duplicateOf);
      else this.#byId.set(entry.writeId, entry);
      this.#recordContent(entry);
      if (i < this.#proven) continue;
      this.#touch(entry.write.mutations, 1);
      if (entry.duplicateOf === undefined) this.#recordRows(entry);
      if (this.unproven > DECODED) entry.forgetDecoded();
    }
  }

  /**
   * Everything up to the position has left the stream. What is in memory stays there until it is proven here; of what
   * comes after `readTo`, where this process had read the stream to, some may have been missed.
   */
  leftStream(position: Position, readTo = this.last): void {
    this.#trimmedTo = later(this.#trimmedTo, position);
    if (position > readTo) this.#forgottenTo = later(this.#forgottenTo, position);
  }

  /** Whether any unproven write changes the table. */
  touches(table: string): boolean {
    return (this.#touched.get(table) ?? 0) > 0;
  }

  /** Whether the newest pending write to the row made or removed it; undefined where there is none, or it says nothing. */
  rowExists(table: string, key: Mutation["key"]): boolean | "unknown" | undefined {
    const row = JSON.stringify(key);
    const entry = this.#rows.get(table)?.get(row);
    if (!entry) return undefined;
    const { mutations } = entry.write;
    // What a rejected write would have made or removed it did not; what was there before it is not known any more.
    if (entry.state === "REJECTED" || isConditional(entry.write)) return "unknown";
    const last = mutations.findLast(
      (m) => m.operation !== "update" && m.table === table && JSON.stringify(m.key) === row,
    );
    return last?.operation !== "delete";
  }

  /** Entries after the position, oldest first, at most `count`. */
  after(position: Position, count = Number.POSITIVE_INFINITY): BufferedWrite[] {
    const from = this.#indexAfter(position);
    return this.#entries.slice(from, count === Number.POSITIVE_INFINITY ? undefined : from + count);
  }

  /** The oldest entries, at most `count`, up to the position, as far as they are proven. */
  provenUpTo(position: Position, count: number): BufferedWrite[] {
    return this.#entries.slice(0, Math.min(count, this.#proven, this.#indexAfter(position)));
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
    if (entry.state !== "REJECTED") this.#rejections += 1;
    entry.state = "REJECTED";
    entry.rejection = rejection;
    entry.appliedAt = at;
    this.#recordContent(entry);
  }

  /** Entries up to the position are visible on the local replica. */
  prove(position: Position): void {
    const to = this.#indexAfter(position);
    for (let i = this.#proven; i < to; i++) {
      const entry = this.#entries[i];
      if (!entry) continue;
      this.#touch(entry.write.mutations, -1);
      for (const { table, key } of entry.write.mutations) {
        const rows = this.#rows.get(table);
        const row = JSON.stringify(key);
        if (rows?.get(row) === entry) rows.delete(row);
      }
      entry.forgetDecoded();
      entry.provenAt = performance.now();
    }
    this.#proven = Math.max(this.#proven, to);
  }

  /** Main has not decided the entries after the position, whatever was known before (failover): they are open again. */
  reopen(position: Position): void {
    for (const entry of this.#entries.slice(this.#indexAfter(position))) this.#open(entry);
  }

  /**
   * The replica does not show what it showed before: it was made again, from an older base. Entries after the position are
   * unproven again; what main has decided of them stays decided, unless they are opened again because main has lost it.
   */
  unprove(position: Position): void {
    const from = this.#indexAfter(position);
    const again = this.#entries.slice(from, this.#proven);
    this.#proven = Math.min(this.#proven, from);
    for (const entry of again) {
      if (entry.state === "REPLICATED") entry.state = "APPLIED";
      this.#touch(entry.write.mutations, 1);
      if (entry.duplicateOf === undefined) this.#recordRows(entry);
      if (this.unproven > DECODED) entry.forgetDecoded();
    }
  }

  /**
   * The last position that may be trimmed: proven before the time (milliseconds of the monotonic clock), and not the
   * original of a duplicate that still waits (the duplicate would pass for a first one after a restart).
   */
  trimmableTo(provenBefore: number): Position {
    let to = START;
    const provenTo = this.#entries[this.#proven - 1]?.position ?? to;
    let floor = this.last + 1n;
    for (const [duplicate, original] of this.#originals) if (duplicate > provenTo && original < floor) floor = original;
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
      this.#forgottenTo = later(this.#forgottenTo, entry.position);
      if (entry.duplicateOf !== undefined) this.#originals.delete(entry.position);
      else this.#byId.delete(entry.writeId);
      this.#forgetContent(entry);
    }
    this.#trimmedTo = later(this.#trimmedTo, this.#forgottenTo);
    this.#proven -= count;
  }

  /** The raw entries after the position, for writing them again where Redis has lost them. */
  payloadsAfter(position: Position): RawEntry[] {
    return this.#entries.slice(this.#indexAfter(position));
  }

  #open(entry: Entry): void {
    if (entry.state === "ACCEPTED") return;
    if (entry.state === "REJECTED") this.#rejections += 1; // what was shown without it must be shown anew
    this.#forgetContent(entry);
    entry.state = "ACCEPTED";
    entry.lsn = undefined;
    entry.appliedAt = undefined;
    entry.rejection = undefined;
  }

  #recordContent(entry: BufferedWrite): void {
    const id = rejectedId(entry);
    if (id !== entry.writeId && !this.#byContent.has(id)) this.#byContent.set(id, entry);
  }

  #forgetContent(entry: BufferedWrite): void {
    const id = rejectedId(entry);
    if (this.#byContent.get(id) === entry) this.#byContent.delete(id);
  }

  /** A write that may do nothing, and an update proves nothing: neither says whether a row exists. */
  #recordRows(entry: Entry): void {
    const { mutations } = entry.write;
    const conditional = isConditional(entry.write);
    for (const { table, key, operation } of mutations) {
      if (operation === "update" && !conditional) continue;
      let rows = this.#rows.get(table);
      if (!rows) {
        rows = new Map();
        this.#rows.set(table, rows);
      }
      const row = JSON.stringify(key);
      const known = rows.get(row);
      if (!known || known.position < entry.position) rows.set(row, entry);
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

function later(one: Position, other: Position): Position {
  return one > other ? one : other;
}

/** It may do nothing: a precondition fails, or it was applied before under the same id. */
function isConditional({ mutations, idUnchecked }: Write): boolean {
  return idUnchecked === true || mutations.some(({ preconditions }) => preconditions.length > 0);
}
