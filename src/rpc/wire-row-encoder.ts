import { type Instant, parseTimestamp, readTimestamp } from "../postgres/parse-timestamp.ts";
import { RowBytes } from "../postgres/row-bytes.ts";
import type { TextValue, ValueKind } from "../value.ts";
import { hasBounds, parseArray } from "./postgres-array.ts";
import { type RowEncoder, type RowShape, relatedTexts } from "./row-encoder.ts";
import type { EncodedColumn } from "./value-codec.ts";
import { WireWriter } from "./wire-writer.ts";

/** Tags of opsdb.v1.Value: field number and wire type. */
const tag = {
  null: 0x08,
  bool: 0x10,
  int64: 0x18,
  double: 0x21,
  numeric: 0x2a,
  string: 0x32,
  bytes: 0x3a,
  timestamp: 0x42,
  uuid: 0x4a,
  json: 0x52,
  array: 0x5a,
} as const;
/** Of field 1 in RowBatch, Row, RelatedRows and ArrayValue: one element. */
const element = 0x0a;

/** RowBatch.resume_point and Row.related: field 2 of either. */
const resumePointField = 0x12;
const relatedField = 0x12;

type Write = (text: string) => void;

/**
 * Writes rows as the bytes of a RowBatch, which the message carries as a field of its own that is already encoded. The
 * same bytes as from messageRowEncoder, without an object for each value; for binary answers only, as JSON would lose it.
 */
export function wireRowEncoder({ columns, related }: RowShape): RowEncoder {
  const wire = new WireWriter();
  const writers = columns.map((column) => columnWriter(wire, column));
  const relatedWriters = related.map((other) => relatedWriter(wire, other.columns));
  const byteWriters = columns.map((column, i) => byteWriter(wire, column, writers[i]));
  const writeTexts = (row: readonly TextValue[]): void => {
    for (let i = 0; i < writers.length; i += 1) writers[i]?.(row[i] ?? null);
    for (let i = 0; i < relatedWriters.length; i += 1) relatedWriters[i]?.(row[writers.length + i] ?? null);
  };
  const writeBytes = ({ bytes, start }: RowBytes): void => {
    let at = start;
    for (const write of byteWriters) at = write(bytes, at);
    for (const write of relatedWriters) {
      const from = at + 4;
      const length = bytes.readInt32BE(at);
      at = from + Math.max(0, length);
      write(length < 0 ? null : bytes.toString("utf8", from, at));
    }
  };
  let batchRoom = 3;
  let rowRoom = 1;
  return (rows, resumePoint) => {
    const batch = wire.open(batchRoom);
    for (const row of rows) {
      wire.byte(element);
      const open = wire.open(rowRoom);
      if (row instanceof RowBytes) writeBytes(row);
      else writeTexts(row);
      rowRoom = wire.close(open);
    }
    if (resumePoint) {
      wire.byte(resumePointField);
      wire.bytes(resumePoint);
    }
    batchRoom = wire.close(batch);
    const encoded = { no: 2, wireType: 2, data: wire.take() };
    return { $typeName: "opsdb.v1.QueryResponse", part: { case: undefined }, $unknown: [encoded] };
  };
}

/** Writes one element of Row.values from a field as PostgreSQL sent it, its length at the place given. Answers its end. */
type WriteField = (bytes: Buffer, at: number) => number;

/** Most kinds go out as the bytes that came. */
function byteWriter(
  wire: WireWriter,
  { kind, array }: EncodedColumn,
  writeText: (text: TextValue) => void = () => {},
): WriteField {
  const write = array ? undefined : directWriter(wire, kind);
  const encoding = array ? "utf8" : "latin1"; // a number or a time is ASCII
  return (bytes, at) => {
    const from = at + 4;
    const length = bytes.readInt32BE(at);
    const end = from + Math.max(0, length);
    if (length < 0) writeText(null);
    else if (!write?.(bytes, from, end)) writeText(bytes.toString(encoding, from, end));
    return end;
  };
}

