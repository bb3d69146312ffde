import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { sql } from "../support/sql.ts";
import type { SiteRole } from "../support/two-site.ts";
import { describeFindings, fuzzMethod, type MethodReport } from "./fuzz-method.ts";
import { FuzzSites, methods, roles } from "./fuzz-sites.ts";
import { HealthyCaller } from "./healthy-caller.ts";
import { CallSender } from "./send-call.ts";
import type { Holdings } from "./watched-process.ts";

/**
 * Random calls of every method of both sites, which depend on their seed alone. TEST_SEED=7 TEST_FUZZ_METHOD=Write
 * TEST_FUZZ_CALLS=1 is one call again, at each site; TEST_NIGHTLY=1 makes 100,000 of each method, or as many as
 * TEST_FUZZ_MINUTES allow.
 */
const { TEST_SEED = "1", TEST_NIGHTLY, TEST_FUZZ_METHOD, TEST_FUZZ_CALLS, TEST_FUZZ_MINUTES } = process.env;
const first = Number(TEST_SEED);
/** Of one method, at both sites together. */
const calls = Number(TEST_FUZZ_CALLS ?? (TEST_NIGHTLY ? 100_000 : 240));
const minutes = Number(TEST_FUZZ_MINUTES ?? (TEST_NIGHTLY ? 120 : 10));
const chosen = methods.filter(({ name }) => TEST_FUZZ_METHOD === undefined || name === TEST_FUZZ_METHOD);

/**
 * What a server may hold more than after the first calls. Heap: compiled code, statements with a name (2,000 of up to 10
 * kB), and the ledger of what is rejected and shown for the moment. A leak of a kilobyte for each call would be 100 MB.
 */
const MORE_HEAP = 40 * 1024 ** 2;
const MORE_BUFFERS = 24 * 1024 ** 2;
/** The pools, of 10 and 20 connections, keep what they opened for a minute. */
const MORE_SOCKETS = 40;

let fuzz: FuzzSites;
let healthy: Record<SiteRole, HealthyCaller>;
let senders: Record<SiteRole, CallSender>;
let before: Record<SiteRole, Holdings>;
const acknowledged: string[] = [];
const end = performance.now() + minutes * 60_000;

beforeAll(async () => {
  fuzz = await FuzzSites.start();
  const { main, secondary } = fuzz.callers;
  healthy = { main: new HealthyCaller(main), secondary: new HealthyCaller(secondary) };
  senders = { main: new CallSender(fuzz.sites.main.grpc), secondary: new CallSender(fuzz.sites.secondary.grpc) };
  // The first calls compile code and open connections; what is held after them is what is held.
  for (const method of methods) await callEverywhere(method.name, 40);
  before = { main: await fuzz.holdings("main"), secondary: await fuzz.holdings("secondary") };
}, 120_000);

afterAll(async () => {
  for (const role of roles) senders?.[role][Symbol.dispose]();
  await fuzz?.[Symbol.asyncDispose]();
});

/** So many calls at both sites together; answers a report for each. */
async function callEverywhere(name: string, count: number, seed = 0): Promise<MethodReport[]> {
  const reports = await Promise.all(
    roles.map((role, i) => {
      const found = methods.filter((method) => method.name === name);
      return Promise.all(
        found.map((method) =>
          fuzzMethod({
            method,
            sender: senders[role],
            dictionary: fuzz.dictionary,
            seed: seed + i * 1e8,
            count: Math.ceil(count / 2),
            until: end,
          }),
        ),
      );
    }),
  );
  acknowledged.push(...reports.flat().flatMap((report) => report.acknowledged));
  return reports.flat();
}

test.each([...new Set(chosen.map(({ name }) => name))])(
  "%s answers whatever it is sent with a code of the contract",
  {
    timeout: minutes * 60_000 + 60_000,
  },
  async (name) => {
    const reports = await callEverywhere(name, calls, first);
    if (name === "PauseDrain") await fuzz.callers.secondary.admin.resumeDrain({ operator: "fuzz", reason: "done" });
    fuzz.requireAlive();
    if (TEST_NIGHTLY) for (const { sent, codes } of reports) console.info(name, sent, Object.fromEntries(codes));
    expect(reports.flatMap(describeFindings)).toEqual([]);
    expect(roles.flatMap((role) => fuzz.errors(role))).toEqual([]);
    expect(reports.every(({ sent }) => sent > 0)).toBe(true);
  },
);

test("callers who did nothing wrong were served all the time", async () => {
  for (const role of roles) {
    await healthy[role].once();
    await healthy[role][Symbol.asyncDispose]();
    const { writeIds, retries, slowestMs, failures } = healthy[role].report;
    if (TEST_NIGHTLY) console.info(role, { served: writeIds.length, retries, slowestMs });
    expect(failures).toEqual([]);
    expect(writeIds.length).toBeGreaterThan(10);
  }
});

test("G2: what was acknowledged is on main once, applied or rejected with a reason, and nothing holds up the drain", {
  timeout: 300_000,
}, async () => {
  await fuzz.callers.secondary.admin.resumeDrain({ operator: "fuzz", reason: "done" });
  await fuzz.callers.secondary.statusUntil(({ buffer }) => buffer?.pendingWrites === 0n, { timeoutMs: 240_000 });
  const { main } = fuzz.sites.urls;
  const wanted = [...new Set([...acknowledged, ...roles.flatMap((role) => healthy[role].report.writeIds)])];
  const missing = await sql(
    main,
    `select id from unnest($1::uuid[]) id left join opsdb.ledger on write_id = id
    where outcome is null or (outcome = 'REJECTED' and error ->> 'reason' is null)`,
    [wanted],
  );
  expect(missing).toEqual([]);
  const stations = roles.flatMap((role) => healthy[role].report.writeIds);
  const rows = await sql(main, "select count(*)::int as count from weather_samples where station = any ($1)", [
    stations,
  ]);
  expect(rows).toEqual([{ count: stations.length }]);
  if (TEST_FUZZ_METHOD === undefined) expect(acknowledged.length).toBeGreaterThan(0);
});

test("the servers hold no more than after the first calls", { timeout: 120_000 }, async () => {
  for (const role of roles) senders[role][Symbol.dispose]();
  const idle = await eventually(
    () => fuzz.busyConnections(),
    ({ length }) => length === 0,
    { timeoutMs: 20_000, what: "that no statement runs on" },
  );
  expect(idle).toEqual([]);
  for (const role of roles) {
    const from = before[role];
    const after = await eventually(
      () => fuzz.holdings(role),
      ({ heap, buffers, sockets }) =>
        heap < from.heap + MORE_HEAP && buffers < from.buffers + MORE_BUFFERS && sockets <= from.sockets + MORE_SOCKETS,
      { timeoutMs: 30_000, everyMs: 500, what: `that as little is held as before, ${JSON.stringify(from)},` },
    );
    if (TEST_NIGHTLY) console.info(role, { before: from, after });
  }
});
