import { type ClientHttp2Session, connect } from "node:http2";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import pg from "pg";
import Cursor from "pg-cursor";
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test, vi } from "vitest";
import { text } from "../../demo/values.ts";
import {
  ComparisonOperator,
  Consistency,
  QueryRequestSchema,
  type QueryResponse,
} from "../../gen/ts/opsdb/v1/query_pb.ts";
import { createPool } from "../../src/postgres/connection.ts";
import { Snapshot } from "../../src/query/snapshot.ts";
import type { QueryPart } from "../../src/query/table-query.ts";
import type { Site } from "../../src/site/site.ts";
import { compare, refusal, resultOf, SiteCaller } from "../e2e/site-caller.ts";
import { addressOf } from "../support/drain.ts";
import { eventually } from "../support/eventually.ts";
import { random } from "../support/random.ts";
import { type ServedSite, serveSite } from "../support/served-site.ts";
import { openSite } from "../support/sites.ts";
import { createDatabase, type TestDatabase } from "../support/test-database.ts";

const rowCount = 60_000;
const poolSize = 4;

let database: TestDatabase;
let stack: AsyncDisposableStack;
let served: ServedSite;
/** Results that are being read. */
let open: () => number;

beforeAll(async () => {
  database = await createDatabase();
  await database.onPrimary(
    `create table long (n int primary key, pad text);
     insert into long select i, repeat('x', 300) from generate_series(1, ${rowCount}) i;
     create table large (n int primary key, pad text);
     insert into large select i, repeat('x', 500000) from generate_series(1, 150) i;
     create table held (n int primary key);
     insert into held select generate_series(1, 10)`,
  );
});

afterAll(async () => {
  await database?.[Symbol.asyncDispose]();
});

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  const { site } = stack.use(
    await openSite(
      "main",
      {
        site: database.site,
        mainUrl: database.primaryUrl,
        localUrl: database.primaryUrl,
        redisUrl: inject("redisUrl"),
      },
      { LOCAL_DB_POOL: String(poolSize), LOCAL_TIMEOUT_MS: "20000" },
    ),
  );
  const watched = watchQueries(site);
  open = watched.open;
  served = stack.use(await serveSite(watched.site));
});

afterEach(async () => {
  vi.restoreAllMocks();
  await stack.disposeAsync();
});

test("a reader that rests stops the cursor, and all of the result comes when it goes on", async () => {
  const reads = vi.spyOn(Cursor.prototype, "read");
  const parts: QueryResponse[] = [];
  const stream = served.caller.queries.query({ table: "long", orderBy: [{ column: "n" }] })[Symbol.asyncIterator]();
  for (let n = 0; n < 4; n++) await take(stream, parts);
  using other = new SiteCaller(served);
  // Others are served meanwhile, so that the cursor could have gone on as well.
  for (let n = 0; n < 50; n++) await other.query("held", { limit: 1n });
  const before = reads.mock.calls.length;
  for (let n = 0; n < 50; n++) await other.query("held", { limit: 1n });
  expect(reads.mock.calls.length).toBe(before);
  // Three batches were taken; one is read ahead, and the others are on the way.
  expect(before).toBeLessThanOrEqual(3 + 5);
  while (await take(stream, parts));
  expect(resultOf(parts).rows).toHaveLength(rowCount);
  const batches = parts.filter(({ part }) => part.case === "batch").length;
  expect(reads.mock.calls.length).toBeLessThanOrEqual(batches + 1);
});

const stages: [stage: string, query: Query, reached: () => Promise<unknown>][] = [
  ["while PostgreSQL is at work", { table: "held" }, () => eventually(heldUp, (reads) => reads === 1)],
  ["in the middle of the result", { table: "long" }, () => eventually(idle, (sessions) => sessions === 1)],
];

test.each(stages)("a call that is cancelled %s frees its connection within a second", async (_, query, reached) => {
  const locked = await lock("held");
  const cancel = new AbortController();
  const stream = served.caller.queries.query(query, { signal: cancel.signal })[Symbol.asyncIterator]();
  const first = stream.next().catch((error: unknown) => ConnectError.from(error));
  await reached();
  cancel.abort();
  await eventually(transactions, (sessions) => sessions === 0, {
    timeoutMs: 1_000,
    what: "that no transaction is left",
  });
  await eventually(open, (results) => results === 0);
  await first;
  await locked.release();
  await wholePool();
});

test("at the deadline the statement ends in PostgreSQL too, and the call with DEADLINE_EXCEEDED", async () => {
  const locked = await lock("held");
  const call = Array.fromAsync(served.caller.queries.query({ table: "held" }, { timeoutMs: 1_000 }));
  expect(await refusal(call)).toMatchObject({ code: "DeadlineExceeded", reason: "QUERY_TIMED_OUT" });
  await eventually(transactions, (sessions) => sessions === 0);
  await locked.release();
  await wholePool();
});

