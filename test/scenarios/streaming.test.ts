import { readFileSync } from "node:fs";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { update } from "../../demo/mutations.ts";
import type { Row } from "../../demo/site-client.ts";
import { integer, text } from "../../demo/values.ts";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/ts/google/rpc/error_details_pb.ts";
import {
  ComparisonOperator,
  Consistency,
  type QueryRequestSchema,
  type QueryResponse,
} from "../../gen/ts/opsdb/v1/query_pb.ts";
import { compare, SiteCaller } from "../e2e/site-caller.ts";
import { eventually } from "../support/eventually.ts";
import { sql } from "../support/sql.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";
import { vacuumedAway } from "./vacuumed-away.ts";

vi.setConfig({ testTimeout: 120_000 });

const rowCount = 40_000;
/** Rows that no result has. */
const hidden = 2_000;

type Query = Omit<MessageInitShape<typeof QueryRequestSchema>, "$typeName">;

/** Many rows have the same rank: where a result goes on is told by the key as well. */
const ordered: Query = {
  table: "long",
  columns: ["n", "pad"],
  where: compare("n", ComparisonOperator.LESS_OR_EQUAL, integer(rowCount)),
  orderBy: [{ column: "rank", descending: true }],
};

let sites: TwoSite;

beforeAll(async () => {
  sites = await startTwoSite({
    env: { secondary: { CATALOG_REFRESH_MS: "200" }, main: { CATALOG_REFRESH_MS: "200" } },
  });
  for (const setting of ["hot_standby_feedback = off", "max_standby_streaming_delay = '20ms'"])
    await sql(sites.standby.url, `alter system set ${setting}`);
  await sql(sites.standby.url, "select pg_reload_conf()");
  await sql(
    sites.urls.main,
    `create table long (n int primary key, rank int, pad text not null);
     insert into long select i, nullif(i / 7, 0), repeat('x', 400) from generate_series(1, ${rowCount + hidden}) i;
     create table held (n int primary key)`,
  );
  await sites.standby.caughtUp();
});

beforeEach(async () => {
  await eventually(async () => {
    using caller = new SiteCaller(sites.secondary);
    return await caller.query("long", { limit: 1n });
  });
});

afterAll(async () => {
  await sites?.[Symbol.asyncDispose]();
});

test.each([
  ["merged", Consistency.MERGED],
  ["local", Consistency.LOCAL],
] as const)(
  "a recovery conflict in the middle of an ordered result is one to try again, and resume_after gives exactly the rest: %s",
  async (_, consistency) => {
    using caller = new SiteCaller(sites.secondary);
    // Merged, there are rows that the replica does not have in this form, before and after the place where it breaks.
    sites.link.cut();
    await caller.write([changed(10, `${consistency}`), changed(rowCount - 10, `${consistency}`)]);
    const expected = (await caller.query("long", { ...ordered, consistency })).rows;
    sites.link.heal();
    await sites.standby.caughtUp();
    const result = new Result({ ...ordered, consistency });
    await result.take(caller, 4);
    const half = consistency === Consistency.MERGED ? 0 : 1;
    await sql(sites.urls.main, `delete from long where n > ${rowCount} and n % 2 = ${half}`);
    await vacuumedAway(sites, "long");
    const error = await result.rest();
    expect(error?.code).toBe(Code.Unavailable);
    expect(error?.findDetails(ErrorInfoSchema)[0]?.reason).toBe("LOCAL_UNAVAILABLE");
    expect(error?.findDetails(RetryInfoSchema)[0]?.retryDelay).toBeDefined();
    expect(result.rows.length).toBeLessThan(rowCount);
    await result.take(caller, 1);
    expect(await result.rest()).toBeUndefined();
    expect(result.rows.map(({ n }) => n)).toEqual(expected.map(({ n }) => n));
    if (consistency === Consistency.MERGED) expect(result.rows).toEqual(expected);
  },
);

test("a server that is killed in the middle of an ordered result: resume_after gives exactly the rest", async () => {
  const result = new Result(ordered);
  let expected: Row[];
  {
    using caller = new SiteCaller(sites.secondary);
    expected = (await caller.query("long", ordered)).rows;
    await result.take(caller, 4);
    await sites.secondary.kill();
    expect(await result.rest()).toBeDefined(); // which code a broken connection has is the client's own choice
    expect(result.rows.length).toBeLessThan(rowCount);
  }
  // What it read for is gone as well.
  await eventually(
    () => sessions(sites.urls.secondary, 'from "public"."long"'),
    (count) => count === 0,
    { timeoutMs: 2_000 },
  );
  await sites.secondary.start();
  await sites.secondary.ready();
  using caller = new SiteCaller(sites.secondary);
  await result.take(caller, 1);
  expect(await result.rest()).toBeUndefined();
  expect(result.rows).toEqual(expected);
});

