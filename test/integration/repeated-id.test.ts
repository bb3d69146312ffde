import { afterEach, beforeEach, expect, test } from "vitest";
import type { Site } from "../../src/site/site.ts";
import { eventually } from "../support/eventually.ts";
import { Link } from "../support/link.ts";
import { home, mutation, openSite, type RunningSite, read, request, write } from "../support/sites.ts";
import { createDatabase, type TestDatabase } from "../support/test-database.ts";

let database: TestDatabase;
let toMain: Link;
let toReplica: Link;
let running: RunningSite;
let site: Site;

beforeEach(async () => {
  database = await createDatabase();
  await database.onPrimary("create table log (n int primary key, v text)");
  await database.caughtUp();
  toMain = new Link();
  toReplica = new Link();
  running = await openSite(
    "secondary",
    {
      site: database.site,
      mainUrl: await through(toMain, database.primaryUrl),
      localUrl: await through(toReplica, database.standbyUrl),
      redisUrl: database.redisUrl,
    },
    { MAIN_TIMEOUT_MS: "1000", LOCAL_TIMEOUT_MS: "1000", BUFFER_RETENTION: "0" },
  );
  site = running.site;
});

afterEach(async () => {
  await running[Symbol.asyncDispose]();
  await toMain[Symbol.asyncDispose]();
  await toReplica[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

async function through(link: Link, url: string): Promise<string> {
  const changed = new URL(url);
  const { host, port } = await link.forward({ host: changed.hostname, port: Number(changed.port) });
  changed.host = `${host}:${port}`;
  return changed.href;
}

const set = (v: string) => request(mutation("upsert", "log", { set: { n: "1", v } }));
const rows = async () => (await read(site, { table: "log" })).rows;

test("G6: a write that is sent again after it has left the buffer, while the replica is away, does not cover what came later", async () => {
  const first = set("first");
  await home(site, await write(site, first));
  const deleted = await write(site, request(mutation("delete", "log", { key: { n: "1" } })));
  await home(site, deleted);
  await eventually(
    () => site.status.value,
    ({ buffer, processor }) =>
      buffer?.retainedWrites === 0 && processor?.replicatedPosition === deleted.status.position,
    { what: "that both writes have left the buffer" },
  );
  toMain.cut();
  toReplica.cut();
  await eventually(
    () => site.status.value.local.connection.state,
    (state) => state === "RETRYING",
    { what: "that the replica is known to be away" },
  );
  const again = await write(site, first);
  expect(again.status.state).toBe("ACCEPTED");
  toReplica.heal();
  await eventually(rows, (found) => found.length === 0, { what: "that the row is still deleted" });
  // Nothing is known of the row from that write: an insert is not refused for it.
  const insert = await write(site, request(mutation("insert", "log", { set: { n: "1", v: "new" } })));
  expect(await rows()).toEqual([["1", "new"]]);
  toMain.heal();
  await home(site, insert);
  expect(await database.onPrimary("select v from log")).toEqual([{ v: "new" }]);
  expect(await rows()).toEqual([["1", "new"]]);
});
