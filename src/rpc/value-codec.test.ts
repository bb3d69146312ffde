import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { type Value as ValueMessage, ValueSchema } from "../../gen/ts/opsdb/v1/value_pb.ts";
import { OpsDbError } from "../errors.ts";
import type { ValueKind } from "../value.ts";
import { decodeValue, decodeValues, valueEncoder } from "./value-codec.ts";

type Kind = NonNullable<Exclude<MessageInitShape<typeof ValueSchema>, ValueMessage>["kind"]>;

function value(kind: Kind): ValueMessage {
  return create(ValueSchema, { kind });
}

function decode(kind: Kind) {
  return decodeValue(value(kind), () => "v");
}

function refusal(act: () => unknown): { reason: string; field: string | undefined } {
  try {
    act();
  } catch (error) {
    if (error instanceof OpsDbError) return { reason: error.reason, field: error.field };
    throw error;
  }
  return expect.fail("nothing was thrown");
}

test("every kind that a client sends is taken as it is", () => {
  expect(decode({ case: "nullValue", value: 0 })).toEqual({ kind: "null" });
  expect(decode({ case: "boolValue", value: false })).toEqual({ kind: "bool", value: false });
  expect(decode({ case: "int64Value", value: -(2n ** 63n) })).toEqual({ kind: "int64", value: -(2n ** 63n) });
  expect(decode({ case: "doubleValue", value: Number.NaN })).toEqual({ kind: "double", value: Number.NaN });
  expect(decode({ case: "numericValue", value: "12.340" })).toEqual({ kind: "numeric", value: "12.340" });
  expect(decode({ case: "stringValue", value: "🔭" })).toEqual({ kind: "string", value: "🔭" });
  const bytes = new Uint8Array([0, 255]);
  expect(decode({ case: "bytesValue", value: bytes })).toEqual({ kind: "bytes", value: bytes });
  expect(decode({ case: "timestampValue", value: { seconds: -1n, nanos: 999_999_000 } })).toEqual({
    kind: "timestamp",
    seconds: -1n,
    nanos: 999_999_000,
  });
  expect(decode({ case: "uuidValue", value: "x" })).toEqual({ kind: "uuid", value: "x" });
  expect(decode({ case: "jsonValue", value: "{}" })).toEqual({ kind: "json", value: "{}" });
  const array = { values: [value({ case: "int64Value", value: 1n }), value({ case: "nullValue", value: 0 })] };
  expect(decode({ case: "arrayValue", value: array })).toEqual({
    kind: "array",
    values: [{ kind: "int64", value: 1n }, { kind: "null" }],
  });
});

test("a value at fault is named by its path", () => {
  const values = { 'r"a': value({ case: "arrayValue", value: { values: [value({ case: undefined })] } }) };
  expect(refusal(() => decodeValues(values, () => "mutations[0].insert.values"))).toEqual({
    reason: "INVALID_FIELD",
    field: 'mutations[0].insert.values["r\\"a"].array_value.values[0]',
  });
});

test.each<Kind>([
  { case: "stringValue", value: "a\0b" },
  { case: "jsonValue", value: "\ud800" },
  { case: "timestampValue", value: { seconds: 253402300800n, nanos: 0 } },
  { case: "timestampValue", value: { seconds: -62135596801n, nanos: 0 } },
  { case: "timestampValue", value: { seconds: 0n, nanos: 1 } },
  { case: "timestampValue", value: { seconds: 0n, nanos: -1000 } },
  { case: "timestampValue", value: { seconds: 0n, nanos: 1_000_000_000 } },
])("%o cannot be stored", (kind) => {
  expect(refusal(() => decode(kind))).toEqual({ reason: "INVALID_VALUE", field: "v" });
});

test("a column may be called __proto__", () => {
  const values = decodeValues(JSON.parse('{"__proto__":{"kind":{"case":"boolValue","value":true}}}'), () => "v");
  expect(Object.entries(values)).toEqual([["__proto__", { kind: "bool", value: true }]]);
});

test.each<[ValueKind, string, Kind]>([
  ["bool", "t", { case: "boolValue", value: true }],
  ["bool", "f", { case: "boolValue", value: false }],
  ["int64", "-9223372036854775808", { case: "int64Value", value: -(2n ** 63n) }],
  ["double", "1e-07", { case: "doubleValue", value: 1e-7 }],
  ["double", "-0", { case: "doubleValue", value: -0 }],
  ["double", "NaN", { case: "doubleValue", value: Number.NaN }],
  ["double", "-Infinity", { case: "doubleValue", value: Number.NEGATIVE_INFINITY }],
  ["numeric", "12.340", { case: "numericValue", value: "12.340" }],
  ["numeric", "NaN", { case: "numericValue", value: "NaN" }],
  ["bytes", "\\x00ff10", { case: "bytesValue", value: new Uint8Array([0, 255, 16]) }],
  ["bytes", "\\x", { case: "bytesValue", value: new Uint8Array() }],
  ["timestamp", "1970-01-01 00:00:01.000002+00", { case: "timestampValue", value: { seconds: 1n, nanos: 2000 } }],
  ["timestamp", "infinity", { case: "stringValue", value: "infinity" }],
  ["timestamp", "0044-03-15 00:00:00+00 BC", { case: "stringValue", value: "0044-03-15 00:00:00+00 BC" }],
  [
    "uuid",
    "00000000-0000-0000-0000-000000000001",
    { case: "uuidValue", value: "00000000-0000-0000-0000-000000000001" },
  ],
  ["json", '{"a": 1}', { case: "jsonValue", value: '{"a": 1}' }],
  ["text", "", { case: "stringValue", value: "" }],
])("%s %j goes out exactly", (kind, text, expected) => {
  const encoded = valueEncoder({ kind, array: false, delimiter: "," })(text);
  expect(fromBinary(ValueSchema, toBinary(ValueSchema, encoded))).toEqual(value(expected));
});

test("arrays go out element by element, with NULLs and dimensions", () => {
  const encode = valueEncoder({ kind: "int64", array: true, delimiter: "," });
  const int = (n: bigint) => value({ case: "int64Value", value: n });
  const array = (...values: ValueMessage[]) => value({ case: "arrayValue", value: { values } });
  const sent = (text: string | null) => fromBinary(ValueSchema, toBinary(ValueSchema, encode(text)));
  expect(sent("{}")).toEqual(array());
  expect(sent("{1,NULL}")).toEqual(array(int(1n), value({ case: "nullValue", value: 0 })));
  expect(sent("{{1},{2}}")).toEqual(array(array(int(1n)), array(int(2n))));
  const bounded = "[0:1][1:1]={{1},{2}}";
  expect(sent(bounded)).toEqual(value({ case: "stringValue", value: bounded }));
  expect(sent(null)).toEqual(value({ case: "nullValue", value: 0 }));
});