test("the deadline is PostgreSQL's as well: a statement of a server that has stopped ends", async () => {
  using caller = new SiteCaller(sites.main);
  await eventually(() => caller.query("held"));
  await using _locked = await lockHeld();
  const call = Array.fromAsync(caller.queries.query({ table: "held" }, { timeoutMs: 3_000 }));
  const ended = call.catch((cause: unknown) => ConnectError.from(cause).code);
  await eventually(heldUp, (count) => count === 1);
  sites.main.freeze();
  try {
    await eventually(heldUp, (count) => count === 0);
  } finally {
    sites.main.thaw();
  }
  expect(await ended).toBe(Code.DeadlineExceeded);
});

test("nothing of a server that was killed goes on in PostgreSQL, also while it waits there", async () => {
  using caller = new SiteCaller(sites.main);
  await eventually(() => caller.query("held"));
  await using _locked = await lockHeld();
  const call = Array.fromAsync(caller.queries.query({ table: "held" }));
  const ended = expect(call).rejects.toThrow();
  await eventually(heldUp, (count) => count === 1);
  await sites.main.kill();
  await ended;
  await eventually(heldUp, (count) => count === 0, { timeoutMs: 2_000 });
  await sites.main.start();
  await sites.main.ready();
});

test("a large result takes no more memory than a small one, however slow its reader is", async () => {
  const [rows, width] = [300_000, 600];
  await sql(
    sites.urls.main,
    `create table large as select i as n, repeat('x', ${width}) as pad from generate_series(1, ${rows}) i`,
  );
  using caller = new SiteCaller(sites.main);
  await eventually(() => caller.query("large", { limit: 1n }));
  // Once, so that what any stream takes is there before.
  await caller.query("large", { limit: 30_000n });
  const before = memoryOf(sites.main.pid);
  let highest = before;
  let read = 0;
  for await (const { part } of caller.queries.query({ table: "large" }, { timeoutMs: 110_000 })) {
    if (part.case === "batch") read += part.value.rows.length;
    // The reader rests, and others are served: what the server could read ahead it would have read by then.
    if (read >= rows / 3 && highest === before) {
      using other = new SiteCaller(sites.main);
      for (let n = 0; n < 100; n++) await other.query("large", { limit: 1n });
    }
    highest = Math.max(highest, memoryOf(sites.main.pid));
  }
  expect(read).toBe(rows);
  expect(highest - before).toBeLessThan(100 * 1024 ** 2);
});

/** A result as a client collects it: over several calls, each of which goes on where the one before ended. */
class Result {
  readonly rows: Row[] = [];
  readonly #query: Query;
  #parts: AsyncIterator<QueryResponse> | undefined;
  #after = new Uint8Array();
  #names: string[] = [];

  constructor(query: Query) {
    this.#query = query;
  }

  /** Begins, or goes on, and takes so many messages; then the reader rests. */
  async take(caller: SiteCaller, messages: number): Promise<void> {
    this.#parts = caller.queries.query({ ...this.#query, resumeAfter: this.#after })[Symbol.asyncIterator]();
    for (let n = 0; n < messages; n++) await this.#next();
  }

  /** Takes what is left; answers the error that it ended with. Fails where it ends with neither an error nor a trailer. */
  async rest(): Promise<ConnectError | undefined> {
    try {
      for (;;) if (await this.#next()) return undefined;
    } catch (error) {
      return ConnectError.from(error);
    }
  }

  async #next(): Promise<boolean> {
    const { done, value } = await (this.#parts as AsyncIterator<QueryResponse>).next();
    if (done) throw new Error("the result ended without a trailer");
    const { part } = value;
    if (part.case === "header") this.#names = part.value.columns.map(({ name }) => name);
    if (part.case === "batch") {
      for (const { values } of part.value.rows)
        this.rows.push(Object.fromEntries(this.#names.map((name, i) => [name, values[i]])) as Row);
      this.#after = new Uint8Array(part.value.resumePoint);
    }
    return part.case === "trailer";
  }
}

function changed(n: number, pad: string) {
  return update("long", { n: integer(n) }, { pad: text(`changed ${pad}`) });
}

async function lockHeld(): Promise<AsyncDisposable> {
  const client = new pg.Client(sites.urls.main);
  await client.connect();
  await client.query("begin; lock table held in access exclusive mode");
  return { [Symbol.asyncDispose]: () => client.end() };
}

/** Reads of the locked table. */
const heldUp = (): Promise<number> => sessions(sites.urls.main, 'from "public"."held"');

/** Sessions of the service in whose statement this is, and that have not ended it. */
async function sessions(url: string, statement: string): Promise<number> {
  const [row] = await sql<{ n: number }>(
    url,
    "select count(*)::int as n from pg_stat_activity where application_name like 'opsdb-%' and xact_start is not null and position($1 in query) > 0",
    [statement],
  );
  return row?.n ?? -1;
}

/** Resident memory of a process, bytes. */
function memoryOf(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
}
