import { expect, test } from "vitest";
import { column, columnType, lengthModifier, literalCatalog, table } from "../../test/support/literal-catalog.ts";
import { OpsDbError } from "../errors.ts";
import type { Value } from "../value.ts";
import type { Operation, RequestedMutation } from "../write.ts";
import { completeWrite, neededValues } from "./complete-write.ts";

const uuid = columnType("uuid");
const text = columnType("text");
const timestamptz = columnType("timestamptz", {
  castWithModifier: "timestamp with time zone",
  cast: "timestamp with time zone",
});
const status = columnType("public.status", {
  cast: "public.status",
  castWithModifier: "public.status",
  enumValues: ["NEW", "DONE"],
});
const varchar = columnType("varchar", {
  cast: "character varying",
  castWithModifier: "character varying(5)",
  modifier: lengthModifier(5),
});

const runs = table(
  "runs",
  [
    column("id", uuid, { defaultExpression: "gen_random_uuid()" }),
    column("name", varchar),
    column("status", status, { defaultExpression: "'NEW'::public.status" }),
    column("started", timestamptz, { defaultExpression: "now()" }),
    column("day", columnType("date"), { nullable: true, defaultExpression: "CURRENT_DATE" }),
    column("offset_deg", columnType("int4", { cast: "integer", castWithModifier: "integer" }), {
      defaultExpression: "'-1'::integer",
    }),
    column("ratio", columnType("numeric"), { defaultExpression: "0.50" }),
    column("good", columnType("bool"), { defaultExpression: "true" }),
    column("tags", columnType("text", { array: true }), { defaultExpression: "'{}'::text[]" }),
    column("label", varchar, { defaultExpression: "('it''s'::text)::character varying" }),
    column("length", columnType("interval"), { defaultExpression: "'01:00:00'::interval" }),
    column("score", columnType("float8"), { nullable: true, defaultExpression: "random()" }),
    column("remark", text, { nullable: true }),
    column("double_ratio", columnType("numeric"), { nullable: true, generatedExpression: "(ratio * 2)" }),
  ],
  {
    primaryKey: ["id"],
    checks: [
      { name: "runs_ratio", expression: "(ratio > (0)::numeric)", columns: ["ratio"] },
      { name: "runs_score", expression: "(sqrt(score) < (10)::double precision)", columns: ["score"] },
      { name: "runs_label", expression: "(label <> name)", columns: ["name", "label"] },
      { name: "runs_double", expression: "(double_ratio < 9)", columns: ["double_ratio"] },
    ],
  },
);
const transfers = table(
  "transfers",
  [column("id", columnType("int8"), { identity: "by_default" }), column("note", text, { nullable: true })],
  { primaryKey: ["id"] },
);
const events = table("events", [column("seq", columnType("int8"), { identity: "always" }), column("what", text)], {
  primaryKey: ["seq"],
});
const copies = table(
  "copies",
  [column("file", uuid), column("no", columnType("int4")), column("path", text, { nullable: true })],
  {
    primaryKey: ["no", "file"],
  },
);
const notes = table("notes", [column("body", text, { nullable: true })]);
const catalog = literalCatalog(runs, transfers, events, copies, notes);

const writeId = "0190a000-0000-7000-8000-000000000001";
const now = new Date("2026-11-23T04:00:00.250Z");
const id = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
const s = (value: string): Value => ({ kind: "string", value });
const NULL: Value = { kind: "null" };

function mutation(operation: Operation, name: string, parts: Partial<RequestedMutation>): RequestedMutation {
  return { table: name, operation, key: {}, values: {}, preconditions: [], ...parts };
}

function complete(mutations: RequestedMutation[], generateAtMain = false) {
  return completeWrite(
    catalog,
    { writeId, payloadHash: Uint8Array.of(1), mutations, fresh: false },
    { generateAtMain, now },
  );
}

function only(requested: RequestedMutation, generateAtMain = false) {
  const [completed] = complete([requested], generateAtMain).write.mutations;
  if (!completed) throw new Error("no mutation");
  return completed;
}

function row(requested: RequestedMutation): Record<string, string | null> {
  const { columns, values } = only(requested);
  return Object.fromEntries(columns.map((name, i) => [name, values[i] ?? null]));
}