test("a reader that takes nothing loses its snapshot at its deadline, also where it does not end the call itself", async () => {
  const session = rawSession();
  const stream = session.request({
    ":method": "POST",
    ":path": "/opsdb.v1.QueryService/Query",
    "content-type": "application/grpc",
    "grpc-timeout": "2000m",
    te: "trailers",
  });
  stream.on("error", () => {});
  stream.end(grpcMessage({ table: "long" })); // nobody listens to its data
  await eventually(idle, (sessions) => sessions === 1);
  await eventually(transactions, (sessions) => sessions === 0);
  await wholePool();
  session.destroy();
  await eventually(open, (results) => results === 0);
});

test("readers that take nothing give way to those who wait for a connection, and only then", async () => {
  const session = rawSession();
  const headers = { ":method": "POST", ":path": "/opsdb.v1.QueryService/Query", "content-type": "application/grpc" };
  const rest = (): void => {
    const stream = session.request({ ...headers, te: "trailers" });
    stream.on("error", () => {});
    stream.end(grpcMessage({ table: "long" })); // nobody listens to its data, and no deadline ends it
  };
  for (let n = 1; n < poolSize; n++) rest();
  await eventually(idle, (sessions) => sessions === poolSize - 1);
  await new Promise((resolve) => setTimeout(resolve, 4_000)); // longer than they may rest while others wait
  expect(await idle()).toBe(poolSize - 1);
  rest();
  await eventually(idle, (sessions) => sessions === poolSize);
  expect((await served.caller.query("held")).rows).toHaveLength(10);
  session.destroy();
  await eventually(open, (results) => results === 0);
  await wholePool();
});

test("calls that end at any moment, in any way, leave the pool whole", async () => {
  const below = random(7);
  using other = new SiteCaller(served);
  const endings: ((query: Query) => Promise<void>)[] = [
    // Cancelled after some turns of the event loop, before or after its first rows.
    async (query) => {
      const cancel = new AbortController();
      const call = Array.fromAsync(other.queries.query(query, { signal: cancel.signal }));
      call.catch(() => {});
      for (let turns = below(60); turns > 0; turns--) await new Promise(setImmediate);
      cancel.abort();
      await call.catch(() => {});
    },
    // The reader leaves after some batches.
    async (query) => {
      const cancel = new AbortController(); // leaving the loop does not end the call
      let left = below(5);
      for await (const _part of other.queries.query(query, { signal: cancel.signal })) if (left-- <= 0) break;
      cancel.abort();
    },
    // Its connection breaks.
    async (query) => {
      const session = rawSession();
      const stream = session.request({
        ":method": "POST",
        ":path": "/opsdb.v1.QueryService/Query",
        "content-type": "application/grpc",
        te: "trailers",
      });
      stream.on("error", () => {});
      stream.end(grpcMessage(query));
      for (let turns = below(60); turns > 0; turns--) await new Promise(setImmediate);
      session.destroy();
    },
    // Its time is over.
    async (query) => {
      await Array.fromAsync(other.queries.query(query, { timeoutMs: 1 + below(60) })).catch(() => {});
    },
    // PostgreSQL refuses it.
    async (query) => {
      const where = compare("pad", ComparisonOperator.REGEX, text("("));
      await expect(Array.fromAsync(other.queries.query({ ...query, where }))).rejects.toThrow("regular expression");
    },
    async (query) => void (await Array.fromAsync(other.queries.query({ ...query, limit: 10n }))),
  ];
  const queries: Query[] = [
    { table: "long" },
    { table: "long", orderBy: [{ column: "n" }], batchSize: 10_000 },
    { table: "long", batchSize: 100, consistency: Consistency.MAIN },
    { table: "long", limit: 5_000n, maxAge: { seconds: 60n } },
  ];
  const callers = Array.from({ length: 6 }, async () => {
    for (let n = 0; n < 25; n++) await endings[below(endings.length)]?.(queries[below(queries.length)] as Query);
  });
  await Promise.all(callers);
  await eventually(open, (results) => results === 0);
  await eventually(transactions, (sessions) => sessions === 0);
  await wholePool();
});

const errors: [what: string, timeoutMs: number, provoke: string, message: RegExp][] = [
  ["the time of the statement is over", 200, "select pg_sleep(0.5)", /statement timeout/],
  [
    "the session is terminated",
    20_000,
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'opsdb-test'",
    /terminat/, // in the driver's words or in PostgreSQL's
  ],
];

