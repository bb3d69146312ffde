import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { insert, remove } from "../../demo/mutations.ts";
import { integer, text } from "../../demo/values.ts";
import type { WriteResponse } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { refusal, SiteCaller } from "../e2e/site-caller.ts";
import { eventually } from "../support/eventually.ts";
import type { Address } from "../support/postgres-pair.ts";
import { copyRedisFiles, removeRedisFiles } from "../support/redis-server.ts";
import { sql } from "../support/sql.ts";
import { databaseName, startTwoSite, type TwoSite } from "../support/two-site.ts";
import { OwnSite, temporaryDirectory } from "./own-site.ts";

// Several restarts of real servers each, on machines that are busy.
vi.setConfig({ testTimeout: 120_000 });

const STOCK = 'opsdb_sequence_stock{sequence="public.log_id_seq"}';

let sites: TwoSite;

beforeAll(async () => {
  sites = await startTwoSite({ servers: false });
  await createLog(sites);
});

async function createLog({ urls, standby }: TwoSite): Promise<void> {
  await sql(urls.main, "create table log (id bigint generated always as identity primary key, v text not null)");
  await standby.caughtUp();
}

afterAll(async () => {
  await sites?.[Symbol.asyncDispose]();
});

test("G1 G2: keys are made once whatever dies: servers are killed, Redis is killed, main is away and makes keys of its own; every acknowledged row arrives with its key", async () => {
  await using site = await started("keys-killed", 2);
  const keys = new Keys();
  for (let i = 0; i < 3; i++) {
    sites.link.cut();
    await keys.write(site.callers, 60);
    await site.servers[i % 2]?.kill();
    await keys.attempt(site.callers, 20);
    await site.servers[i % 2]?.start();
    await site.ready();
    await site.redis.kill();
    await keys.attempt(site.callers, 4);
    await site.redis.start();
    await site.ready();
    await keys.write(site.callers, 60);
    await sql(sites.urls.main, "insert into log (v) select 'main' from generate_series(1, 200)");
    sites.link.heal();
    await keys.write(site.callers, 20);
  }
  await site.drained();
  await keys.expectOnMain();
  expect(keys.acknowledged.size).toBeGreaterThanOrEqual(3 * 2 * 140);
});

const losses = [
  { what: "an older copy", back: (site: OwnSite, copy: string) => copyRedisFiles(copy, filesOf(site)) },
  { what: "nothing", back: (site: OwnSite) => removeRedisFiles(filesOf(site)) },
];

test.each(losses)(
  "G2: Redis comes back with $what: what was leased before is not handed out any more, writes are refused until main has given new values, and no key comes twice",
  async ({ what, back }) => {
    await using site = await started(`keys-lost-${what.replaceAll(" ", "-")}`, 1);
    const keys = new Keys();
    const copy = temporaryDirectory();
    await keys.write(site.callers, 20);
    await using _cut = cutLink();
    copyRedisFiles(filesOf(site), copy);
    // More than one piece of what was leased is taken after the copy.
    await keys.write(site.callers, 250);
    await site.redis.kill();
    back(site, copy);
    await site.redis.start();
    await site.ready();
    const refused = await eventually(
      () => refusal(write(site.caller, "without values")),
      ({ reason }) => reason !== "BUFFER_UNAVAILABLE",
      { what: "that Redis is there again" },
    );
    expect(refused).toMatchObject({
      code: "Unavailable",
      reason: "SEQUENCE_EXHAUSTED",
      metadata: { sequence: "public.log_id_seq" },
    });
    await eventually(
      () => site.metric(STOCK),
      (stock) => stock === 0,
      { what: "that no value is in stock" },
    );
    sites.link.heal();
    await stocked(site);
    await keys.write(site.callers, 300);
    await site.drained();
    await keys.expectOnMain();
  },
);

test("G2: an older copy of Redis that lacks no write still has values that servers had taken; they are handed out once", async () => {
  await using site = await started("keys-taken", 2);
  const keys = new Keys();
  const copy = temporaryDirectory();
  await using _cut = cutLink();
  copyRedisFiles(filesOf(site), copy);
  // A write that is refused: its server has taken a piece, and nothing was stored.
  for (const caller of site.callers)
    expect(await refusal(caller.write([insert("log", {})]))).toMatchObject({
      reason: "NOT_NULL_VIOLATION",
    });
  await site.redis.kill();
  copyRedisFiles(copy, filesOf(site));
  await site.redis.start();
  await site.ready();
  // One after the other, and the rows of the first deleted: the merged view would refuse a key of a row that is there.
  for (const caller of site.callers) {
    await keys.write([caller], 250);
    await keys.removeRows(caller);
  }
  expect(keys.acknowledged.size).toBe(500);
  sites.link.heal();
  await site.drained();
  await keys.expectOnMain();
});

