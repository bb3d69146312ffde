import { type MessageInitShape, toJson } from "@bufbuild/protobuf";
import { Redis } from "ioredis";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test } from "vitest";
import { insert } from "../../demo/mutations.ts";
import { integer, text } from "../../demo/values.ts";
import { AggregateFunction, Consistency, type QueryRequestSchema, RowSchema } from "../../gen/ts/opsdb/v1/query_pb.ts";
import { equals, refusal } from "../e2e/site-caller.ts";
import { eventually } from "../support/eventually.ts";
import { Link } from "../support/link.ts";
import { type ServedSite, serveSite } from "../support/served-site.ts";
import { startRedisServer } from "../support/services.ts";
import { openSite } from "../support/sites.ts";
import { createDatabase, type TestDatabase } from "../support/test-database.ts";

const schema = `
  create table thing (
    id int primary key, n int, name text, at timestamptz, raw bytea, tags text[], num numeric, doc jsonb);
  create table part (thing int references thing, n int, label text, primary key (thing, n));
  insert into thing select i, i % 3, 'Name "' || i || E'" \\u00e9\\n', '2026-01-01 00:00:00.123456+00'::timestamptz + i * interval '1 day',
    decode('00ff', 'hex'), array['a,b', null, '"'], i / 3.0, '{"a": [1, null]}' from generate_series(1, 25) i;
  insert into thing (id) values (26);
  insert into part select i, n, 'part ' || n from generate_series(1, 10) i, generate_series(1, i % 3) n;
  create table wide (id int primary key, pad text);
  insert into wide select i, repeat('x', 1000) from generate_series(1, 100) i;`;

// So long that no machine is too slow to answer in time: whether something is found is what these tests are about.
const patient = { RESULT_CACHE_TIMEOUT_MS: "20000", SQL_QUERIES: "on" };

type Query = Omit<MessageInitShape<typeof QueryRequestSchema>, "$typeName">;

let database: TestDatabase;
let redis: Redis;
let stack: AsyncDisposableStack;
let main: ServedSite;
let second: ServedSite;

beforeAll(async () => {
  database = await createDatabase();
  await database.onPrimary(schema);
  redis = new Redis(inject("redisUrl"));
});

afterAll(async () => {
  redis?.disconnect();
  await database?.[Symbol.asyncDispose]();
});

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  [main, second] = [await open("main"), await open("main")];
  for (const served of [main, second]) await warm(served);
});

afterEach(async () => {
  await stack.disposeAsync();
  await removeStored();
  await database.onPrimary("delete from thing where id >= 1000");
});

const queries: [what: string, query: Query][] = [
  ["a whole table", { table: "thing" }],
  [
    "some columns, in an order",
    { table: "thing", columns: ["name", "id"], orderBy: [{ column: "n", descending: true }] },
  ],
  ["a page", { table: "thing", orderBy: [{ column: "id" }], limit: 7n }],
  ["no rows", { table: "thing", where: equals("id", integer(0)) }],
  ["related rows", { table: "thing", related: [{ table: "part", columns: ["label"] }] }],
  [
    "groups",
    {
      table: "thing",
      groupBy: ["n"],
      aggregates: [
        { function: AggregateFunction.COUNT },
        { function: AggregateFunction.SUM, column: "num" },
        { function: AggregateFunction.MAX, column: "at" },
      ],
    },
  ],
  [
    "SQL",
    {
      sql: "select n, array_agg(name order by id) from thing where id < $1 group by n order by n",
      parameters: [integer(9)],
    },
  ],
  ["consistency main", { table: "thing", consistency: Consistency.MAIN }],
  ["consistency local", { table: "thing", consistency: Consistency.LOCAL }],
];

test.each(queries)(
  "a result that is given again is the one that was read, in another process too: %s",
  async (_, query) => {
    const plain = await ask(main, query);
    const before = await Promise.all([hits(main), hits(second), misses(second)]);
    expect(await stored(main, { ...query, maxAge: seconds(60) })).toEqual(plain);
    for (const process of [main, second]) {
      const again = await ask(process, { ...query, maxAge: seconds(60) });
      expect(again.age).toBeDefined();
      expect({ ...again, age: undefined }).toEqual(plain);
    }
    const after = await Promise.all([hits(main), hits(second), misses(second)]);
    expect(after.map((count, i) => count - (before[i] ?? 0))).toEqual([1, 1, 0]);
  },
);