/** Writes an element from a field's bytes; answers false, with nothing written, where it cannot. */
function directWriter(
  wire: WireWriter,
  kind: ValueKind,
): ((bytes: Buffer, from: number, end: number) => boolean) | undefined {
  const copy =
    (field: number) =>
    (bytes: Buffer, from: number, end: number): boolean => {
      wire.copy(element, field, bytes, from, end);
      return true;
    };
  switch (kind) {
    case "text":
      return copy(tag.string);
    case "numeric":
    case "uuid":
    case "json":
      return copy(tag[kind]);
    case "int64":
      return (bytes, from, end) => wire.digits(element, tag.int64, bytes, from, end);
    case "timestamp":
      return (bytes, from, end) => {
        const instant = readTimestamp(bytes, from, end);
        if (!instant) return false;
        wire.byte(element);
        const value = wire.open(1);
        writeInstant(wire, instant);
        wire.close(value);
        return true;
      };
    default:
      return undefined;
  }
}

/** Writes one element of Row.related. */
function relatedWriter(wire: WireWriter, columns: readonly EncodedColumn[]): (text: TextValue) => void {
  const writers = columns.map((column) => columnWriter(wire, column));
  return (text) => {
    wire.byte(relatedField);
    const rows = wire.open(1);
    for (const row of relatedTexts(text)) {
      wire.byte(element);
      const open = wire.open(1);
      writers.forEach((write, i) => {
        write(row[i] ?? null);
      });
      wire.close(open);
    }
    wire.close(rows);
  };
}

/** Writes one element of Row.values. */
function columnWriter(wire: WireWriter, column: EncodedColumn): (text: TextValue) => void {
  const scalar = scalarWriters(wire)[column.kind];
  const write = column.array ? arrayWriter(wire, column.delimiter, scalar) : scalar;
  return (text) => {
    wire.byte(element);
    const value = wire.open(1);
    writeContent(wire, text, write);
    wire.close(value);
  };
}

function writeContent(wire: WireWriter, text: TextValue, write: Write): void {
  if (text !== null) {
    write(text);
  } else {
    wire.byte(tag.null);
    wire.byte(0);
  }
}

/** The text is read whole and then written: a parser that writes as it goes would have to know the lengths before. */
function arrayWriter(wire: WireWriter, delimiter: string, scalar: Write): Write {
  return (text) => {
    if (hasBounds(text)) {
      wire.byte(tag.string);
      wire.text(text);
      return;
    }
    const write = parseArray<() => void>(text, {
      delimiter,
      element: (item) => () => writeContent(wire, item, scalar),
      nest: (items) => () => writeDimension(wire, items),
    });
    write();
  };
}

function writeDimension(wire: WireWriter, items: (() => void)[]): void {
  wire.byte(tag.array);
  const array = wire.open(1);
  for (const write of items) {
    wire.byte(element);
    const value = wire.open(1);
    write();
    wire.close(value);
  }
  wire.close(array);
}

function scalarWriters(wire: WireWriter): Record<ValueKind, Write> {
  const tagged =
    (field: number): Write =>
    (text) => {
      wire.byte(field);
      wire.text(text);
    };
  return {
    bool: (text) => {
      wire.byte(tag.bool);
      wire.byte(text === "t" || text === "true" ? 1 : 0);
    },
    int64: (text) => {
      wire.byte(tag.int64);
      if (text.length < 16 && text[0] !== "-") wire.varint(Number(text));
      else wire.int64(BigInt(text));
    },
    double: (text) => {
      wire.byte(tag.double);
      wire.double(Number(text));
    },
    numeric: tagged(tag.numeric),
    bytes: (text) => {
      wire.byte(tag.bytes);
      wire.bytes(Buffer.from(text.slice(2), "hex"));
    },
    timestamp: (text) => writeTimestamp(wire, text),
    uuid: tagged(tag.uuid),
    json: tagged(tag.json),
    text: tagged(tag.string),
  };
}

function writeTimestamp(wire: WireWriter, text: string): void {
  const instant = parseTimestamp(text);
  if (instant === undefined) {
    wire.byte(tag.string);
    wire.text(text);
    return;
  }
  writeInstant(wire, instant);
}

function writeInstant(wire: WireWriter, instant: Instant): void {
  wire.byte(tag.timestamp);
  const message = wire.open(1);
  if (instant.seconds !== 0) {
    wire.byte(0x08);
    if (instant.seconds > 0) wire.varint(instant.seconds);
    else wire.int64(BigInt(instant.seconds));
  }
  if (instant.nanos !== 0) {
    wire.byte(0x10);
    wire.varint(instant.nanos);
  }
  wire.close(message);
}
