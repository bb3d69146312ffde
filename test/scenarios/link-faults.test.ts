import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { PartState, type PartStatus } from "../../gen/ts/opsdb/v1/replication_pb.ts";
import { SiteCaller } from "../e2e/site-caller.ts";
import type { ApiServer } from "../support/api-server.ts";
import type { Cut } from "../support/link.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";
import { drained, effectsOf, noteEffects, SampleLoad, SampleReader } from "./noted-samples.ts";

vi.setConfig({ testTimeout: 120_000 });

let sites: TwoSite;
/** Notices a silent link within two seconds; `sites.secondary` has the default timeouts. */
let hasty: ApiServer;

beforeAll(async () => {
  sites = await startTwoSite({ servers: false });
  await noteEffects(sites.urls.main);
  await sites.standby.caughtUp();
  hasty = sites.anotherServer("secondary", "hasty", { MAIN_TIMEOUT_MS: "2000" });
});

afterAll(async () => {
  await sites?.[Symbol.asyncDispose]();
});

interface Fault {
  name: string;
  cut: Cut;
  lossy: "reset" | "dead";
}

const faults: Fault[] = [
  { name: "cut in both directions", cut: { mode: "reset" }, lossy: "reset" },
  { name: "silent in both directions", cut: { mode: "blackhole" }, lossy: "reset" },
  { name: "cut outbound only", cut: { mode: "blackhole", direction: "to-main" }, lossy: "reset" },
  { name: "cut inbound only", cut: { mode: "blackhole", direction: "from-main" }, lossy: "reset" },
  { name: "half-open, outbound only", cut: { mode: "blackhole", direction: "to-main" }, lossy: "dead" },
  { name: "half-open, inbound only", cut: { mode: "blackhole", direction: "from-main" }, lossy: "dead" },
  { name: "half-open", cut: { mode: "blackhole" }, lossy: "dead" },
];

test.each(faults)(
  "G2 G3 G5 G9: link $name (the old connections: $lossy): named with its reason, and drained by itself once it heals",
  async (fault) => {
    await using server = await serving(hasty);
    await throughTheFault(server.site, fault);
  },
);

test("G2 G3 G5 G9: link half-open, with the default timeouts: named with its reason, and drained by itself once it heals", async () => {
  await using server = await serving(sites.secondary);
  await throughTheFault(server.site, { name: "half-open, patiently", cut: { mode: "blackhole" }, lossy: "dead" });
});

test("G2 G3 G9: link half-open while nothing was under way, healed before anybody noticed: the next write finds out", async () => {
  await using server = await serving(sites.secondary);
  const { site } = server;
  await using load = new SampleLoad(() => site, "unnoticed", { clients: 1 });
  await load.more(1);
  await load.stop();
  await drained(site, { load });
  sites.link.cut({ mode: "blackhole" });
  sites.link.heal({ lossy: "dead" });
  await using later = new SampleLoad(() => site, "noticed", { clients: 1 });
  await later.more(1);
  await later.stop();
  await drained(site, { load: later });
  later.expectEachOnceInOrder(await effectsOf(sites.urls.main, "noticed"));
});

test("G2 G3 G5: a link that flaps forty times under load: each write once, in order, and no reader misses one", async () => {
  await using server = await serving(hasty);
  const { site } = server;
  await using load = new SampleLoad(() => site, "flapping");
  await using reader = new SampleReader(() => site, load);
  const cuts: Cut[] = [{ mode: "reset" }, ...faults.map(({ cut }) => cut)];
  for (let n = 0; n < 40; n++) {
    sites.link.cut(cuts[n % cuts.length]);
    await load.more(3);
    sites.link.heal({ lossy: n % 3 === 0 ? "dead" : "reset" });
    await load.more(1 + (n % 20));
  }
  await load.stop();
  await drained(site, { load });
  await reader.expectNothingWrong(20);
  load.expectEachOnceInOrder(await effectsOf(sites.urls.main, "flapping"));
});

async function throughTheFault(site: SiteCaller, { name, cut, lossy }: Fault): Promise<void> {
  await using load = new SampleLoad(() => site, name.slice(0, 40));
  await using reader = new SampleReader(() => site, load);
  await load.more(50);
  sites.link.cut(cut);
  try {
    const { processor, main } = await site.statusUntil(
      (status) =>
        status.processor?.state?.state === PartState.RETRYING && status.main?.connection?.state === PartState.RETRYING,
    );
    expectNamed(processor?.state);
    expectNamed(main?.connection);
    await load.more(50);
  } finally {
    sites.link.heal({ lossy });
  }
  await load.more(50);
  await load.stop();
  await drained(site, { load });
  await reader.expectNothingWrong(20);
  load.expectEachOnceInOrder(await effectsOf(sites.urls.main, load.station));
  expect(load.refused).toEqual([]);
}

function expectNamed(part: PartStatus | undefined): void {
  expect(part?.reason).not.toBe("");
  expect(part?.since).toBeDefined();
}

async function serving(server: ApiServer): Promise<AsyncDisposable & { site: SiteCaller }> {
  await server.start();
  await server.ready();
  const site = new SiteCaller(server);
  return {
    site,
    async [Symbol.asyncDispose]() {
      site[Symbol.dispose]();
      await server.stop();
    },
  };
}