test("G2 failover: main's standby takes over without the last leases; main is led past them, and its own keys meet none of the site's", async () => {
  await using pair = await startTwoSite({
    separateLinks: true,
    servers: false,
    env: {
      secondary: { MAIN_TIMEOUT_MS: "2000", STATUS_POLL_MS: "200", REDIS_TIMEOUT_MS: "2000", SEQUENCE_BLOCK: "400" },
    },
  });
  if (!pair.anotherStandby) throw new Error("the servers are containers: set TEST_POSTGRES_BIN");
  await createLog(pair);
  await pair.secondary.start();
  await pair.secondary.ready();
  using caller = new SiteCaller(pair.secondary);
  const lastValue = async (url: string) =>
    Number((await sql<{ last_value: string }>(url, "select last_value::text from log_id_seq"))[0]?.last_value);
  await eventually(
    () => lastValue(pair.urls.main),
    (value) => value >= 400,
    { what: "the first lease" },
  );
  await pair.standby.caughtUp();
  pair.walLink.cut({ mode: "blackhole" });
  const keys = new Keys();
  await keys.write([caller], 250);
  // More was leased, and the standby does not know of it.
  const leased = await eventually(
    () => lastValue(pair.urls.main),
    (value) => value > 500,
    { what: "another lease" },
  );
  await keys.write([caller], 50);
  await pair.primary.kill();
  await pair.standby.promote();
  const main = pair.standby.urlOf(databaseName);
  expect(await lastValue(main)).toBeLessThan(leased);
  pair.walLink.heal();
  const via = (source: Address) => pair.walLink.forward(source);
  pair.localIs(await pair.anotherStandby({ name: "rebuilt", from: pair.standby, via }));
  pair.mainIs(pair.standby);
  await eventually(
    () => lastValue(main),
    (value) => value > leased,
    {
      timeoutMs: 30_000,
      what: "that main is past what was leased",
    },
  );
  await sql(main, "insert into log (v) select 'main' from generate_series(1, 500)");
  await keys.write([caller], 300);
  expect(keys.acknowledged.size).toBe(600);
  await eventually(
    () => sql(main, "select count(*)::int as n from log where v <> 'main'"),
    ([row]) => row?.n === 600,
    { timeoutMs: 30_000, what: "that all rows are on main" },
  );
  await keys.expectOnMain(main);
});

/** The keys that were acknowledged, and the rows that they were acknowledged for. */
class Keys {
  /** Undefined: the row was deleted again. */
  readonly acknowledged = new Map<bigint, string | undefined>();
  static #next = 0;

  /** So many attempts by each caller, all at once; those that are refused or lost have no key. */
  async attempt(callers: readonly SiteCaller[], count: number): Promise<void> {
    await this.#each(callers, count, (caller, v) => write(caller, v).catch(() => undefined));
  }

  /** So many rows by each caller, all at once; each is repeated with its id until it is acknowledged. */
  async write(callers: readonly SiteCaller[], count: number): Promise<void> {
    await this.#each(callers, count, (caller, v) => {
      const writeId = randomUUID();
      return eventually(() => write(caller, v, writeId), undefined, { timeoutMs: 30_000, everyMs: 200 });
    });
  }

  async #each(
    callers: readonly SiteCaller[],
    count: number,
    make: (caller: SiteCaller, v: string) => Promise<WriteResponse | undefined>,
  ): Promise<void> {
    const one = async (caller: SiteCaller): Promise<void> => {
      const v = `row ${Keys.#next++}`;
      const response = await make(caller, v);
      if (!response) return;
      const key = keyOf(response);
      expect(this.acknowledged.has(key), `the key ${key} was acknowledged twice`).toBe(false);
      this.acknowledged.set(key, v);
    };
    await Promise.all(callers.flatMap((caller) => Array.from({ length: count }, () => one(caller))));
  }

  async removeRows(caller: SiteCaller): Promise<void> {
    const kept = [...this.acknowledged].filter(([, v]) => v !== undefined);
    await caller.write(kept.map(([id]) => remove("log", { id: integer(id) })));
    for (const [id] of kept) this.acknowledged.set(id, undefined);
  }

  async expectOnMain(url = sites.urls.main): Promise<void> {
    const rows = await sql<{ id: string; v: string }>(url, "select id::text, v from log where v <> 'main'");
    const stored = new Map(rows.map(({ id, v }) => [BigInt(id), v]));
    const wrong = [...this.acknowledged].filter(([id, v]) => stored.get(id) !== v);
    expect(wrong).toEqual([]);
    expect(await sql(url, "select write_id from opsdb.ledger where outcome = 'REJECTED'")).toEqual([]);
  }
}

function write(caller: SiteCaller, v: string, writeId = ""): Promise<WriteResponse> {
  return caller.write([insert("log", { v: text(v) })], { writeId });
}

function keyOf({ rows: [row] }: WriteResponse): bigint {
  const value = row?.values.id?.kind;
  if (value?.case !== "int64Value") throw new Error("an acknowledged row without its key");
  return value.value;
}

async function started(name: string, servers: number): Promise<OwnSite> {
  const site = await OwnSite.start(sites, name, { servers });
  await stocked(site);
  return site;
}

async function stocked(site: OwnSite): Promise<void> {
  for (const server of site.servers)
    await eventually(
      () => site.metric(STOCK, server),
      (stock) => (stock ?? 0) > 5_000,
      { timeoutMs: 20_000, what: "that values are in stock" },
    );
}

function cutLink(): AsyncDisposable {
  sites.link.cut();
  return { [Symbol.asyncDispose]: async () => await Promise.resolve(sites.link.heal()) };
}

function filesOf(site: OwnSite): string {
  if (site.redis.directory === undefined) throw new Error("Redis runs in a container");
  return site.redis.directory;
}
