import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { PartState } from "../../gen/ts/opsdb/v1/replication_pb.ts";
import { SiteCaller } from "../e2e/site-caller.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";
import { drained, effectsOf, noteEffects, SampleLoad, SampleReader } from "./noted-samples.ts";

vi.setConfig({ testTimeout: 120_000 });

let sites: TwoSite;
let site: SiteCaller;

beforeAll(async () => {
  // Nothing is kept after its proof, so that whatever is forgotten without one is missing.
  const timeouts = {
    LOCAL_TIMEOUT_MS: "500",
    MAIN_TIMEOUT_MS: "1000",
    REDIS_TIMEOUT_MS: "1000",
    BUFFER_RETENTION: "0",
  };
  sites = await startTwoSite({ env: { secondary: timeouts } });
  await noteEffects(sites.urls.main);
  await sites.standby.caughtUp();
  site = new SiteCaller(sites.secondary);
});

afterAll(async () => {
  site?.[Symbol.dispose]();
  await sites?.[Symbol.asyncDispose]();
});

test("G5 G8 G9: replay paused for longer than any timeout: it is named, the overlay is kept, and no reader misses a write", async () => {
  await using load = new SampleLoad(() => site, "paused");
  await using reader = new SampleReader(() => site, load);
  await load.more(50);
  await sites.standby.pauseReplay();
  const before = load.acknowledged.length;
  const { local, buffer } = await site.statusUntil(
    (status) => status.local?.replayPaused === true && (status.local.replayAge?.seconds ?? 0n) >= 3n,
  );
  expect(local?.connection?.state).toBe(PartState.RUNNING);
  expect(Number(buffer?.overlayWrites)).toBeGreaterThanOrEqual(1);
  // Main has them, the replica has not, and nothing has left the buffer.
  const paused = await site.statusUntil(
    ({ buffer: now }) => (now?.overlayWrites ?? 0n) >= (now?.pendingWrites ?? 0n) + 50n,
  );
  expect(Number(paused.buffer?.retainedWrites)).toBeGreaterThanOrEqual(Number(paused.buffer?.overlayWrites));
  expect(load.acknowledged.length).toBeGreaterThan(before);
  await sites.standby.resumeReplay();
  await load.more(20);
  await load.stop();
  await drained(site, { load });
  await reader.expectNothingWrong(20);
  load.expectEachOnceInOrder(await effectsOf(sites.urls.main, "paused"));
});

test("G5 G8: a replica that is stopped and started again under load: reads are right or refused, and nothing is forgotten", async () => {
  await using load = new SampleLoad(() => site, "stopped");
  await using reader = new SampleReader(() => site, load);
  for (let n = 0; n < 3; n++) {
    await load.more(50);
    if (n === 1) await sites.standby.kill();
    else await sites.standby.stop();
    await site.statusUntil(
      ({ local }) => local?.connection?.state === PartState.RETRYING && local.connection.reason !== "",
    );
    const refused = reader.refused.length;
    await load.more(50);
    expect(reader.refused.length).toBeGreaterThan(refused);
    await sites.standby.start();
  }
  await load.more(20);
  await load.stop();
  await drained(site, { load });
  await reader.expectNothingWrong(10);
  load.expectEachOnceInOrder(await effectsOf(sites.urls.main, "stopped"));
  expect(load.refused).toEqual([]);
});
