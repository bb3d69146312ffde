import { expect, test } from "vitest";
import type { Value } from "../value.ts";
import type { RequestedMutation } from "../write.ts";
import { payloadHash } from "./payload-hash.ts";

const text = (value: string): Value => ({ kind: "string", value });

function insert(values: Record<string, Value>, rest: Partial<RequestedMutation> = {}): RequestedMutation {
  return { table: "files", operation: "insert", key: {}, values, preconditions: [], ...rest };
}

function hex(...mutations: RequestedMutation[]): string {
  return Buffer.from(payloadHash(mutations)).toString("hex");
}

test("the order of a client's map makes no difference", () => {
  expect(hex(insert({ a: text("1"), b: text("2") }))).toBe(hex(insert({ b: text("2"), a: text("1") })));
});

test("the form of version 1 stays what stored hashes were made with", () => {
  expect(hex(insert({ a: text("1") }))).toBe("f1120a5522360ea1c752cd1e80ca02a6811df7e21bd5c442d6f39d667e41fbe4");
});

test("different content has a different hash", () => {
  const bytes = (...value: number[]): Value => ({ kind: "bytes", value: new Uint8Array(value) });
  const array = (...values: Value[]): Value => ({ kind: "array", values });
  const contents = [
    [],
    [insert({})],
    [insert({}), insert({})],
    [insert({}, { operation: "upsert" })],
    [insert({}, { table: "file" })],
    [insert({ a: text("1") })],
    [insert({ a: text("1:1") })],
    [insert({ a1: text("") })],
    [insert({ a: { kind: "uuid", value: "1" } })],
    [insert({ a: { kind: "numeric", value: "1" } })],
    [insert({ a: { kind: "json", value: "1" } })],
    [insert({ a: { kind: "int64", value: 1n } })],
    [insert({ a: { kind: "double", value: 1 } })],
    [insert({ a: { kind: "double", value: 0 } })],
    [insert({ a: { kind: "double", value: -0 } })],
    [insert({ a: { kind: "double", value: Number.NaN } })],
    [insert({ a: { kind: "bool", value: true } })],
    [insert({ a: { kind: "bool", value: false } })],
    [insert({ a: { kind: "null" } })],
    [insert({ a: { kind: "timestamp", seconds: 1n, nanos: 0 } })],
    [insert({ a: { kind: "timestamp", seconds: 1n, nanos: 1000 } })],
    [insert({ a: bytes() })],
    [insert({ a: bytes(0) })],
    [insert({ a: bytes(0, 0) })],
    [insert({ a: array() })],
    [insert({ a: array(text("x"), text("y")) })],
    [insert({ a: array(text("xy")) })],
    [insert({ a: array(array(text("x")), text("y")) })],
    [insert({ a: array(array(text("x"), text("y"))) })],
    [insert({}, { key: { a: text("1") } })],
    [insert({}, { preconditions: [{ kind: "row_exists", exists: true }] })],
    [insert({}, { preconditions: [{ kind: "row_exists", exists: false }] })],
    [insert({}, { preconditions: [{ kind: "columns_equal", values: {} }] })],
    [insert({}, { preconditions: [{ kind: "columns_equal", values: { a: text("1") } }] })],
  ];
  expect(new Set(contents.map((content) => hex(...content))).size).toBe(contents.length);
});
