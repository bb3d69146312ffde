import pg from "pg";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Catalog } from "../../src/catalog/catalog.ts";
import { checkOnReplica } from "../../src/catalog/check-on-replica.ts";
import { completeWrite } from "../../src/catalog/complete-write.ts";
import { loadCatalog } from "../../src/catalog/load-catalog.ts";
import { OpsDbError } from "../../src/errors.ts";
import type { Value } from "../../src/value.ts";
import type { Mutation, RequestedMutation } from "../../src/write.ts";
import { createDatabase, type TestDatabase } from "../support/test-database.ts";

let database: TestDatabase;
let replica: pg.Client;
let catalog: Catalog;

beforeEach(async () => {
  database = await createDatabase();
  await database.onPrimary(`
    create domain percent as numeric(5,2) check (value between 0 and 100);
    create table shots (
      id int primary key, length interval, span int4range, filled percent default 1 + 1, bits bit(4),
      drawn text not null default upper('n' || 'ew'), low int, high int check (high < 100),
      band text collate "und-x-icu" check (band < 'n'),
      constraint shots_order check (low < high))`);
  await database.caughtUp();
  replica = new pg.Client({ connectionString: database.standbyUrl });
  await replica.connect();
  catalog = await loadCatalog(replica);
});

afterEach(async () => {
  await replica.end();
  await database[Symbol.asyncDispose]();
});

const s = (value: string): Value => ({ kind: "string", value });

function insert(values: Record<string, string>): RequestedMutation {
  const entries = Object.entries(values).map(([name, value]): [string, Value] => [name, s(value)]);
  return { table: "shots", operation: "insert", key: {}, values: Object.fromEntries(entries), preconditions: [] };
}

async function complete(...mutations: RequestedMutation[]): Promise<Mutation[]> {
  const requested = {
    writeId: "0190a000-0000-7000-8000-000000000001",
    payloadHash: Uint8Array.of(),
    mutations,
    fresh: false,
  };
  const { write, unchecked } = completeWrite(catalog, requested, { generateAtMain: false, now: new Date() });
  await checkOnReplica(replica, catalog, write, unchecked);
  return write.mutations;
}

async function refusal(...mutations: RequestedMutation[]): Promise<{ reason: string; field: string | undefined }> {
  const error: unknown = await complete(...mutations).catch((reason: unknown) => reason);
  if (!(error instanceof OpsDbError)) throw new Error(`not refused: ${String(error)}`);
  return { reason: error.reason, field: error.field };
}

test("the replica evaluates defaults and brings values into their stored form", async () => {
  const [first, second] = await complete(
    insert({ id: "1", length: "90 min", span: "[1,5]" }),
    insert({ id: "2", length: "1 day", span: "empty", drawn: "x" }),
  );
  expect(first?.columns).toEqual(["id", "length", "span", "filled", "bits", "drawn", "low", "high", "band"]);
  expect(first?.values).toEqual(["1", "01:30:00", "[1,6)", "2.00", null, "NEW", null, null, null]);
  expect(second?.values).toEqual(["2", "1 day", "empty", "2.00", null, "x", null, null, null]);
});

test("what it completes is what the main database stores", async () => {
  const [mutation] = await complete(insert({ id: "1", length: "36:00", span: "(0,3)", filled: "12.345" }));
  await database.onPrimary("insert into shots (id, length, span, filled) values (1, '36:00', '(0,3)', 12.345)");
  const [stored] = await database.onPrimary<Record<string, string>>(
    "select concat(length) as length, concat(span) as span, concat(filled) as filled, drawn from shots",
  );
  const completed = Object.fromEntries(mutation?.columns.map((name, i) => [name, mutation.values[i]]) ?? []);
  expect(completed).toMatchObject(stored ?? {});
});

test("a value that the type refuses is named", async () => {
  expect(await refusal(insert({ id: "1" }), insert({ id: "2", length: "long" }))).toEqual({
    reason: "INVALID_VALUE",
    field: 'mutations[1].insert.values["length"]',
  });
  expect(await refusal(insert({ id: "1", filled: "101" }))).toEqual({
    reason: "INVALID_VALUE",
    field: 'mutations[0].insert.values["filled"]',
  });
});

test("a violated CHECK is named, with its column where it has one alone", async () => {
  expect(await refusal(insert({ id: "1", low: "1", high: "100" }))).toEqual({
    reason: "CHECK_VIOLATION",
    field: 'mutations[0].insert.values["high"]',
  });
  expect(await refusal(insert({ id: "1" }), insert({ id: "2", low: "9", high: "3" }))).toEqual({
    reason: "CHECK_VIOLATION",
    field: "mutations[1].insert.values",
  });
});

test("a CHECK compares texts by their column's collation", async () => {
  const [mutation] = await complete(insert({ id: "1", band: "É" }));
  expect(mutation?.values).toContain("É");
  expect(await refusal(insert({ id: "1", band: "ø" }))).toEqual({
    reason: "CHECK_VIOLATION",
    field: 'mutations[0].insert.values["band"]',
  });
});

test("an update is held against the checks whose columns it has", async () => {
  const update = (values: Record<string, Value>): RequestedMutation => ({
    table: "shots",
    operation: "update",
    key: { id: s("1") },
    values,
    preconditions: [{ kind: "columns_equal", values: { length: s("90 min") } }],
  });
  const [mutation] = await complete(update({ low: s("200") }));
  expect(mutation?.preconditions).toEqual([{ kind: "columns_equal", columns: ["length"], values: ["01:30:00"] }]);
  expect(await refusal(update({ low: s("2"), high: s("1") }))).toMatchObject({ reason: "CHECK_VIOLATION" });
});

test("bits of a length that only an insert would refuse are refused", async () => {
  expect(await refusal(insert({ id: "1", bits: "101" }))).toEqual({
    reason: "INVALID_VALUE",
    field: 'mutations[0].insert.values["bits"]',
  });
});

test("a schema that has changed since leaves the write to the main database", async () => {
  await database.onPrimary("alter table shots drop constraint shots_order; drop table shots; drop domain percent");
  await database.caughtUp();
  const [mutation] = await complete(insert({ id: "1", filled: "3" }));
  expect(mutation?.columns).not.toContain("drawn");
});

test("an error of the connection goes through as it is", async () => {
  const gone = new pg.Client({ connectionString: database.standbyUrl });
  await gone.connect();
  await gone.end();
  const requested = {
    writeId: "0190a000-0000-7000-8000-000000000001",
    payloadHash: Uint8Array.of(),
    mutations: [insert({ id: "1" })],
    fresh: false,
  };
  const { write, unchecked } = completeWrite(catalog, requested, { generateAtMain: false, now: new Date() });
  const error: unknown = await checkOnReplica(gone, catalog, write, unchecked).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(Error);
  expect(error).not.toBeInstanceOf(OpsDbError);
});