test("a result is never given older than asked, and says how old it is", async () => {
  const query: Query = { table: "thing" };
  await stored(main, { ...query, maxAge: seconds(3_000) });
  await aged(100_000);
  // First the one that it will do for: the other's is stored in its place.
  const { age } = await ask(second, { ...query, maxAge: seconds(3_000) });
  expect(age).toBeGreaterThanOrEqual(100);
  expect(age).toBeLessThan(3_000);
  expect((await ask(main, { ...query, maxAge: seconds(99) })).age).toBeUndefined();
});

test("a result from the future, as a clock that was set back leaves it, is not given", async () => {
  const query: Query = { table: "thing", maxAge: seconds(60) };
  await stored(main, query);
  await aged(-100_000);
  expect((await ask(main, query)).age).toBeUndefined();
});

test("a write is seen as soon as the result before it is older than asked, and at once by who asks for no age", async () => {
  const where = equals("id", integer(1_000));
  const query: Query = { table: "thing", where };
  expect((await stored(main, { ...query, maxAge: seconds(60) })).rows).toHaveLength(0);
  const { token } = await main.caller.write([insertThing(1_000)]);
  expect((await ask(main, query)).rows).toHaveLength(1);
  expect((await ask(main, { ...query, maxAge: seconds(0) })).rows).toHaveLength(1);
  expect((await ask(main, { ...query, maxAge: seconds(60), token })).rows).toHaveLength(1);
  expect((await ask(main, { ...query, maxAge: seconds(60) })).rows).toHaveLength(0);
  await aged(60_001);
  expect((await ask(main, { ...query, maxAge: seconds(60) })).rows).toHaveLength(1);
});

test("a result counts from before its snapshot: a write that came while it was read is not older than it", async () => {
  const locked = await lockThing();
  const query: Query = { table: "thing", columns: ["id"], maxAge: seconds(60) };
  const reading = ask(main, query);
  await eventually(heldUp, (reads) => reads === 1);
  const [held] = await redis.time();
  await locked.release();
  expect((await reading).age).toBeUndefined();
  const [entry] = await eventually(
    async () => Promise.all((await keys()).map((key) => redis.get(key))),
    ({ length }) => length === 1,
  );
  expect(Number(entry?.split(" ")[1])).toBeLessThanOrEqual(Number(held) * 1_000 + 999);
});

const differing: [what: string, one: Query, other: Query][] = [
  ["condition", { where: equals("id", integer(1)) }, { where: equals("id", integer(2)) }],
  ["type of a value", { where: equals("name", text("1")) }, { where: equals("name", text("1 ")) }],
  ["columns", { columns: ["id"] }, { columns: ["n"] }],
  ["order", { orderBy: [{ column: "id" }] }, { orderBy: [{ column: "id", descending: true }] }],
  ["limit", { limit: 1n }, { limit: 2n }],
  ["consistency", { consistency: Consistency.LOCAL }, { consistency: Consistency.MAIN }],
  ["related rows", { related: [{ table: "part" }] }, { related: [{ table: "part", limit: 1n }] }],
  ["groups", { groupBy: ["n"] }, { groupBy: ["id"] }],
  ["SQL", { table: "", sql: "select id from thing" }, { table: "", sql: "select n from thing" }],
  [
    "parameters of SQL",
    { table: "", sql: "select $1::int", parameters: [integer(1)] },
    { table: "", sql: "select $1::int", parameters: [integer(2)] },
  ],
];

test.each(differing)("queries that differ never share a result: %s", async (_, one, other) => {
  const [first, second_] = [one, other].map((query): Query => ({ table: "thing", ...query, maxAge: seconds(60) }));
  await stored(main, first as Query);
  expect((await ask(main, second_ as Query)).age).toBeUndefined();
  expect((await ask(main, first as Query)).age).toBeDefined();
});

test("queries that differ in max_age and batch_size share a result, in batches as each asks, and can be resumed", async () => {
  const query: Query = { table: "thing", columns: ["id"], orderBy: [{ column: "n" }] };
  const whole = (await ask(main, query)).rows;
  await stored(main, { ...query, maxAge: seconds(100), batchSize: 5 });
  for (const batchSize of [5, 12, 100]) {
    const { age, batches } = await ask(main, { ...query, maxAge: seconds(200), batchSize });
    expect(age).toBeDefined();
    expect(batches.map(({ rows }) => rows.length)).toEqual(
      { 5: [5, 5, 5, 5, 5, 1], 12: [10, 10, 6], 100: [26] }[batchSize],
    );
    for (const [i, { resumePoint }] of batches.entries()) {
      const rest = await ask(second, { ...query, maxAge: seconds(300), resumeAfter: resumePoint });
      expect(rest.age).toBeUndefined();
      expect([...batches.slice(0, i + 1).flatMap(({ rows }) => rows), ...rest.rows]).toEqual(whole);
    }
  }
  // Nobody knows where to go on in the middle of what was one batch.
  expect((await ask(main, { ...query, maxAge: seconds(100), batchSize: 4 })).age).toBeUndefined();
  const unordered: Query = { table: "thing" };
  await stored(main, { ...unordered, maxAge: seconds(100), batchSize: 20 });
  const { age, batches } = await ask(main, { ...unordered, maxAge: seconds(100), batchSize: 10 });
  expect([age === undefined, batches.map(({ rows }) => rows.length)]).toEqual([false, [10, 10, 6]]);
});

