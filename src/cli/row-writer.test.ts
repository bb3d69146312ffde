import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { bytes, double, integer, json, list, nothing, numeric, text, time } from "../../demo/values.ts";
import { QueryHeaderSchema, type Row, RowSchema } from "../../gen/ts/opsdb/v1/query_pb.ts";
import type { Value } from "../../gen/ts/opsdb/v1/value_pb.ts";
import { rowWriter } from "./row-writer.ts";

const columns: [name: string, type: string, value: Value][] = [
  ["id", "bigint", integer(9007199254740993n)],
  ["note, free", "text", text('say "hi"\r\nthere')],
  ["empty", "text", text("")],
  ["none", "text", nothing()],
  ["exact", "numeric(6,3)", numeric("12.340")],
  ["odd", "double precision", double(Number.NaN)],
  ["raw", "bytea", bytes(Uint8Array.of(0, 255))],
  ["at", "timestamp with time zone", time(new Date("2026-04-02T03:04:05.250Z"))],
  ["local", "timestamp without time zone", time(new Date("2026-04-02T03:04:05Z"))],
  ["tags", "text[]", list([text("a b"), nothing(), text("c")])],
  ["doc", "jsonb", json({ a: [1] })],
];

function written(format: "table" | "json" | "csv", ...values: Value[][]): string {
  const header = create(QueryHeaderSchema, { columns: columns.map(([name, type]) => ({ name, type })) });
  const rows: Row[] = values.map((each) => create(RowSchema, { values: each }));
  const writer = rowWriter(format);
  return writer.begin(header, rows) + writer.rows(rows) + writer.end(rows.length);
}

const row = columns.map(([, , value]) => value);

test("CSV is that of RFC 4180, with NULL apart from the empty text", () => {
  expect(written("csv", row)).toBe(
    'id,"note, free",empty,none,exact,odd,raw,at,local,tags,doc\r\n' +
      '9007199254740993,"say ""hi""\r\nthere","",,12.340,NaN,\\x00ff,2026-04-02T03:04:05.25Z,2026-04-02T03:04:05,"{""a b"",NULL,c}","{""a"":[1]}"\r\n',
  );
});

test("JSON lines keep every digit, and nest what is json or a list", () => {
  const line = written("json", row);
  expect(line).toBe(
    '{"id":9007199254740993,"note, free":"say \\"hi\\"\\r\\nthere","empty":"","none":null,"exact":12.340,"odd":"NaN",' +
      '"raw":"\\\\x00ff","at":"2026-04-02T03:04:05.25Z","local":"2026-04-02T03:04:05","tags":["a b",null,"c"],"doc":{"a":[1]}}\n',
  );
  expect(() => JSON.parse(line)).not.toThrow();
});

test("a table has one line for each row, whatever is in it, and numbers on the right", () => {
  const nasty = [...row];
  nasty[1] = text("\u001b[2Jgone\n星");
  nasty[0] = integer(7);
  const lines = written("table", row, nasty).split("\n");
  expect(lines).toHaveLength(6);
  expect(lines[0]).toMatch(/^ {14}id {2}note, free/);
  expect(lines[3]).toMatch(/^ {15}7 {2}\\u001b\[2Jgone\\n星 +NULL/);
  expect(lines[4]).toBe("(2 rows)");
  expect(lines.join("")).not.toContain("\u001b");
});
