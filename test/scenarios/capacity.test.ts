import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { HealthCheckResponse_ServingStatus as Serving } from "../../gen/ts/grpc/health/v1/health_pb.ts";
import { AlarmLevel } from "../../gen/ts/opsdb/v1/replication_pb.ts";
import { eventually } from "../support/eventually.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";
import { createPairs, OwnSite } from "./own-site.ts";
import {
  type Attempt,
  findWrongs,
  isRetryable,
  nothingWrong,
  PairWriters,
  reasonOf,
  writePair,
} from "./pair-writers.ts";

const writing = "opsdb.v1.WriteService";
const headroom = "opsdb.v1.WriteService/headroom";
const maxWrites = 200;

// Several restarts of real servers each, on machines that are busy.
vi.setConfig({ testTimeout: 90_000 });

let sites: TwoSite;

beforeAll(async () => {
  sites = await startTwoSite({ servers: false });
  await createPairs(sites);
});

afterEach(() => {
  sites.link.heal();
});

afterAll(async () => {
  await sites?.[Symbol.asyncDispose]();
});

test("G1 G9: a buffer that fills up says so before it is full, then refuses with RetryInfo, drops nothing, and takes writes again as it drains", async () => {
  await using site = await OwnSite.start(sites, "full", {
    env: { BUFFER_MAX_WRITES: String(maxWrites), BUFFER_RETENTION: "0" },
  });
  sites.link.cut();
  const attempts: Attempt[] = [];
  const fillTo = async (part: number): Promise<void> => {
    while (attempts.length < maxWrites * part) attempts.push(await writePair(site, attempts.length));
  };
  await fillTo(0.4);
  await site.caller.statusUntil(({ buffer }) => buffer?.alarm === AlarmLevel.NONE);
  await fillTo(0.6);
  await site.caller.statusUntil(({ buffer }) => buffer?.alarm === AlarmLevel.WARNING);
  await fillTo(0.89);
  expect(await site.caller.healthOf(headroom)).toBe(Serving.SERVING);
  expect(await site.healthz()).not.toMatchObject({ degraded: expect.anything() });
  expect(JSON.stringify(await site.healthz())).not.toContain("degraded");

  await fillTo(0.95);
  await site.caller.statusUntil(({ buffer }) => buffer?.alarm === AlarmLevel.CRITICAL);
  await eventually(
    () => site.caller.healthOf(headroom),
    (health) => health === Serving.NOT_SERVING,
    { what: "that there is no headroom" },
  );
  expect(await site.caller.healthOf(writing)).toBe(Serving.SERVING);
  expect(JSON.stringify(await site.healthz())).toMatch(/degraded/);
  expect(JSON.stringify(await site.healthz())).toMatch(/buffer/);

  await fillTo(1);
  const refused: unknown = await writePair(site, maxWrites).catch((error: unknown) => error);
  expect([reasonOf(refused), isRetryable(refused)]).toEqual(["BUFFER_FULL", true]);
  await site.caller.statusUntil(({ buffer }) => buffer?.alarm === AlarmLevel.FULL);
  await eventually(
    () => site.caller.healthOf(writing),
    (health) => health === Serving.NOT_SERVING,
    { what: "that writes are not served" },
  );
  expect(await site.merged()).toEqual(attempts.map(({ n }) => n));

  // Those who try again get through as it drains.
  await using writers = new PairWriters(site, { firstNumber: attempts.length });
  await writers.refused(16);
  sites.link.heal();
  await writers.more(maxWrites);
  await writers.finish();
  await site.drained();
  expect(await writers.wrongsWith(attempts)).toEqual(nothingWrong);
  expect([...writers.refusals.keys()]).toEqual(["BUFFER_FULL"]);
  await site.ready();
  await eventually(
    () => site.caller.healthOf(headroom),
    (health) => health === Serving.SERVING,
    { what: "that there is headroom again" },
  );
});

test("G1: a buffer of a few writes under load of many callers never holds up its own drain", async () => {
  await using site = await OwnSite.start(sites, "narrow", {
    servers: 2,
    env: { BUFFER_MAX_WRITES: "20", BUFFER_RETENTION: "0", PROCESSOR_BATCH_WRITES: "5" },
  });
  await using writers = new PairWriters(site, { writers: 16 });
  for (let i = 0; i < 3; i++) {
    await writers.more(30);
    sites.link.cut();
    await eventually(
      () => writers.refusals.get("BUFFER_FULL") ?? 0,
      (count) => count > i * 100,
      { what: "refusals" },
    );
    sites.link.heal();
  }
  await writers.more(30);
  await writers.finish();
  await site.drained();
  expect(await findWrongs(site, writers.attempts)).toEqual(nothingWrong);
});