test("after the schema has changed no result from before is given", async () => {
  const query: Query = { table: "changing", maxAge: seconds(60) };
  await database.onPrimary("create table changing (id int primary key); insert into changing values (1)");
  await eventually(() => ask(main, { table: "changing" }));
  await stored(main, query);
  await database.onPrimary("alter table changing add more text default 'x'");
  // Its columns are of the schema that the process knows, so it knows the new one by then.
  const { rows } = await eventually(
    () => ask(main, query),
    ({ columns: [of] }) => of?.length === 2,
  );
  expect(rows).toEqual([{ values: [{ int64Value: "1" }, { stringValue: "x" }] }]);
});

test("G5: a merged read at a site with a buffer is never an earlier one; a local read is", async () => {
  const far = await open("secondary");
  await warm(far);
  const before = await misses(far);
  const query: Query = { table: "thing", where: equals("id", integer(1_001)), maxAge: seconds(60) };
  expect((await ask(far, query)).rows).toHaveLength(0);
  await far.caller.write([insertThing(1_001)]);
  expect(await ask(far, query)).toMatchObject({ age: undefined, rows: [expect.anything()] });
  expect(await keys()).toEqual([]);
  expect(await misses(far)).toBe(before);
  for (const consistency of [Consistency.LOCAL, Consistency.MAIN]) {
    await stored(far, { ...query, consistency });
    expect((await ask(far, { ...query, consistency })).age).toBeDefined();
  }
});

test("where SQL is not allowed, no earlier result of it is given either", async () => {
  const query: Query = { sql: "select count(*) from thing", maxAge: seconds(60) };
  await stored(main, query);
  const strict = await open("main", { SQL_QUERIES: "off" });
  await warm(strict, false);
  expect(await refusal(ask(strict, query))).toMatchObject({ field: "sql" });
  expect((await ask(second, query)).age).toBeDefined();
});

test("a result that is too large is read as any other and not stored", async () => {
  const small = await open("main", { RESULT_CACHE_ENTRY_BYTES: "50000" });
  await warm(small);
  const before = await sets();
  for (const batchSize of [10, 1_000]) {
    const query: Query = { table: "wide", maxAge: seconds(60), batchSize };
    for (let n = 0; n < 2; n++)
      expect(await ask(small, query)).toMatchObject({ age: undefined, rows: { length: 100 } });
  }
  expect(await sets()).toBe(before);
  await stored(small, { table: "wide", limit: 40n, maxAge: seconds(60) });
});

test("all that is stored has a bound, in entries and bytes, and goes by itself", async () => {
  const small = await open("main", { RESULT_CACHE_BYTES: "20000", RESULT_CACHE_ENTRY_BYTES: "5000" });
  await warm(small);
  for (let n = 1; n <= 30; n++)
    await stored(small, { table: "wide", where: equals("id", integer(n)), maxAge: seconds(60) });
  const found = await keys();
  expect(found.length).toBeGreaterThan(1);
  expect(found.length).toBeLessThanOrEqual(4);
  for (const key of found) {
    expect(await redis.strlen(key)).toBeLessThanOrEqual(5_000);
    expect(await redis.pttl(key)).toBeGreaterThan(0);
  }
});

test("one process stores no more than Redis can take beside the buffer", async () => {
  const before = await sets();
  const started = performance.now();
  for (let n = 0; n < 400; n++)
    await ask(main, { table: "thing", columns: ["id"], where: equals("id", integer(n)), maxAge: seconds(60) });
  const passed = (performance.now() - started) / 1_000;
  const done = (await sets()) - before;
  expect(done).toBeGreaterThan(0);
  // 8 MB at once and 1 MB each second; a small one counts as 64 kB.
  expect(done).toBeLessThanOrEqual(8 * 16 + passed * 16 + 1);
});

