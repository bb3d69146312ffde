import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { QueryResponseSchema } from "../../gen/ts/opsdb/v1/query_pb.ts";
import { type ResultRow, RowBytes } from "../postgres/row-bytes.ts";
import type { TextValue, ValueKind } from "../value.ts";
import { messageRowEncoder } from "./row-encoder.ts";
import type { EncodedColumn } from "./value-codec.ts";
import { wireRowEncoder } from "./wire-row-encoder.ts";

const samples: Record<ValueKind, string[]> = {
  bool: ["t", "f"],
  int64: ["0", "1", "127", "128", "-1", "2147483648", "999999999999999", "9223372036854775807", "-9223372036854775808"],
  double: ["0", "-0", "1.5", "NaN", "Infinity", "-Infinity", "5e-324"],
  numeric: ["12.340", "NaN", "9".repeat(200)],
  bytes: ["\\x", "\\x00ff", `\\x${"ab".repeat(20_000)}`],
  timestamp: [
    "1970-01-01 00:00:00+00",
    "1970-01-01 00:00:00.000001+00",
    "1969-12-31 23:59:59.999999+00",
    "2026-11-23 04:00:00.123456+00",
    "9999-12-31 23:59:59+00",
    "infinity",
    "0044-03-15 00:00:00+00 BC",
  ],
  uuid: ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
  json: ['{"a": [1, null]}', `"${"x".repeat(70_000)}"`],
  text: [
    "",
    "plain",
    "x".repeat(64),
    "x".repeat(65),
    "ü".repeat(31),
    "日本🔭",
    "é".repeat(70),
    "z".repeat(127),
    "z".repeat(128),
    "q".repeat(17_000),
  ],
};

const kinds = Object.keys(samples) as ValueKind[];

function bytesOf(encoder: typeof messageRowEncoder, columns: EncodedColumn[], batches: ResultRow[][]): string[] {
  const encode = encoder({ columns, related: [] });
  return batches.map((rows) => Buffer.from(toBinary(QueryResponseSchema, encode(rows))).toString("hex"));
}

/** The rows as PostgreSQL sends them. */
function sent(rows: TextValue[][]): RowBytes[] {
  return rows.map((row) => {
    const fields = row.map((value) => {
      const text = Buffer.from(value ?? "");
      const length = Buffer.alloc(4);
      length.writeInt32BE(value === null ? -1 : text.length);
      return Buffer.concat([length, text]);
    });
    const count = Buffer.alloc(2);
    count.writeInt16BE(row.length);
    // It stands somewhere in the middle of what arrived.
    return new RowBytes(Buffer.concat([Buffer.from("before"), count, ...fields, Buffer.from("after")]), 8);
  });
}

function quoted(text: TextValue): string {
  return text === null ? "NULL" : `"${text.replace(/["\\]/g, "\\$&")}"`;
}

test.each(kinds)("%s gives the same bytes as its messages", (kind) => {
  const values: TextValue[] = [...samples[kind], null];
  const column = { kind, array: false, delimiter: "," };
  // Rows and batches of every size follow each other, so that guessed lengths are wrong in both directions.
  const batches = [
    values.map((value) => [value, null]),
    [],
    [[values[0] ?? null, "x"]],
    values.map((value) => [value, value]),
  ];
  expect(bytesOf(wireRowEncoder, [column, column], batches.slice(0, 1))).toEqual(
    bytesOf(messageRowEncoder, [column, column], batches.slice(0, 1)),
  );
  const alone = batches.map((rows) => rows.map((row) => row.slice(0, 1)));
  expect(bytesOf(wireRowEncoder, [column], alone)).toEqual(bytesOf(messageRowEncoder, [column], alone));
  for (const encoder of [wireRowEncoder, messageRowEncoder]) {
    // What comes after the columns does not count.
    expect(bytesOf(encoder, [column], batches.map(sent))).toEqual(bytesOf(messageRowEncoder, [column], alone));
    expect(bytesOf(encoder, [column, column], batches.slice(0, 1).map(sent))).toEqual(
      bytesOf(messageRowEncoder, [column, column], batches.slice(0, 1)),
    );
  }
});

test.each(kinds)("arrays of %s give the same bytes as their messages", (kind) => {
  const column = { kind, array: true, delimiter: "," };
  const items = [...samples[kind], null].map(quoted).join(",");
  const rows = [
    "{}",
    `{${items}}`,
    `{{${items}},{${items}}}`,
    "{NULL}",
    null,
    `[0:0][5:5]={{${quoted(samples[kind][0] ?? null)}}}`,
  ];
  const batches = [rows.map((row) => [row])];
  expect(bytesOf(wireRowEncoder, [column], batches)).toEqual(bytesOf(messageRowEncoder, [column], batches));
  expect(bytesOf(wireRowEncoder, [column], batches.map(sent))).toEqual(bytesOf(messageRowEncoder, [column], batches));
});

test("a batch of many rows is read back as it was", () => {
  const columns: EncodedColumn[] = [
    { kind: "text", array: false, delimiter: "," },
    { kind: "int64", array: false, delimiter: "," },
  ];
  const rows = Array.from({ length: 10_000 }, (_, i) => ["x".repeat(i % 300), i % 7 === 0 ? null : String(i)]);
  const { part } = fromBinary(
    QueryResponseSchema,
    toBinary(QueryResponseSchema, wireRowEncoder({ columns, related: [] })(rows)),
  );
  expect(part.value).toEqual(messageRowEncoder({ columns, related: [] })(rows).part.value);
});
