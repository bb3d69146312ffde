import { describe, expect, test } from "vitest";
import { columnType, lengthModifier, numericModifier } from "../../test/support/literal-catalog.ts";
import { OpsDbError } from "../errors.ts";
import type { Value } from "../value.ts";
import type { ColumnType } from "./catalog.ts";
import { encodeValue, isFullyChecked } from "./encode-value.ts";

const string = (value: string): Value => ({ kind: "string", value });
const int = (value: bigint): Value => ({ kind: "int64", value });
const double = (value: number): Value => ({ kind: "double", value });
const numeric = (value: string): Value => ({ kind: "numeric", value });
const instant = (seconds: bigint, nanos = 0): Value => ({ kind: "timestamp", seconds, nanos });
const array = (...values: Value[]): Value => ({ kind: "array", values });
const NULL: Value = { kind: "null" };

const encode = (type: ColumnType, value: Value) => encodeValue(type, value, "f");

function refusal(type: ColumnType, value: Value): OpsDbError {
  try {
    encode(type, value);
  } catch (error) {
    if (error instanceof OpsDbError) return error;
    throw error;
  }
  throw new Error("it was accepted");
}

const types = {
  bool: columnType("bool"),
  int2: columnType("int2"),
  int4: columnType("int4"),
  int8: columnType("int8"),
  oid: columnType("oid"),
  float4: columnType("float4"),
  float8: columnType("float8"),
  numeric: columnType("numeric"),
  "numeric(6,2)": columnType("numeric", { display: "numeric(6,2)", modifier: numericModifier(6, 2) }),
  "numeric(3,-2)": columnType("numeric", { modifier: numericModifier(3, -2) }),
  "numeric(2,4)": columnType("numeric", { modifier: numericModifier(2, 4) }),
  text: columnType("text"),
  "varchar(3)": columnType("varchar", { modifier: lengthModifier(3) }),
  "char(3)": columnType("bpchar", { modifier: lengthModifier(3) }),
  name: columnType("name"),
  uuid: columnType("uuid"),
  bytea: columnType("bytea"),
  json: columnType("json"),
  jsonb: columnType("jsonb"),
  timestamptz: columnType("timestamptz"),
  "timestamptz(3)": columnType("timestamptz", { modifier: 3 }),
  timestamp: columnType("timestamp"),
  date: columnType("date"),
  time: columnType("time"),
  mood: columnType("public.mood", { enumValues: ["sad", "very happy"] }),
  inet: columnType("inet"),
  "int4[]": columnType("int4", { array: true }),
  "text[]": columnType("text", { array: true }),
  "numeric(6,2)[]": columnType("numeric", { array: true, modifier: numericModifier(6, 2) }),
  "mood[]": columnType("public.mood", { array: true, enumValues: ["sad", "very happy"] }),
  "box[]": columnType("box", { array: true, delimiter: ";" }),
};

