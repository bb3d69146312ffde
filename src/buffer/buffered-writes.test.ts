import { expect, test } from "vitest";
import type { LedgerRow } from "../postgres/ledger.ts";
import type { Mutation } from "../write.ts";
import { BufferedWrites } from "./buffered-writes.ts";
import { decodeWrite, encodeWrite } from "./entry-codec.ts";
import { ledgerRowOf, settle } from "./settle.ts";

const mutation = (operation: Mutation["operation"], key: string): Mutation => ({
  table: "public.log",
  operation,
  key: [key],
  columns: ["n"],
  values: [key],
  preconditions: [],
});

/** Entries at positions 1, 2, ... */
function buffered(...writes: [id: string, ...Mutation[]][]): BufferedWrites {
  const buffer = new BufferedWrites();
  writes.forEach(([writeId, ...mutations], i) => {
    buffer.add(BigInt(i + 1), writeId, encodeWrite({ writeId, payloadHash: Buffer.from(writeId), mutations }));
  });
  return buffer;
}

test("a payload is decoded as it was encoded", () => {
  const write = {
    writeId: "w",
    payloadHash: Buffer.from([0, 255]),
    mutations: [
      mutation("insert", 'é"\\'),
      { ...mutation("insert", "1"), filled: ["n"] },
      { ...mutation("upsert", "2"), setColumns: [], filled: ["n"] },
      { ...mutation("upsert", "2"), setColumns: [] },
      { ...mutation("update", "3"), values: [null], preconditions: [{ kind: "row_exists" as const, exists: true }] },
      { ...mutation("delete", "4"), columns: [], values: [] },
    ],
  };
  expect(decodeWrite("w", encodeWrite(write))).toEqual(write);
});

test("G2: the second entry of a write id is a duplicate of the first, and the id names the first", () => {
  const buffer = buffered(
    ["a", mutation("insert", "1")],
    ["b", mutation("insert", "2")],
    ["a", mutation("insert", "1")],
  );
  expect(buffer.after(0n).map(({ duplicateOf }) => duplicateOf)).toEqual([undefined, undefined, 1n]);
  expect(buffer.byId("a")?.position).toBe(1n);
});

test("pending writes tell whether a row exists until they are proven", () => {
  const buffer = buffered(
    ["a", mutation("insert", "1")],
    ["b", mutation("delete", "1")],
    ["c", mutation("insert", "2")],
  );
  expect(buffer.rowExists("public.log", ["1"])).toBe(false);
  expect(buffer.rowExists("public.log", ["2"])).toBe(true);
  expect(buffer.rowExists("public.log", ["3"])).toBeUndefined();
  buffer.prove(1n);
  expect(buffer.rowExists("public.log", ["1"])).toBe(false);
  buffer.prove(2n);
  expect(buffer.rowExists("public.log", ["1"])).toBeUndefined();
  buffer.unprove(0n);
  expect(buffer.rowExists("public.log", ["2"])).toBe(true);
});

test("G8: only proven writes are forgotten", () => {
  const buffer = buffered(["a", mutation("insert", "1")], ["b", mutation("insert", "2")]);
  buffer.prove(1n);
  expect(() => buffer.forget(2n)).toThrow("proven");
  expect(buffer.trimmableTo(Number.POSITIVE_INFINITY)).toBe(1n);
  buffer.forget(1n);
  expect([buffer.size, buffer.unproven, buffer.forgottenTo, buffer.byId("a")]).toEqual([1, 1, 1n, undefined]);
});

test("G2: the original of a duplicate that still waits is kept", () => {
  const buffer = buffered(
    ["a", mutation("insert", "1")],
    ["b", mutation("insert", "2")],
    ["a", mutation("insert", "1")],
  );
  buffer.prove(2n);
  expect(buffer.trimmableTo(Number.POSITIVE_INFINITY)).toBe(0n);
  buffer.prove(3n);
  expect(buffer.trimmableTo(Number.POSITIVE_INFINITY)).toBe(3n);
});

test("G2: with the replica made again from an older base, what main has decided stays applied or rejected, and waits for its proof", () => {
  const buffer = buffered(
    ["a", mutation("insert", "1")],
    ["b", mutation("insert", "2")],
    ["c", mutation("insert", "3")],
  );
  const [first, second, third] = buffer.after(0n);
  for (const entry of [first, second]) if (entry) entry.state = "REPLICATED";
  if (third) buffer.reject(third, { reason: "ROW_EXISTS", message: "main has it" }, new Date());
  buffer.prove(3n);
  buffer.unprove(1n);
  expect(buffer.unproven).toBe(2);
  expect(buffer.after(0n).map(({ state }) => state)).toEqual(["REPLICATED", "APPLIED", "REJECTED"]);
  expect(third?.rejection).toMatchObject({ reason: "ROW_EXISTS" });
});

test("G2: what main itself has lost is open again", () => {
  const buffer = buffered(["a", mutation("insert", "1")], ["b", mutation("insert", "2")]);
  const [first, second] = buffer.after(0n);
  if (first) first.state = "REPLICATED";
  if (second) buffer.reject(second, { reason: "ROW_EXISTS", message: "main has it" }, new Date());
  buffer.prove(2n);
  buffer.reopen(0n);
  buffer.unprove(0n);
  expect(buffer.after(0n).map(({ state, rejection }) => [state, rejection])).toEqual([
    ["ACCEPTED", undefined],
    ["ACCEPTED", undefined],
  ]);
});

test("G5: what is unproven again does not hide what later writes do to the same rows", () => {
  const buffer = buffered(
    ["a", mutation("insert", "1")],
    ["b", mutation("insert", "2")],
    ["c", mutation("delete", "1")],
  );
  buffer.prove(2n);
  buffer.unprove(0n);
  expect(buffer.rowExists("public.log", ["1"])).toBe(false);
  expect(buffer.rowExists("public.log", ["2"])).toBe(true);
  expect(buffer.unproven).toBe(3);
});

test("G8: a second content that an older version passed over without a row of its own is settled by its id's", () => {
  const buffer = buffered(["a", mutation("insert", "1")]);
  buffer.add(
    2n,
    "a",
    encodeWrite({ writeId: "a", payloadHash: Buffer.from("other"), mutations: [mutation("insert", "2")] }),
  );
  const entry = buffer.firstAfter(1n);
  if (!entry) throw new Error("no entry");
  const row: LedgerRow = {
    writeId: "a",
    site: "s",
    position: 1n,
    payloadHash: Buffer.from("a"),
    outcome: "APPLIED",
    rejection: undefined,
    appliedAt: new Date(0),
  };
  const found = ledgerRowOf(entry, new Map([["a", row]]));
  expect(found).toBe(row);
  settle(buffer, entry, row);
  expect(entry).toMatchObject({ state: "REJECTED", rejection: { reason: "WRITE_ID_REUSED" } });
});
