import { create } from "@bufbuild/protobuf";
import { Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { Redis } from "ioredis";
import pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { insert, remove, update, upsert } from "../../demo/mutations.ts";
import type { MutationInit, Row } from "../../demo/site-client.ts";
import { bytes, double, integer, json, list, nothing, numeric, text, uuid } from "../../demo/values.ts";
import { ComparisonOperator } from "../../gen/ts/opsdb/v1/query_pb.ts";
import { ValueSchema } from "../../gen/ts/opsdb/v1/value_pb.ts";
import { errorInfo } from "../support/stub-server.ts";
import { type SiteRole, secondarySiteName, startTwoSite, type TwoSite } from "../support/two-site.ts";
import { compare, equals, type Refusal, refusal, SiteCaller, writeBytes } from "./site-caller.ts";

const observatory = uuid("0b5e0000-0000-4000-8000-000000000001");
const telescope = uuid("7e1e0000-0000-4000-8000-000000000001");
const chai = uuid("15700000-0000-4000-8000-000000000002");
const program = uuid("9a090000-0000-4000-8000-000000000001");
const execution = uuid("e8ec0000-0000-4000-8000-000000000001");
const nobody = uuid("00000000-0000-4000-8000-00000000dead");
const used = { main: "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", secondary: "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a22" };
const unknown = "00000000-0000-4000-8000-00000000beef";
const hostile = 'x"; drop table observatories; --';

let sites: TwoSite;
let redis: Redis;
let database: pg.Client;
let callers: { main: SiteCaller; secondary: SiteCaller };

beforeAll(async () => {
  sites = await startTwoSite();
  redis = new Redis(sites.redis.url);
  database = new pg.Client(sites.urls.main);
  await database.connect();
  callers = { main: new SiteCaller(sites.main), secondary: new SiteCaller(sites.secondary) };
  await database.query("create table notes (line text)");
  await sites.standby.caughtUp();
});

afterAll(async () => {
  callers?.main[Symbol.dispose]();
  callers?.secondary[Symbol.dispose]();
  redis?.disconnect();
  await database?.end();
  await sites?.[Symbol.asyncDispose]();
});

const values = (name: string, operation = "insert"): string =>
  `mutations[0].${operation}.values[${JSON.stringify(name)}]`;

/** Good rows, with something in them changed. */
const newTelescope = (changed: Row) =>
  insert("telescopes", { observatory_id: observatory, name: text("new"), aperture_m: numeric("1.5"), ...changed });
const newModule = (changed: Row): MutationInit =>
  insert("instrument_modules", { instrument_id: chai, module_no: integer(9), name: text("new"), ...changed });
const newUnit = (changed: Row): MutationInit =>
  insert("obs_units", { observing_program_id: program, instrument_id: chai, name: text("new"), ...changed });
const newSample = (changed: Row): MutationInit =>
  insert("weather_samples", { station: text("new"), sampled_at: text("2026-11-20 04:30:00+00"), ...changed });
const newPackage = (changed: Row): MutationInit =>
  insert("raw_data_packages", { executed_obs_unit_id: execution, name: text("new"), ...changed });
const newSource = (changed: Row): MutationInit =>
  insert("sources", { id: integer(77), name: text("new"), ra_deg: double(1), dec_deg: double(1), ...changed });
const without = (mutation: MutationInit, name: string): MutationInit => {
  if (mutation.operation?.case === "insert") delete mutation.operation.value.values?.[name];
  return mutation;
};

const invalidValue = (field: string) => ({ code: "InvalidArgument", reason: "INVALID_VALUE", field });
const invalidField = (field: string) => ({ code: "InvalidArgument", reason: "INVALID_FIELD", field });
const noColumn = (field: string) => ({ code: "NotFound", reason: "COLUMN_NOT_FOUND", field });
const noTable = (field: string) => ({ code: "NotFound", reason: "TABLE_NOT_FOUND", field });

type Expected = Partial<Record<keyof Refusal, unknown>>;

const writes: [what: string, mutations: MutationInit[], expected: Expected][] = [
  ["no mutations", [], invalidField("mutations")],
  ["a mutation without an operation", [{ table: "sources" }], invalidField("mutations[0]")],
  ["a mutation without a table", [insert("", {})], invalidField("mutations[0].table")],
  ["an unknown table", [insert("planets", {})], noTable("mutations[0].table")],
  ["a schema's table that is not there", [insert("public.planets", {})], noTable("mutations[0].table")],
  ["the service's own ledger", [insert("opsdb.ledger", {})], noTable("mutations[0].table")],
  ["a system table", [insert("pg_catalog.pg_class", {})], noTable("mutations[0].table")],
  ["a hostile table name", [insert(hostile, {})], noTable("mutations[0].table")],
  ["an unknown column", [newTelescope({ colour: text("red") })], noColumn(values("colour"))],
  ["a hostile column name", [newTelescope({ [hostile]: text("x") })], noColumn(values(hostile))],
  ["a column name that every object has", [newTelescope({ constructor: text("x") })], noColumn(values("constructor"))],
  [
    "a hostile name in a key",
    [remove("telescopes", { id: telescope, [hostile]: text("x") })],
    noColumn(`mutations[0].delete.key[${JSON.stringify(hostile)}]`),
  ],
  [
    "a hostile name in a precondition",
    [
      {
        table: "sources",
        operation: { case: "delete", value: { key: { id: integer(1) } } },
        preconditions: [{ condition: { case: "columnsEqual", value: { values: { [hostile]: text("x") } } } }],
      },
    ],
    noColumn(`mutations[0].preconditions[0].columns_equal.values[${JSON.stringify(hostile)}]`),
  ],
  [
    "a table without a key",
    [insert("notes", { line: text("x") })],
    { code: "FailedPrecondition", reason: "NOT_WRITABLE" },
  ],
  ["a value without a kind", [newTelescope({ name: create(ValueSchema, {}) })], invalidField(values("name"))],
  ["text for a number", [newModule({ pixel_count: text("many") })], invalidValue(values("pixel_count"))],
  [
    "bytes for a boolean",
    [newModule({ polarization: bytes(new Uint8Array(1)) })],
    invalidValue(values("polarization")),
  ],
  ["a number for text", [newModule({ name: integer(7) })], invalidValue(values("name"))],
  ["one value for an array", [newSource({ aliases: integer(7) })], invalidValue(values("aliases"))],
  [
    "an array with a wrong element",
    [newModule({ band_edges_ghz: list([double(1), text("two")]) })],
    { code: "InvalidArgument", reason: "INVALID_VALUE" },
  ],
  ["a fraction for an integer", [newModule({ pixel_count: double(1.5) })], invalidValue(values("pixel_count"))],
  ["a smallint out of range", [newModule({ module_no: integer(32_768) })], invalidValue(values("module_no"))],
  ["an integer out of range", [newModule({ pixel_count: integer(2 ** 31) })], invalidValue(values("pixel_count"))],
  ["a bigint out of range", [newSource({ id: text("9223372036854775808") })], invalidValue(values("id"))],
  [
    "a numeric with too many digits",
    [newTelescope({ aperture_m: numeric("1000") })],
    invalidValue(values("aperture_m")),
  ],
  [
    "a numeric that rounds up to too many digits",
    [newTelescope({ aperture_m: numeric("999.995") })],
    invalidValue(values("aperture_m")),
  ],
  ["a real out of range", [newSample({ wind_speed_m_s: double(1e39) })], invalidValue(values("wind_speed_m_s"))],
  ["a double out of range", [newSample({ pwv_mm: text("1e309") })], invalidValue(values("pwv_mm"))],
  ["a malformed uuid", [newTelescope({ id: uuid("7e1e-1") })], invalidValue(values("id"))],
  ["a malformed timestamp", [newSample({ sampled_at: text("2026-13-45 25:00") })], invalidValue(values("sampled_at"))],
  ["a timestamp that is no day", [newSample({ sampled_at: text("2026-02-30") })], invalidValue(values("sampled_at"))],
  ["a timestamp finer than microseconds", [newSample({ sampled_at: at(1n, 1) })], invalidValue(values("sampled_at"))],
  ["a timestamp beyond its range", [newSample({ sampled_at: at(1n << 40n, 0) })], invalidValue(values("sampled_at"))],
  ["a malformed date", [newTelescope({ first_light: text("first of may") })], invalidValue(values("first_light"))],
  [
    "a malformed interval",
    [newUnit({ duration_nominal: text("an hour or so") })],
    invalidValue(values("duration_nominal")),
  ],
  [
    "malformed JSON",
    [newUnit({ tuning: create(ValueSchema, { kind: { case: "jsonValue", value: "{" } }) })],
    invalidValue(values("tuning")),
  ],
  ["JSON with U+0000", [newUnit({ tuning: json("\0") })], invalidValue(values("tuning"))],
  ["text with U+0000", [newTelescope({ name: text("a\0b") })], invalidValue(values("name"))],
  ["an unknown label of an enum", [newPackage({ state: text("LOST") })], invalidValue(values("state"))],
  ["a varchar that is too long", [newTelescope({ name: text("x".repeat(81)) })], invalidValue(values("name"))],
  [
    "NULL where none may be",
    [newTelescope({ name: nothing() })],
    { code: "InvalidArgument", reason: "NOT_NULL_VIOLATION", field: values("name") },
  ],
  [
    "nothing where a value must be",
    [without(newTelescope({}), "name")],
    { code: "InvalidArgument", reason: "NOT_NULL_VIOLATION", field: values("name") },
  ],
  [
    "NULL in a key",
    [remove("telescopes", { id: nothing() })],
    { code: "InvalidArgument", reason: "NOT_NULL_VIOLATION", field: 'mutations[0].delete.key["id"]' },
  ],
  [
    "an insert without a part of its key",
    [without(newModule({}), "module_no")],
    { code: "InvalidArgument", reason: "MISSING_KEY", field: values("module_no") },
  ],
  [
    "an upsert without its key",
    [upsert("telescopes", { name: text("x") })],
    { code: "InvalidArgument", reason: "MISSING_KEY", field: values("id", "upsert") },
  ],
  [
    "an update without a part of its key",
    [update("instrument_modules", { instrument_id: chai }, { name: text("x") })],
    { code: "InvalidArgument", reason: "MISSING_KEY", field: 'mutations[0].update.key["module_no"]' },
  ],
  ["an update without a key", [update("telescopes", {}, { name: text("x") })], invalidField("mutations[0].update.key")],
  ["an update of nothing", [update("telescopes", { id: telescope }, {})], invalidField("mutations[0].update.values")],
  [
    "an update of a key",
    [update("telescopes", { id: telescope }, { id: nobody })],
    invalidField('mutations[0].update.values["id"]'),
  ],
  ["a delete without a key", [remove("telescopes", {})], invalidField("mutations[0].delete.key")],
  [
    "a key with a column that is none",
    [remove("telescopes", { id: telescope, name: text("FYST") })],
    invalidField('mutations[0].delete.key["name"]'),
  ],
  [
    "an insert of a key that exists",
    [newTelescope({ id: telescope })],
    { code: "AlreadyExists", reason: "ROW_EXISTS" },
  ],
  ["the same key twice in one write", [newSample({}), newSample({})], { code: "AlreadyExists", reason: "ROW_EXISTS" }],
  [
    "an update of a row that does not exist",
    [update("telescopes", { id: nobody }, { name: text("x") })],
    { code: "NotFound", reason: "ROW_NOT_FOUND", field: "mutations[0].update.key" },
  ],
  [
    "an update of a row that the same write deletes",
    [
      newSample({}),
      remove("weather_samples", sampleKey()),
      update("weather_samples", sampleKey(), { pwv_mm: double(1) }),
    ],
    { code: "NotFound", reason: "ROW_NOT_FOUND", field: "mutations[2].update.key" },
  ],
  [
    "a row that a CHECK forbids",
    [newSample({ relative_humidity: numeric("101") })],
    { code: "InvalidArgument", reason: "CHECK_VIOLATION" },
  ],
  [
    "a row that a CHECK of several columns forbids",
    [
      insert("observing_programs", {
        program_id: text("new"),
        title: text("new"),
        principal_investigator: text("new"),
        valid_from: text("2027-01-01"),
        valid_until: text("2026-01-01"),
      }),
    ],
    { code: "InvalidArgument", reason: "CHECK_VIOLATION" },
  ],
  [
    "one good mutation before a bad one",
    [newSample({}), newTelescope({ aperture_m: text("wide") })],
    invalidValue('mutations[1].insert.values["aperture_m"]'),
  ],
];

function at(seconds: bigint, nanos: number) {
  const value = { $typeName: "google.protobuf.Timestamp" as const, seconds, nanos };
  return create(ValueSchema, { kind: { case: "timestampValue", value } });
}

function sampleKey(): Row {
  return { station: text("new"), sampled_at: text("2026-11-20 04:30:00+00") };
}

const calls: [what: string, call: (site: SiteCaller, role: SiteRole) => Promise<unknown>, expected: Expected][] = [
  ["a malformed write id", (site) => site.write([newSample({})], { writeId: "7" }), invalidField("write_id")],
  [
    "a write id that was used with other content",
    (site, role) => site.write([newSample({})], { writeId: used[role] }),
    { code: "AlreadyExists", reason: "WRITE_ID_REUSED", field: "write_id" },
  ],
  [
    "a message over the limit",
    (site) => site.write([newSample({ station: text("x".repeat(5 * 1024 * 1024)) })]),
    { code: "ResourceExhausted", reason: "MESSAGE_TOO_LARGE" },
  ],
  ["a query without a table", (site) => site.query(""), invalidField("table")],
  ["a query of an unknown table", (site) => site.query("planets"), noTable("table")],
  ["a query of a hostile table", (site) => site.query(hostile), noTable("table")],
  ["a query of the service's own ledger", (site) => site.query("opsdb.ledger"), noTable("table")],
  [
    "a query of a column that is not there",
    (site) => site.query("sources", { columns: ["id", "colour"] }),
    noColumn("columns[1]"),
  ],
  ["a query of a hostile column", (site) => site.query("sources", { columns: [hostile] }), noColumn("columns[0]")],
  [
    "an order by a hostile column",
    (site) => site.query("sources", { orderBy: [{ column: "id" }, { column: hostile }] }),
    noColumn("order_by[1].column"),
  ],
  [
    "a condition on a hostile column",
    (site) => site.query("sources", { where: equals(hostile, integer(1)) }),
    noColumn("where.comparison.column"),
  ],
  [
    "LIKE on a number",
    (site) => site.query("sources", { where: compare("id", ComparisonOperator.LIKE, text("1%")) }),
    { code: "InvalidArgument", reason: "INVALID_OPERATOR", field: "where.comparison.operator" },
  ],
  [
    "a wrong value in a condition",
    (site) => site.query("sources", { where: equals("id", text("one")) }),
    invalidValue("where.comparison.value"),
  ],
  [
    "a wrong value in a list",
    (site) =>
      site.query("telescopes", {
        where: { condition: { case: "in", value: { column: "id", values: [telescope, text("FYST")] } } },
      }),
    invalidValue("where.in.values[1]"),
  ],
  ["batches that are too large", (site) => site.query("sources", { batchSize: 10_001 }), invalidField("batch_size")],
  [
    "a malformed token",
    (site) => site.query("sources", { token: Buffer.from("fresh") }),
    { code: "InvalidArgument", reason: "INVALID_TOKEN", field: "token" },
  ],
  [
    "a token of JSON that no site wrote",
    (site) => site.query("sources", { token: Buffer.from('[1,"ccat","",1,"x-y","Z/Z"]') }),
    { code: "InvalidArgument", reason: "INVALID_TOKEN", field: "token" },
  ],
  [
    "a token of another system",
    (site) => site.query("sources", { token: Buffer.from('[1,"ccat","12345",1,"1-0",0]') }),
    { code: "InvalidArgument", reason: "INVALID_TOKEN", field: "token" },
  ],
  [
    "an unknown write",
    (site) => site.writes.getWrite({ writeId: unknown }),
    { code: "NotFound", reason: "WRITE_NOT_FOUND", field: "write_id" },
  ],
  ["a malformed id of a write", (site) => site.writes.getWrite({ writeId: "7" }), invalidField("write_id")],
  ["no id of a write", (site) => site.writes.getWrite({}), invalidField("write_id")],
  ["a watch of a malformed LSN", (site) => watch(site, { lsn: "0/XYZ" }), invalidField("lsn")],
  ["a watch of a malformed write id", (site) => watch(site, { writeId: "7" }), invalidField("write_id")],
  [
    "a watch of an unknown write",
    (site) => watch(site, { writeId: unknown }),
    { code: "NotFound", reason: "WRITE_NOT_FOUND" },
  ],
  ["heartbeats that are too fast", (site) => watch(site, { heartbeat: { nanos: 1 } }), invalidField("heartbeat")],
  ["a description of no table", (site) => site.catalog.describeTable({}), invalidField("table")],
  ["a description of a hostile table", (site) => site.catalog.describeTable({ table: hostile }), noTable("table")],
];

function watch(site: SiteCaller, request: Parameters<SiteCaller["replication"]["watchReplication"]>[0]) {
  return Array.fromAsync(site.replication.watchReplication(request));
}

describe.each(["main", "secondary"] as const)("at the %s site", (role) => {
  let site: SiteCaller;
  let stored: unknown;

  beforeAll(async () => {
    site = callers[role];
    const { status } = await site.write([newSample({ station: text(`used at ${role}`) })], { writeId: used[role] });
    await callers.secondary.home(status?.writeId);
    stored = await everything();
  });
  afterEach(async () => {
    expect(await everything()).toEqual(stored);
  });

  test.each(writes)("a write with %s is refused and nothing is stored", async (_what, mutations, expected) => {
    expect(await refusal(site.write(mutations))).toMatchObject({ domain: "opsdb.v1", ...expected });
  });

  test.each(calls)("%s is refused and nothing is stored", async (_what, call, expected) => {
    expect(await refusal(call(site, role))).toMatchObject({ domain: "opsdb.v1", ...expected });
  });

  test.each<[what: string, from: string, to: Buffer, expected: [number, string]]>([
    ["text that is not UTF-8", "STATION", Buffer.alloc(7, 0xc3), [3, "INVALID_FIELD"]],
    ["a name that is not UTF-8", "pwv_mm", Buffer.alloc(6, 0xff), [3, "INVALID_FIELD"]],
    ["a name that no object can have", "COLUMN_NO", Buffer.from("__proto__"), [5, "COLUMN_NOT_FOUND"]],
    ["what is no message at all", "\x12", Buffer.alloc(1, 0xff), [3, "INVALID_FIELD"]],
  ])("%s is refused and nothing is stored", async (_what, from, to, expected) => {
    const row = { station: text("STATION"), pwv_mm: double(1), COLUMN_NO: double(1) };
    const message = writeBytes([newSample(row)]);
    to.copy(message, message.indexOf(from));
    const { code, reason } = await refusedBytes(sites[role].grpc, message);
    expect([code, reason]).toEqual(expected);
  });

  test("the check that nothing is stored sees one more row", async () => {
    const { status } = await site.write([newSample({ station: text(`seen at ${role}`) })]);
    await callers.secondary.home(status?.writeId);
    const now = await everything();
    expect(now).not.toEqual(stored);
    stored = now;
  });
});

test("an upsert has to name its row, also where a sequence makes the keys of new ones", async () => {
  const mutation = upsert("sources", { name: text("a source without a key") });
  expect(await refusal(callers.secondary.write([mutation]))).toMatchObject({
    code: "InvalidArgument",
    reason: "MISSING_KEY",
    field: values("id", "upsert"),
  });
});

/** What is on main, row for row, and where the buffer's stream stands. */
async function everything(): Promise<unknown> {
  const { rows: tables } = await database.query<{ name: string }>(
    "select oid::regclass::text as name from pg_class where relkind = 'r' and relnamespace in ('public'::regnamespace, 'opsdb'::regnamespace)",
  );
  const sums = tables.map(
    ({ name }) => `select '${name}', count(*)::int, sum(hashtextextended(t::text, 0)) from ${name} t`,
  );
  const stream = `opsdb:{${secondarySiteName}}:writes`;
  const [length, last] = await Promise.all([redis.xlen(stream), redis.xrevrange(stream, "+", "-", "COUNT", 1)]);
  const { rows } = await database.query(sums.join(" union all "));
  return { rows, stream: [length, last[0]?.[0]] };
}

/** One call of the gRPC project's client with bytes that may be anything. */
async function refusedBytes(address: string, message: Buffer): Promise<{ code: number; reason: string | undefined }> {
  const client = new Client(address, credentials.createInsecure());
  const same = (buffer: Buffer): Buffer => buffer;
  try {
    const error = await new Promise<ServiceError>((resolve, reject) => {
      client.makeUnaryRequest("/opsdb.v1.WriteService/Write", same, same, message, (e) =>
        e ? resolve(e) : reject(new Error("the call went through")),
      );
    });
    return { code: error.code, reason: errorInfo(error)?.reason };
  } finally {
    client.close();
  }
}
