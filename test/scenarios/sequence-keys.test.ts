import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { insert, remove } from "../../demo/mutations.ts";
import { integer, text } from "../../demo/values.ts";
import type { WriteResponse } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { refusal, type SiteCaller } from "../e2e/site-caller.ts";
import { eventually } from "../support/eventually.ts";
import { copyRedisFiles, removeRedisFiles } from "../support/redis-server.ts";
import { sql } from "../support/sql.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";
import { OwnSite, temporaryDirectory } from "./own-site.ts";

// Several restarts of real servers each, on machines that are busy.
vi.setConfig({ testTimeout: 120_000 });

const STOCK = 'opsdb_sequence_stock{sequence="public.log_id_seq"}';

let sites: TwoSite;

beforeAll(async () => {
  sites = await startTwoSite({ servers: false });
  await sql(sites.urls.main, "create table log (id bigint generated always as identity primary key, v text not null)");
  await sites.standby.caughtUp();
});

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
    await keys.write(site.callers, 20);
    await site.servers[i % 2]?.start();
    await site.ready();
    await site.redis.kill();
    await keys.write(site.callers, 4);
    await site.redis.start();
    await site.ready();
    await keys.write(site.callers, 60);
    await sql(sites.urls.main, "insert into log (v) select 'main' from generate_series(1, 200)");
    sites.link.heal();
    await keys.write(site.callers, 20);
  }
  await site.drained();
  await keys.expectOnMain();
  expect(keys.acknowledged.size).toBeGreaterThan(3 * 140);
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
    expect(await refusal(write(site.caller, "without values"))).toMatchObject({
      code: "Unavailable",
      reason: "SEQUENCE_EXHAUSTED",
      metadata: { sequence: "public.log_id_seq" },
    });
    expect(await site.metric(STOCK)).toBe(0);
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

/** The keys that were acknowledged, and the rows that they were acknowledged for. */
class Keys {
  /** Undefined: the row was deleted again. */
  readonly acknowledged = new Map<bigint, string | undefined>();
  static #next = 0;

  /** So many attempts by each caller, all at once; those that are refused or lost have no key. */
  async write(callers: readonly SiteCaller[], count: number): Promise<void> {
    await Promise.all(
      callers.flatMap((caller) =>
        Array.from({ length: count }, async () => {
          const v = `row ${Keys.#next++}`;
          const key = keyOf(await write(caller, v).catch(() => undefined));
          if (key === undefined) return;
          expect(this.acknowledged.has(key), `the key ${key} was acknowledged twice`).toBe(false);
          this.acknowledged.set(key, v);
        }),
      ),
    );
  }

  async removeRows(caller: SiteCaller): Promise<void> {
    const kept = [...this.acknowledged].filter(([, v]) => v !== undefined);
    await caller.write(kept.map(([id]) => remove("log", { id: integer(id) })));
    for (const [id] of kept) this.acknowledged.set(id, undefined);
  }

  async expectOnMain(): Promise<void> {
    const rows = await sql<{ id: string; v: string }>(sites.urls.main, "select id::text, v from log where v <> 'main'");
    const stored = new Map(rows.map(({ id, v }) => [BigInt(id), v]));
    const wrong = [...this.acknowledged].filter(([id, v]) => stored.get(id) !== v);
    expect(wrong).toEqual([]);
    expect(await sql(sites.urls.main, "select write_id from opsdb.ledger where outcome = 'REJECTED'")).toEqual([]);
  }
}

function write(caller: SiteCaller, v: string): Promise<WriteResponse> {
  return caller.write([insert("log", { v: text(v) })]);
}

function keyOf(response: WriteResponse | undefined): bigint | undefined {
  const row = response?.rows[0];
  const value = row?.values.id?.kind;
  return value?.case === "int64Value" ? value.value : undefined;
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
