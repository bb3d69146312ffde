import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { SiteCaller } from "../e2e/site-caller.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";
import { drained, effectsOf, noteEffects, SampleLoad, SampleReader } from "./noted-samples.ts";

vi.setConfig({ testTimeout: 120_000 });

let sites: TwoSite;
let site: SiteCaller;

beforeAll(async () => {
  sites = await startTwoSite({ env: { secondary: { MAIN_TIMEOUT_MS: "2000" } } });
  await noteEffects(sites.urls.main);
  await sites.standby.caughtUp();
  site = new SiteCaller(sites.secondary);
});

afterAll(async () => {
  site?.[Symbol.dispose]();
  await sites?.[Symbol.asyncDispose]();
});

test("G2 G3 G5: main killed under load three times and started again: each write once, in order, and no reader misses one", async () => {
  await using load = new SampleLoad(() => site, "killed");
  await using reader = new SampleReader(() => site, load);
  for (let n = 0; n < 3; n++) {
    await load.more(100);
    await sites.primary.kill();
    await load.more(100);
    await sites.primary.start();
  }
  await load.more(100);
  await load.stop();
  await drained(site, { load });
  await reader.expectNothingWrong(20);
  load.expectEachOnceInOrder(await effectsOf(sites.urls.main, "killed"));
});

test("G2 G3 G5: the answers to ten COMMITs in a row are lost under load: each write once, in order, and no reader misses one", async () => {
  await using load = new SampleLoad(() => site, "unanswered");
  await using reader = new SampleReader(() => site, load);
  for (let n = 0; n < 10; n++) await sites.link.dropNextCommitAnswer();
  await load.more(20);
  await load.stop();
  await drained(site, { load });
  await reader.expectNothingWrong(20);
  load.expectEachOnceInOrder(await effectsOf(sites.urls.main, "unanswered"));
});

test("G2 G3: main killed at the moment of COMMIT, its answer lost: each write once, in order", async () => {
  await using load = new SampleLoad(() => site, "killed at commit");
  for (let n = 0; n < 3; n++) {
    await load.more(20);
    await sites.link.dropNextCommitAnswer();
    await sites.primary.kill();
    await load.more(20);
    await sites.primary.start();
  }
  await load.stop();
  await drained(site, { load });
  load.expectEachOnceInOrder(await effectsOf(sites.urls.main, "killed at commit"));
  expect(load.refused).toEqual([]);
});