function refusal(
  requested: RequestedMutation,
  generateAtMain = false,
): { reason: string; field: string | undefined; message: string } {
  try {
    complete([requested], generateAtMain);
  } catch (error) {
    if (error instanceof OpsDbError) return { reason: error.reason, field: error.field, message: error.message };
    throw error;
  }
  throw new Error("it was accepted");
}

test("a row to insert gets its key and its defaults, in the table's order", () => {
  const completed = only(mutation("insert", "runs", { values: { name: s("m31") } }));
  expect(completed.columns).toEqual(
    runs.columns.map((c) => c.name).filter((n) => n !== "score" && n !== "double_ratio"),
  );
  expect(row(mutation("insert", "runs", { values: { name: s("m31") } }))).toEqual({
    id: completed.key[0],
    name: "m31",
    status: "NEW",
    started: "2026-11-23 04:00:00.25+00",
    day: "2026-11-23",
    offset_deg: "-1",
    ratio: "0.50",
    good: "t",
    tags: "{}",
    label: "it's",
    length: "01:00:00",
    remark: null,
  });
});

test("a retried write gets the same keys, and each row its own", () => {
  const insert = mutation("insert", "runs", { values: { name: s("a") } });
  const keys = () => complete([insert, insert]).write.mutations.map((m) => m.key[0]);
  expect(keys()).toEqual(keys());
  expect(new Set(keys()).size).toBe(2);
  expect(keys()[0]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test("an explicit NULL stays NULL where it may be, whatever the default", () => {
  expect(row(mutation("insert", "runs", { values: { name: s("a"), day: NULL } })).day).toBeNull();
});

test("what memory cannot tell is listed: defaults, unknown types, checks beyond memory whose columns are all there", () => {
  const { unchecked } = complete([mutation("insert", "runs", { values: { name: s("a"), length: s("90 min") } })]);
  expect(unchecked).toEqual([
    { kind: "value", mutation: 0, column: "length", field: 'mutations[0].insert.values["length"]' },
    { kind: "default", mutation: 0, column: "score", field: 'mutations[0].insert.values["score"]' },
    { kind: "check", mutation: 0, check: "runs_score", field: "mutations[0].insert.values" },
    { kind: "check", mutation: 0, check: "runs_label", field: "mutations[0].insert.values" },
  ]);
});

test("an update lists the checks that it decides alone, and the values of its preconditions", () => {
  const update = mutation("update", "runs", {
    key: { id: s(id) },
    values: { ratio: s("2"), name: s("b"), score: s("4") },
    preconditions: [{ kind: "columns_equal", values: { length: s("1h"), status: s("NEW"), remark: NULL } }],
  });
  const { write, unchecked } = complete([update]);
  expect(write.mutations[0]).toEqual({
    table: "public.runs",
    operation: "update",
    key: [id],
    columns: ["name", "ratio", "score"],
    values: ["b", "2", "4"],
    preconditions: [{ kind: "columns_equal", columns: ["status", "length", "remark"], values: ["NEW", "1h", null] }],
  });
  const field = 'mutations[0].preconditions[0].columns_equal.values["length"]';
  expect(unchecked).toEqual([
    { kind: "check", mutation: 0, check: "runs_score", field: "mutations[0].update.values" },
    { kind: "precondition", mutation: 0, precondition: 0, column: "length", field },
  ]);
});

test("an upsert says which columns the client named", () => {
  const completed = only(mutation("upsert", "runs", { values: { remark: s("x"), id: s(id), name: s("a") } }));
  expect(completed.setColumns).toEqual(["name", "remark"]);
  expect(completed.columns).toContain("status");
});

test("keys stand in the order of the primary key", () => {
  expect(only(mutation("delete", "copies", { key: { file: s(id), no: s("7") } })).key).toEqual(["7", id]);
  expect(only(mutation("insert", "copies", { values: { file: s(id), no: s("7") } })).key).toEqual(["7", id]);
});

test("one row may be named twice in one write", () => {
  const copy = { file: s(id), no: s("1") };
  expect(
    complete([mutation("insert", "copies", { values: copy }), mutation("delete", "copies", { key: copy })]).write
      .mutations,
  ).toHaveLength(2);
});

test("at the main site PostgreSQL generates identities and what memory cannot tell", () => {
  expect(only(mutation("insert", "transfers", {}), true)).toMatchObject({
    key: [null],
    columns: ["note"],
    values: [null],
  });
  expect(only(mutation("insert", "events", { values: { what: s("x") } }), true)).toMatchObject({
    key: [null],
    columns: ["what"],
  });
  const { unchecked } = complete([mutation("insert", "runs", { values: { name: s("a") } })], true);
  expect(unchecked.filter((entry) => entry.kind === "default")).toEqual([]);
});

const visits = table(
  "visits",
  [
    column("id", columnType("int2"), {
      identity: "by_default",
      sequence: { id: "1/1", oid: "1", name: "visits_id_seq" },
    }),
    column("no", columnType("int8"), { identity: "always", sequence: { id: "2/2", oid: "2", name: "numbers" } }),
  ],
  { primaryKey: ["id"] },
);

test("values of sequences that were taken for a write become keys and defaults; what none was taken for is left to main", () => {
  const requested = {
    writeId,
    payloadHash: Uint8Array.of(1),
    fresh: false,
    mutations: [
      mutation("insert", "visits", {}),
      mutation("insert", "visits", { values: { id: s("70") } }),
      mutation("upsert", "visits", { values: { id: s("71") } }),
      mutation("insert", "notes", {}),
    ],
  };
  const known = literalCatalog(visits, notes);
  const needs = neededValues(known, requested);
  expect(needs.map(({ sequence, count, key }) => [sequence.name, count, key?.field])).toEqual([
    ["visits_id_seq", 1, 'mutations[0].insert.values["id"]'],
    ["numbers", 3, undefined],
  ]);
  const values = new Map([
    ["1/1", ["5"]],
    ["2/2", ["8", "9"]],
  ]);
  const sequences = { next: (sequence: { id: string }) => values.get(sequence.id)?.shift() };
  const inserts = { ...requested, mutations: requested.mutations.slice(0, 3) };
  const { write } = completeWrite(known, inserts, { generateAtMain: false, now, sequences });
  expect(write.mutations).toMatchObject([
    { key: ["5"], columns: ["id", "no"], values: ["5", "8"], filled: ["no"] },
    { key: ["70"], columns: ["id", "no"], values: ["70", "9"], filled: ["no"] },
    { key: ["71"], columns: ["id"], values: ["71"], setColumns: [] },
  ]);
});

test("a value of a sequence that its column cannot hold is refused with the sequence's name", () => {
  const requested = {
    writeId,
    payloadHash: Uint8Array.of(1),
    fresh: false,
    mutations: [mutation("insert", "visits", {})],
  };
  const sequences = { next: () => "40000" };
  const completing = () => completeWrite(literalCatalog(visits), requested, { generateAtMain: false, now, sequences });
  expect(completing).toThrow(
    expect.objectContaining({
      reason: "SEQUENCE_EXHAUSTED",
      field: 'mutations[0].insert.values["id"]',
      metadata: { table: "visits", column: "id", sequence: "visits_id_seq" },
    }),
  );
});

test("a table of another schema goes by its full name", () => {
  const other = literalCatalog(table("t", [column("id", uuid)], { id: "lab.t", schema: "lab", primaryKey: ["id"] }));
  expect(other.table("lab.t", "f").sql).toBe('"lab"."t"');
  expect(() => other.table("t", "f")).toThrow(OpsDbError);
});

const refused: [string, RequestedMutation, string, string | undefined, RegExp?][] = [
  ["an unknown table", mutation("insert", "nope", {}), "TABLE_NOT_FOUND", "mutations[0].table"],
  ["a table without a key", mutation("insert", "notes", {}), "NOT_WRITABLE", "mutations[0].table"],
  [
    "an unknown column",
    mutation("insert", "runs", { values: { ra: s("1") } }),
    "COLUMN_NOT_FOUND",
    'mutations[0].insert.values["ra"]',
  ],
  [
    "a property of every object",
    mutation("insert", "runs", { values: { toString: s("1") } }),
    "COLUMN_NOT_FOUND",
    'mutations[0].insert.values["toString"]',
  ],
  [
    "an unknown key column",
    mutation("delete", "runs", { key: { ra: s("1") } }),
    "COLUMN_NOT_FOUND",
    'mutations[0].delete.key["ra"]',
  ],
  [
    "a column too long",
    mutation("insert", "runs", { values: { name: s("123456") } }),
    "INVALID_VALUE",
    'mutations[0].insert.values["name"]',
  ],
  [
    "a missing value",
    mutation("insert", "runs", {}),
    "NOT_NULL_VIOLATION",
    'mutations[0].insert.values["name"]',
    /no default/,
  ],
  [
    "a missing value in an upsert",
    mutation("upsert", "runs", { values: { id: s(id) } }),
    "NOT_NULL_VIOLATION",
    'mutations[0].upsert.values["name"]',
  ],
  [
    "NULL where none may be",
    mutation("update", "runs", { key: { id: s(id) }, values: { name: NULL } }),
    "NOT_NULL_VIOLATION",
    'mutations[0].update.values["name"]',
  ],
  [
    "NULL in a key",
    mutation("delete", "runs", { key: { id: NULL } }),
    "NOT_NULL_VIOLATION",
    'mutations[0].delete.key["id"]',
  ],
  [
    "a violated check",
    mutation("update", "runs", { key: { id: s(id) }, values: { ratio: s("0") } }),
    "CHECK_VIOLATION",
    'mutations[0].update.values["ratio"]',
    /runs_ratio/,
  ],
  [
    "a generated column",
    mutation("insert", "runs", { values: { name: s("a"), double_ratio: s("1") } }),
    "NOT_WRITABLE",
    'mutations[0].insert.values["double_ratio"]',
  ],
  [
    "an identity that is always generated",
    mutation("insert", "events", { values: { seq: s("1"), what: s("x") } }),
    "NOT_WRITABLE",
    'mutations[0].insert.values["seq"]',
  ],
  [
    "an identity at a secondary site",
    mutation("insert", "transfers", {}),
    "MISSING_KEY",
    'mutations[0].insert.values["id"]',
    /give it a value, or write at the main site/,
  ],
  [
    "an identity that only main can make",
    mutation("insert", "events", { values: { what: s("x") } }),
    "MISSING_KEY",
    'mutations[0].insert.values["seq"]',
    /write at the main site/,
  ],
  [
    "a key without a default",
    mutation("insert", "copies", { values: { no: s("1") } }),
    "MISSING_KEY",
    'mutations[0].insert.values["file"]',
  ],
  [
    "an upsert without its key",
    mutation("upsert", "runs", { values: { name: s("a") } }),
    "MISSING_KEY",
    'mutations[0].upsert.values["id"]',
  ],
  [
    "an update with half a key",
    mutation("update", "copies", { key: { no: s("1") }, values: { path: s("x") } }),
    "MISSING_KEY",
    'mutations[0].update.key["file"]',
  ],
  ["a delete without a key", mutation("delete", "runs", {}), "MISSING_KEY", 'mutations[0].delete.key["id"]'],
  [
    "a key that is none",
    mutation("update", "runs", { key: { id: s(id), name: s("a") }, values: { name: s("b") } }),
    "INVALID_FIELD",
    'mutations[0].update.key["name"]',
  ],
  [
    "a change of the key",
    mutation("update", "runs", { key: { id: s(id) }, values: { id: s(id) } }),
    "INVALID_FIELD",
    'mutations[0].update.values["id"]',
  ],
  [
    "an update of nothing",
    mutation("update", "runs", { key: { id: s(id) } }),
    "INVALID_FIELD",
    "mutations[0].update.values",
  ],
  [
    "a precondition on no column",
    mutation("delete", "runs", {
      key: { id: s(id) },
      preconditions: [
        { kind: "row_exists", exists: true },
        { kind: "columns_equal", values: { ra: s("1") } },
      ],
    }),
    "COLUMN_NOT_FOUND",
    'mutations[0].preconditions[1].columns_equal.values["ra"]',
  ],
];

test.each(refused)("refuses %s", (_, requested, reason, field, message) => {
  const error = refusal(requested);
  expect(error).toMatchObject({ reason, field });
  if (message) expect(error.message).toMatch(message);
});
