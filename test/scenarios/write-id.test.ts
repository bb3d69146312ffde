import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { WriteResponse } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { WriteState } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { refusal, SiteCaller } from "../e2e/site-caller.ts";
import type { ApiServer } from "../support/api-server.ts";
import { eventually } from "../support/eventually.ts";
import { sql } from "../support/sql.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";
import { drained, effectsOf, noteEffects, sample } from "./noted-samples.ts";

vi.setConfig({ testTimeout: 120_000 });

let sites: TwoSite;
let other: ApiServer;
let site: SiteCaller;
let through: SiteCaller;

beforeAll(async () => {
  // Nothing is kept after its proof, so that an id is soon known by the ledger alone.
  const env = { MAIN_TIMEOUT_MS: "2000", REDIS_TIMEOUT_MS: "5000", BUFFER_RETENTION: "0" };
  sites = await startTwoSite({ env: { secondary: env } });
  await noteEffects(sites.urls.main);
  await sites.standby.caughtUp();
  other = sites.anotherServer("secondary", "other");
  await other.start();
  await other.ready();
  site = new SiteCaller(sites.secondary);
  through = new SiteCaller(other);
});

afterAll(async () => {
  site?.[Symbol.dispose]();
  through?.[Symbol.dispose]();
  await sites?.[Symbol.asyncDispose]();
});

test("G2: one write id from ten clients at once through two servers, repeated at every later moment, is one write with one answer", async () => {
  const writeId = randomUUID();
  const station = "one id";
  const [mutations, others] = [[sample(station, 1)], [sample(station, 2)]];
  /** Every caller gets the same write, and with other content none at all. */
  const repeat = async (first?: WriteResponse): Promise<WriteResponse> => {
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, n) => (n % 2 === 0 ? site : through).write(mutations, { writeId })),
    );
    for (const caller of [site, through])
      expect(await refusal(caller.write(others, { writeId }))).toMatchObject({
        code: "AlreadyExists",
        reason: "WRITE_ID_REUSED",
        field: "write_id",
      });
    const [one = first] = [first, ...answers].filter((answer) => answer !== undefined);
    if (!one) throw new Error("nobody was answered");
    for (const { status, rows, duplicate } of answers) {
      expect(status).toMatchObject({ writeId, position: one.status?.position, site: "ccat" });
      for (const [name, value] of Object.entries(rows[0]?.values ?? {}))
        expect(value).toEqual(one.rows[0]?.values[name]);
      if (first) expect(duplicate).toBe(true);
    }
    if (!first) expect(answers.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
    return one;
  };

  sites.link.cut();
  const first = await repeat();
  await repeat(first);
  for (const server of [sites.secondary, other]) {
    await server.kill();
    await server.start();
    await server.ready();
  }
  await repeat(first);
  await sites.standby.pauseReplay();
  sites.link.heal();
  // Main is asked: which of the servers drains, and so knows of it before the replica does, is open.
  await eventually(
    () => sql(sites.urls.main, "select from opsdb.ledger where write_id = $1", [writeId]),
    (rows) => rows.length === 1,
    { timeoutMs: 20_000, what: "that main has applied the write" },
  );
  await repeat(first);
  await sites.standby.resumeReplay();
  await Promise.all([site.home(writeId), through.home(writeId)]);
  await repeat(first);
  for (const caller of [site, through]) await caller.statusUntil(({ buffer }) => buffer?.retainedWrites === 0n);
  await repeat(first);
  await sites.secondary.restart();
  await sites.secondary.ready();
  await repeat(first);
  expect((await site.writes.getWrite({ writeId })).status).toMatchObject({
    state: WriteState.REPLICATED,
    position: first.status?.position,
  });
  await drained(site);
  expect((await effectsOf(sites.urls.main, station)).map(({ n }) => n)).toEqual([1]);
});

test("G2: of ten callers with one id and ten contents, through two servers, one is taken and the others are refused", async () => {
  for (const cut of [true, false]) {
    if (cut) sites.link.cut();
    const writeId = randomUUID();
    const station = cut ? "contents, cut" : "contents";
    const calls = await Promise.allSettled(
      Array.from({ length: 10 }, (_, n) => (n % 2 === 0 ? site : through).write([sample(station, n)], { writeId })),
    );
    const taken = calls.flatMap(({ status }, n) => (status === "fulfilled" ? [n] : []));
    expect(taken).toHaveLength(1);
    for (const call of calls)
      if (call.status === "rejected")
        expect(await refusal(Promise.reject(call.reason))).toMatchObject({ reason: "WRITE_ID_REUSED" });
    sites.link.heal();
    await site.home(writeId);
    expect((await effectsOf(sites.urls.main, station)).map(({ n }) => n)).toEqual(taken);
  }
});
