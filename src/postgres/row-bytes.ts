import type { TextValue } from "../value.ts";

/** A row as texts, or as PostgreSQL sent them: reading a text of it costs nothing before it is asked for. */
export type ResultRow = readonly TextValue[] | RowBytes;

/** A DataRow message's fields: how many there are (int16), and of each its length (int32, -1 for NULL) and its text in UTF-8. */
export class RowBytes {
  readonly bytes: Buffer;
  /** Of the first field's length. */
  readonly start: number;

  constructor(bytes: Buffer, start: number) {
    this.bytes = bytes;
    this.start = start;
  }

  texts(): TextValue[] {
    const count = this.bytes.readInt16BE(this.start - 2);
    const texts: TextValue[] = [];
    let at = this.start;
    for (let i = 0; i < count; i += 1) {
      const length = this.bytes.readInt32BE(at);
      at += 4;
      texts.push(length < 0 ? null : this.bytes.toString("utf8", at, at + length));
      if (length > 0) at += length;
    }
    return texts;
  }

  /** Null, too, where the row has no such field. */
  text(index: number): TextValue {
    if (index >= this.bytes.readInt16BE(this.start - 2)) return null;
    let at = this.start;
    for (let i = 0; i < index; i += 1) at += 4 + Math.max(0, this.bytes.readInt32BE(at));
    const length = this.bytes.readInt32BE(at);
    return length < 0 ? null : this.bytes.toString("utf8", at + 4, at + 4 + length);
  }

  /** Bytes of the texts; one for NULL. */
  get size(): number {
    const count = this.bytes.readInt16BE(this.start - 2);
    let size = 0;
    let at = this.start;
    for (let i = 0; i < count; i += 1) {
      const length = this.bytes.readInt32BE(at);
      size += length < 0 ? 1 : length;
      at += 4 + Math.max(0, length);
    }
    return size;
  }
}

export function textsOf(row: ResultRow): readonly TextValue[] {
  return row instanceof RowBytes ? row.texts() : row;
}

export function textAt(row: ResultRow, index: number): TextValue {
  return row instanceof RowBytes ? row.text(index) : (row[index] ?? null);
}

/** About how much of a result the row is, bytes. */
export function sizeOf(row: ResultRow): number {
  if (row instanceof RowBytes) return row.size;
  let size = 0;
  for (const value of row) size += value === null ? 1 : value.length;
  return size;
}