test.each(errors)(
  "what happens while nobody reads ends the result, which does not pass for complete: %s",
  async (_, timeoutMs, provoke, message) => {
    const pool = createPool(addressOf(database.primaryUrl), { applicationName: "opsdb-test" }, 1);
    await using _pool = { [Symbol.asyncDispose]: () => pool.end() };
    using snapshot = await Snapshot.open(pool, "none", timeoutMs, new AbortController().signal);
    const rows = snapshot.run({ text: "select n::text from long", values: [] }, 1_000)[Symbol.asyncIterator]();
    await rows.next();
    await database.onPrimary(provoke);
    const rest = async (): Promise<void> => {
      while (!(await rows.next()).done);
    };
    await expect(rest()).rejects.toThrow(message);
  },
);

test("readers that rest with much on its way leave room for other calls on their connection", async () => {
  const { caller } = served;
  const streams = Array.from({ length: poolSize - 1 }, () =>
    caller.queries.query({ table: "large", limit: 10n })[Symbol.asyncIterator](),
  );
  for (const stream of streams) await take(stream, []);
  for (let n = 0; n < 20; n++) await caller.query("held");
  for (const stream of streams) await stream.return?.();
});

test("rows that are large come in smaller messages, so that memory does not depend on their size", async () => {
  const parts = await Array.fromAsync(served.caller.queries.query({ table: "large", orderBy: [{ column: "n" }] }));
  const sizes = parts.flatMap(({ part }) => (part.case === "batch" ? [part.value.rows.length] : []));
  expect(resultOf(parts).rows).toHaveLength(150);
  expect(Math.max(...sizes.slice(1))).toBeLessThanOrEqual(2);
});

type Query = Omit<MessageInitShape<typeof QueryRequestSchema>, "$typeName">;

/** Answers whether there was one more. */
async function take(stream: AsyncIterator<QueryResponse>, parts: QueryResponse[]): Promise<boolean> {
  const { done, value } = await stream.next();
  if (!done) parts.push(value);
  return !done;
}

/** The same site, with a count of the results that somebody is reading. */
function watchQueries(site: Site): { site: Site; open: () => number } {
  let count = 0;
  async function* watched(parts: AsyncIterable<QueryPart>): AsyncGenerator<QueryPart> {
    count += 1;
    try {
      yield* parts;
    } finally {
      count -= 1;
    }
  }
  const query: Site["query"] = (...call) => watched(site.query(...call));
  const proxy = new Proxy(site, {
    get(target, name) {
      const value: unknown = name === "query" ? query : Reflect.get(target, name, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
  return { site: proxy, open: () => count };
}

/** A client that does nothing by itself. */
function rawSession(): ClientHttp2Session {
  const session = connect(served.baseUrl);
  session.on("error", () => {});
  stack.defer(() => session.destroy());
  return session;
}

function grpcMessage(query: Query): Buffer {
  const bytes = toBinary(QueryRequestSchema, create(QueryRequestSchema, query));
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([prefix, bytes]);
}

/** Holds up every read of the table. */
async function lock(table: string): Promise<{ release(): Promise<void> }> {
  const client = new pg.Client(database.primaryUrl);
  await client.connect();
  stack.defer(() => client.end());
  await client.query(`begin; lock table ${table} in access exclusive mode`);
  return { release: async () => void (await client.query("commit")) };
}

const ours = `from pg_stat_activity where datname = current_database() and application_name like 'opsdb-%' and query like 'select t.%'`;

/** Reads that wait for a lock. */
const heldUp = () => count(`${ours} and wait_event_type = 'Lock'`);

/** Reads that wait for their reader. */
const idle = () => count(`${ours} and wait_event = 'ClientRead' and xact_start is not null`);

/** Reads, whatever they do. */
const transactions = () => count(`${ours} and xact_start is not null`);

async function count(from: string): Promise<number> {
  const [row] = await database.onPrimary<{ n: number }>(`select count(*)::int as n ${from}`);
  return row?.n ?? -1;
}

/** Fails where a connection of the pool is in nobody's hands: then so many readers at once could not all begin. */
async function wholePool(): Promise<void> {
  using others = new SiteCaller(served);
  const readers = Array.from({ length: poolSize }, () =>
    others.queries.query({ table: "long" }, { timeoutMs: 15_000 })[Symbol.asyncIterator](),
  );
  const begun = await Promise.all(readers.map((reader) => reader.next()));
  expect(begun.map(({ value }) => (value as QueryResponse).part.case)).toEqual(begun.map(() => "header"));
  await eventually(transactions, (sessions) => sessions === poolSize);
  for (const reader of readers) await reader.return?.();
}