test("nothing is stored in a Redis that has half of its memory in use", async () => {
  await using crowded = await startRedisServer({ config: { maxmemory: "1500000" } });
  const served = await open("main", { REDIS_URL: crowded.url });
  const client = new Redis(crowded.url);
  try {
    await client.config("SET", "maxmemory", "100mb");
    await warm(served);
    await stored(served, { table: "thing", maxAge: seconds(60) });
    await client.config("SET", "maxmemory", "1500000");
    const query: Query = { table: "thing", limit: 5n, maxAge: seconds(60) };
    for (let n = 0; n < 3; n++) expect((await ask(served, query)).age).toBeUndefined();
    expect(await client.keys("*:result:*")).toHaveLength(2);
  } finally {
    client.disconnect();
  }
});

test("equal queries at the same moment are read once", async () => {
  const locked = await lockThing();
  const before = await misses(main);
  const query: Query = { table: "thing", maxAge: seconds(60) };
  const asked = Array.from({ length: 8 }, () => ask(main, query));
  // One that came after all of them and asks for no age is held up too: then so would the others be.
  await eventually(heldUp, (reads) => reads === 1);
  const plain = ask(main, { table: "thing" });
  await eventually(heldUp, (reads) => reads === 2);
  await locked.release();
  const results = await Promise.all(asked);
  expect(results.filter(({ age }) => age === undefined)).toHaveLength(1);
  for (const { rows } of results) expect(rows).toEqual((await plain).rows);
  expect((await misses(main)) - before).toBe(1);
});

test("whoever waited for another's read reads by itself where that one was cancelled", async () => {
  const locked = await lockThing();
  const query: Query = { table: "thing", maxAge: seconds(60) };
  const cancelled = new AbortController();
  const first = Array.fromAsync(main.caller.queries.query(query, { signal: cancelled.signal }));
  first.catch(() => {});
  await eventually(heldUp, (reads) => reads === 1);
  const other = ask(main, query);
  cancelled.abort();
  await expect(first).rejects.toThrow();
  await locked.release();
  expect(await other).toMatchObject({ age: undefined, rows: { length: 26 } });
});

test("whoever waited for another's read reads by itself where that has become too old", async () => {
  const locked = await lockThing();
  const first = ask(main, { table: "thing", maxAge: seconds(60) });
  await eventually(heldUp, (reads) => reads === 1);
  const [patient, strict] = [60, 0.001].map((age) => ask(main, { table: "thing", maxAge: seconds(age) }));
  const plain = ask(main, { table: "thing" });
  await eventually(heldUp, (reads) => reads === 2);
  await locked.release();
  await Promise.all([first, plain]);
  expect((await patient)?.age).toBeDefined();
  expect((await strict)?.age).toBeUndefined();
});

test("a Redis that is away, slow or comes back: reads go on, and are stored again", async () => {
  await using link = new Link();
  const { hostname, port } = new URL(inject("redisUrl"));
  const through = await link.forward({ host: hostname, port: Number(port) });
  const served = await open("main", {
    REDIS_URL: `redis://${through.host}:${through.port}`,
    RESULT_CACHE_TIMEOUT_MS: "300",
  });
  const query: Query = { table: "thing", maxAge: seconds(60) };
  await eventually(
    () => ask(served, query),
    ({ age }) => age !== undefined,
  );
  const faults: [string, () => void][] = [
    ["away", () => link.cut()],
    ["silent", () => link.cut({ mode: "blackhole" })],
    ["slow", () => link.setRoundTrip(2_000)],
  ];
  for (const [name, begin] of faults) {
    begin();
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(served, query)));
    for (let n = 0; n < 20; n++) answers.push(await ask(served, query));
    for (const { rows } of answers) expect(rows, name).toHaveLength(26);
    expect(await served.metric("opsdb_result_cache_up"), name).toBe(0);
    link.heal();
    link.setRoundTrip(0);
    await eventually(
      () => ask(served, query),
      ({ age }) => age !== undefined,
    );
  }
});

test("a main site without a Redis reads", async () => {
  const served = await open("main", { REDIS_URL: "" });
  for (let n = 0; n < 2; n++)
    expect(await ask(served, { table: "thing", maxAge: seconds(60) })).toMatchObject({ age: undefined });
  const off = await open("main", { RESULT_CACHE_BYTES: "0" });
  for (let n = 0; n < 2; n++)
    expect(await ask(off, { table: "thing", maxAge: seconds(60) })).toMatchObject({ age: undefined });
  expect(await keys()).toEqual([]);
});

test("what is stored and cannot be read is as good as nothing", async () => {
  const query: Query = { table: "thing", maxAge: seconds(60) };
  await stored(main, query);
  for (const key of await keys()) {
    const [id, at] = ((await redis.get(key)) ?? "").split(" ");
    await redis.set(key, `${id} ${at} {"header":`, "KEEPTTL");
  }
  expect(await ask(main, query)).toMatchObject({ age: undefined, rows: { length: 26 } });
});