type Accepted = [keyof typeof types, Value, string];
const accepted: Accepted[] = [
  ["bool", { kind: "bool", value: true }, "t"],
  ["bool", string(" Yes "), "t"],
  ["bool", string("of"), "f"],
  ["int2", int(-32768n), "-32768"],
  ["int4", string(" +007 "), "7"],
  ["int4", double(3), "3"],
  ["int4", numeric("12.00"), "12"],
  ["int4", numeric("-1.2e2"), "-120"],
  ["int8", int(9223372036854775807n), "9223372036854775807"],
  ["int8", double(2 ** 62), "4611686018427387904"],
  ["oid", int(4294967295n), "4294967295"],
  ["float8", double(0.1), "0.1"],
  ["float8", double(-0), "-0"],
  ["float8", double(1e15), "1e+15"],
  ["float8", double(123456789012345), "123456789012345"],
  ["float8", double(0.00001), "1e-05"],
  ["float8", double(0.0001234), "0.0001234"],
  ["float8", double(1200), "1200"],
  ["float8", double(Number.NaN), "NaN"],
  ["float8", string("-inf"), "-Infinity"],
  ["float8", int(9007199254740992n), "9.007199254740992e+15"],
  ["float4", double(0.1), "0.1"],
  ["float4", double(1234567), "1.234567e+06"],
  ["float4", double(Infinity), "Infinity"],
  ["numeric", numeric("0012.3400"), "12.3400"],
  ["numeric", string("1.5e3"), "1500"],
  ["numeric", string("1.5e-3"), "0.0015"],
  ["numeric", string("-0.0"), "0.0"],
  ["numeric", string("-inf"), "-Infinity"],
  ["numeric", double(0.1), "0.1"],
  ["numeric(6,2)", string("1.5"), "1.50"],
  ["numeric(6,2)", int(7n), "7.00"],
  ["numeric(6,2)", string("9999.994"), "9999.99"],
  ["numeric(6,2)", string("0.005"), "0.01"],
  ["numeric(6,2)", string("-0.005"), "-0.01"],
  ["numeric(6,2)", string("-0.004"), "0.00"],
  ["numeric(6,2)", string("nan"), "NaN"],
  ["numeric(3,-2)", string("12345"), "12300"],
  ["numeric(3,-2)", string("49"), "0"],
  ["numeric(2,4)", string("0.00944"), "0.0094"],
  ["text", string("😀 \n 'x'"), "😀 \n 'x'"],
  ["text", { kind: "uuid", value: "any" }, "any"],
  ["varchar(3)", string("😀😀😀"), "😀😀😀"],
  ["varchar(3)", string("ab    "), "ab "],
  ["char(3)", string("a"), "a  "],
  ["char(3)", string("abc  "), "abc"],
  ["uuid", string("{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}"), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
  ["uuid", { kind: "uuid", value: "a0eebc999c0b4ef8bb6d6bb9bd380a11" }, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
  ["bytea", { kind: "bytes", value: Uint8Array.of(0, 255) }, "\\x00ff"],
  ["bytea", string("\\xDEad"), "\\xdead"],
  ["json", { kind: "json", value: ' {"b":1, "b": 2}' }, ' {"b":1, "b": 2}'],
  ["json", string('"\\u0000"'), '"\\u0000"'],
  ["jsonb", { kind: "json", value: '{"aa":1,"b":[1,{"x":null}],"b":1e2}' }, '{"b": 100, "aa": 1}'],
  ["jsonb", string('[1.0,-0,1E-3,true,"\\u00e9\\n"]'), '[1.0, 0, 0.001, true, "é\\n"]'],
  ["timestamptz", instant(1_795_406_400n, 100_000_000), "2026-11-23 04:00:00.1+00"],
  ["timestamptz", instant(-1n, 999_999_000), "1969-12-31 23:59:59.999999+00"],
  ["timestamptz", string("2026-11-23T04:00:00.100+01:30"), "2026-11-23 02:30:00.1+00"],
  ["timestamptz", string("0044-03-15 12:00:00+00 BC"), "0044-03-15 12:00:00+00 BC"],
  ["timestamptz", string("-infinity"), "-infinity"],
  ["timestamptz", string("294276-12-31 23:59:59.999999Z"), "294276-12-31 23:59:59.999999+00"],
  ["timestamptz(3)", string("2026-11-23T04:00:00.9995Z"), "2026-11-23 04:00:01+00"],
  ["timestamptz(3)", string("1999-12-31T23:59:58.4995Z"), "1999-12-31 23:59:58.499+00"],
  ["timestamp", instant(0n), "1970-01-01 00:00:00"],
  ["timestamp", string("2026-11-23"), "2026-11-23 00:00:00"],
  ["timestamp", string("2026-11-23T04:00:00Z"), "2026-11-23 04:00:00"],
  ["date", string("2024-02-29"), "2024-02-29"],
  ["date", string("4714-11-24 BC"), "4714-11-24 BC"],
  ["date", instant(86_400n), "1970-01-02"],
  ["time", string("04:05"), "04:05:00"],
  ["time", string("24:00:00"), "24:00:00"],
  ["mood", string("very happy"), "very happy"],
  ["inet", string("anything"), "anything"],
  ["int4[]", array(), "{}"],
  ["int4[]", array(int(1n), NULL), "{1,NULL}"],
  ["int4[]", array(array(int(1n), int(2n)), array(int(3n), int(4n))), "{{1,2},{3,4}}"],
  ["int4[]", array(array(), array()), "{}"],
  ["int4[]", string(" { 1 , null,3 } "), "{1,NULL,3}"],
  ["int4[]", string("[0:1]={1,2}"), "[0:1]={1,2}"],
  ["int4[]", string("[1:2]={1,2}"), "{1,2}"],
  [
    "text[]",
    array(string(""), string("NULL"), string('a"b'), string("c\\d"), string("e f"), string("g,h")),
    '{"","NULL","a\\"b","c\\\\d","e f","g,h"}',
  ],
  ["text[]", string('{"a b",c d, "" ,"NULL",null,x\\ }'), '{"a b","c d","","NULL",NULL,"x "}'],
  ["text[]", array(string("\u00a0")), "{\u00a0}"],
  ["numeric(6,2)[]", array(numeric("1.005")), "{1.01}"],
  ["mood[]", array(string("sad"), string("very happy")), '{sad,"very happy"}'],
  ["box[]", string("{(1,1),(0,0);(2,2),(1,1)}"), "{(1,1),(0,0);(2,2),(1,1)}"],
];

test.each(accepted)("%s takes %o as PostgreSQL would store it", (type, value, text) => {
  expect(encode(types[type], value)).toBe(text);
  // What is stored can be written back.
  expect(encode(types[type], string(text))).toBe(text);
});

const refused: [keyof typeof types, Value, RegExp][] = [
  ["bool", int(1n), /int64 is not a boolean/],
  ["bool", string("o"), /not a boolean/],
  ["bool", string(""), /not a boolean/],
  ["int2", int(32768n), /32768 is out of range/],
  ["int4", string("2147483648"), /out of range/],
  ["int4", double(1.5), /1.5 is not an integer/],
  ["int4", double(Infinity), /not an integer/],
  ["int4", numeric("1.5"), /not an integer/],
  ["int4", numeric("1e-1"), /not an integer/],
  ["int4", { kind: "bool", value: true }, /bool is not an integer/],
  ["int4", string("1_000"), /not an integer/],
  ["int8", string("9223372036854775808"), /out of range/],
  ["oid", int(-1n), /out of range/],
  ["float8", int(9007199254740993n), /without loss/],
  ["float8", string("1e400"), /out of range/],
  ["float8", string("1e-400"), /out of range/],
  ["float8", string("0x10"), /not a number/],
  ["float4", double(3.5e38), /out of range/],
  ["float4", double(1e-46), /out of range/],
  ["numeric", string("1e200000"), /not a number, or far too large/],
  ["numeric", numeric("1e401"), /not a number, or far too large/],
  ["numeric", numeric("1e-402"), /not a number, or far too large/],
  ["numeric", string("."), /not a number/],
  ["numeric", { kind: "bytes", value: Uint8Array.of() }, /bytes is not a number/],
  ["numeric(6,2)", string("9999.995"), /too many digits \(the column is of type numeric\(6,2\)\)/],
  ["numeric(6,2)", string("Infinity"), /infinity/],
  ["numeric(2,4)", string("0.00995"), /too many digits/],
  ["text", { kind: "bytes", value: Uint8Array.of(1) }, /bytes is not a text/],
  ["text", int(1n), /int64 is not a text/],
  ["text", string("a\0b"), /NUL/],
  ["text", string("\ud800"), /surrogate/],
  ["varchar(3)", string("abcd"), /longer than 3 characters/],
  ["char(3)", string("ab  x"), /longer than 3/],
  ["name", string("é".repeat(32)), /longer than 63 bytes/],
  ["uuid", string("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1"), /not a UUID/],
  ["uuid", string("a0eebc99--9c0b-4ef8-bb6d-6bb9bd380a11"), /not a UUID/],
  ["bytea", string("abc"), /of the form/],
  ["bytea", string("\\xabc"), /of the form/],
  ["json", string("{'a':1}"), /not valid JSON/],
  ["json", string("["), /not valid JSON/],
  ["json", string("[".repeat(1001) + "]".repeat(1001)), /nested deeper/],
  ["jsonb", string('"\\u0000"'), /u0000/],
  ["jsonb", string('"\\ud800"'), /surrogate/],
  ["jsonb", string("1e200000"), /out of range/],
  ["jsonb", string(`[${"1e400,".repeat(50_000)}1]`), /far too long when they are written out/],
  ["jsonb", string(`{"]\\"[": ${"[".repeat(1000)}${"]".repeat(1000)}}`), /nested deeper/],
  ["timestamptz", instant(0n, 1), /finer than a microsecond/],
  ["timestamptz", string("2026-11-23T04:00:00.0000001Z"), /finer than a microsecond/],
  ["timestamptz", string("2026-11-23T04:00:00"), /no time zone/],
  ["timestamptz", string("2026-02-29T00:00:00Z"), /does not exist/],
  ["timestamptz", string("2026-11-23T24:00:00Z"), /does not exist/],
  ["timestamptz", string("0000-01-01T00:00:00Z"), /does not exist/],
  ["timestamptz", string("2026-11-23T04:00:00+16"), /does not exist/],
  ["timestamptz", string("294277-01-01T00:00:00Z"), /out of range/],
  ["timestamptz", string("now"), /not a time/],
  ["timestamptz", int(0n), /int64 is not a time/],
  ["timestamp", string("2026-11-23T04:00:00+01"), /time zone, which the column cannot keep/],
  ["date", string("2026-13-01"), /does not exist/],
  ["date", string("5874898-01-01"), /out of range/],
  ["date", instant(1n), /not midnight/],
  ["time", string("24:00:01"), /does not exist/],
  ["mood", string("Sad"), /"Sad" is not one of sad, very happy/],
  ["mood", int(1n), /not a string/],
  ["inet", int(1n), /text form as a string/],
  ["inet", string("\0"), /NUL/],
  ["int4[]", int(1n), /int64 is not an array/],
  ["int4[]", array(array(int(1n)), array(int(1n), int(2n))), /not rectangular/],
  ["int4[]", array(int(1n), array(int(2n))), /not rectangular/],
  ["int4[]", array(NULL, array(int(2n))), /not rectangular/],
  ["int4[]", string("{1,2"), /not an array/],
  ["int4[]", string("{1,,2}"), /not an array/],
  ["int4[]", string("{1}{2}"), /goes on/],
  ["int4[]", string("[0:2]={1,2}"), /other bounds/],
  ["int4[]", string("{{{{{{{1}}}}}}}"), /more than 6 dimensions/],
  ["mood[]", string("{glad}"), /not one of/],
];

test.each(refused)("%s refuses %o", (type, value, message) => {
  const error = refusal(types[type], value);
  expect(error).toMatchObject({ reason: "INVALID_VALUE", status: "INVALID_ARGUMENT", field: "f" });
  expect(error.message).toMatch(message);
});

describe("every type", () => {
  test.each(Object.entries(types))("%s passes NULL", (_, type) => {
    expect(encode(type, NULL)).toBeNull();
  });
});

test("the field of a refused element is its path in the array", () => {
  const error = refusal(types["int4[]"], array(array(int(1n)), array(string("x"))));
  expect(error.field).toBe("f.array_value.values[1].array_value.values[0]");
});

test("a long text is not repeated in full", () => {
  expect(refusal(types.uuid, string("x".repeat(1000))).message.length).toBeLessThan(200);
});

test("only types that memory checks in full count as checked", () => {
  const unchecked = Object.entries(types).filter(([, type]) => !isFullyChecked(type));
  expect(unchecked.map(([name]) => name)).toEqual(["inet", "box[]"]);
  expect(isFullyChecked(columnType("int4", { domain: true }))).toBe(false);
});