test("an age below 0 is refused", async () => {
  const call = ask(main, { table: "thing", maxAge: { seconds: -1n } });
  expect(await refusal(call)).toMatchObject({ code: "InvalidArgument", reason: "INVALID_FIELD", field: "max_age" });
});

async function open(type: "main" | "secondary", settings: Record<string, string> = {}): Promise<ServedSite> {
  const { site } = stack.use(
    await openSite(
      type,
      {
        site: database.site,
        mainUrl: database.primaryUrl,
        localUrl: type === "main" ? database.primaryUrl : database.standbyUrl,
        redisUrl: inject("redisUrl"),
      },
      { ...patient, CATALOG_REFRESH_MS: "100", ...settings },
    ),
  );
  return stack.use(await serveSite(site));
}

interface Answer {
  /** Seconds. */
  age: number | undefined;
  /** Of the rows, and of related ones. */
  columns: unknown[][];
  rows: unknown[];
  batches: { rows: unknown[]; resumePoint: Uint8Array<ArrayBuffer> }[];
}

async function ask({ caller }: ServedSite, query: Query): Promise<Answer> {
  const parts = (await Array.fromAsync(caller.queries.query(query))).map(({ part }) => part);
  const [head] = parts;
  const last = parts.at(-1);
  if (head?.case !== "header" || last?.case !== "trailer") throw new Error("the result is incomplete");
  const batches = parts.flatMap((part) => {
    if (part.case !== "batch") return [];
    return [
      {
        rows: part.value.rows.map((row) => toJson(RowSchema, row)),
        resumePoint: new Uint8Array(part.value.resumePoint),
      },
    ];
  });
  const rows = batches.flatMap((batch) => batch.rows);
  expect(last.value.rowCount).toBe(BigInt(rows.length));
  const { age, columns, related } = head.value;
  return { age: age && Number(age.seconds) + age.nanos / 1e9, columns: [columns, related], rows, batches };
}

/** Asks for what is not stored yet, and waits until it is. */
async function stored(served: ServedSite, query: Query): Promise<Answer> {
  const before = await storedBytes(served);
  const answer = await ask(served, query);
  expect(answer.age).toBeUndefined();
  await eventually(
    () => storedBytes(served),
    (bytes) => bytes > before,
  );
  return answer;
}

/** Resolves once results are found in Redis, and leaves none there. */
async function warm(served: ServedSite, remove = true): Promise<void> {
  const probe: Query = { table: "wide", limit: 1n, consistency: Consistency.LOCAL, maxAge: seconds(60) };
  await eventually(
    () => ask(served, probe),
    ({ age }) => age !== undefined,
  );
  if (remove) await removeStored();
}

const storedBytes = (served: ServedSite) => served.metric("opsdb_result_cache_stored_bytes_total");
const hits = (served: ServedSite) => served.metric("opsdb_result_cache_hits_total");
const misses = (served: ServedSite) => served.metric("opsdb_result_cache_misses_total");

/** As many milliseconds older than they are. */
async function aged(ms: number): Promise<void> {
  for (const key of await keys()) {
    const [, id, at, text] = /^(\S+) (\d+) (.*)$/s.exec((await redis.get(key)) ?? "") ?? [];
    await redis.set(key, `${id} ${Number(at) - ms} ${text}`, "KEEPTTL");
  }
}

function keys(): Promise<string[]> {
  return redis.keys(`opsdb:{${database.site}}:result:*`);
}

async function removeStored(): Promise<void> {
  const left = await keys();
  if (left.length > 0) await redis.del(...left);
}

/** SET commands that Redis has seen. */
async function sets(): Promise<number> {
  return Number(/^cmdstat_set:calls=(\d+)/m.exec(await redis.info("commandstats"))?.[1] ?? 0);
}

/** Holds up every read of the table. */
async function lockThing(): Promise<{ release(): Promise<void> }> {
  const client = new pg.Client(database.primaryUrl);
  await client.connect();
  stack.defer(() => client.end());
  await client.query("begin; lock table thing in access exclusive mode");
  return { release: async () => void (await client.query("commit")) };
}

/** Reads of the table that are held up. */
async function heldUp(): Promise<number> {
  const [row] = await database.onPrimary<{ n: number }>(
    `select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
     and query like 'select t.%"thing"%'`,
  );
  return row?.n ?? 0;
}

function insertThing(id: number) {
  return insert("thing", { id: integer(id) });
}

function seconds(value: number) {
  return { seconds: BigInt(Math.floor(value)), nanos: Math.round((value % 1) * 1e9) };
}
