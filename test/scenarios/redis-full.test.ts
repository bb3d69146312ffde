import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ConnectError } from "@connectrpc/connect";
import type { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { eventually } from "../support/eventually.ts";
import { findRedis, ping, startRedis } from "../support/redis-server.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";
import { createPairs, OwnSite, temporaryDirectory } from "./own-site.ts";
import { isRetryable, nothingWrong, PairWriters, reasonOf, writePair } from "./pair-writers.ts";

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

const noDisk = whyNoSmallDisk();

test.skipIf(noDisk)(
  `G1: the disk of Redis fills up: writes are refused clearly, nothing acknowledged is lost, and once there is room writing goes on by itself${noDisk ? ` (not run: ${noDisk})` : ""}`,
  async () => {
    using disk = smallDisk(24);
    await using site = await OwnSite.start(sites, "disk-full", { redis: await startRedis({ directory: disk.data }) });
    await using writers = new PairWriters(site);
    await writers.more(100);
    sites.link.cut();
    disk.fill(64 * 1024);
    // With `appendfsync always` Redis ends when it cannot store what it was about to acknowledge.
    await eventually(
      () =>
        ping(site.redis).then(
          () => "answers",
          () => "ended",
        ),
      (state) => state === "ended",
      { what: "that Redis has no room" },
    );
    await writers.refused(32);
    // It does not come back either: what it is asked to store first ends it again.
    await site.redis.start().catch(() => {});
    await writers.refused(32);
    await site.redis.kill();
    await writers.refused(16);
    const told = await site.status(({ buffer }) => (buffer?.connection?.reason ?? "") !== "");
    expect(told.buffer.connection.state).toBe("PART_STATE_RETRYING");

    disk.empty();
    await site.redis.start();
    await writers.more(100);
    await writers.finish();
    sites.link.heal();
    await site.drained();
    expect(await writers.wrongs()).toEqual(nothingWrong);
    for (const reason of writers.refusals.keys())
      expect(["BUFFER_UNAVAILABLE", "BUFFER_NOT_DURABLE", "BUFFER_FULL"]).toContain(reason);
  },
);

test("G1: Redis is out of memory: writes are refused with RetryInfo, reads go on, the drain makes room by itself, and nothing is lost", async () => {
  await using site = await OwnSite.start(sites, "out-of-memory", { env: { BUFFER_RETENTION: "0" } });
  await using writers = new PairWriters(site);
  await writers.more(50);
  sites.link.cut();
  await site.redisCommand((redis) => limitMemory(redis, 400_000));
  await eventually(
    () => [...writers.refusals.keys()],
    (reasons) => reasons.includes("BUFFER_FULL"),
    { what: "a refusal with BUFFER_FULL" },
  );
  await site.redisCommand((redis) => limitMemory(redis, -100_000));
  await writers.refused(16);
  expect(await refusedOnce(site)).toEqual({ code: "ResourceExhausted", reason: "BUFFER_FULL", retryable: true });
  const shown = await site.merged();
  const stored = writers.attempts.filter(({ acknowledged }) => acknowledged).map(({ n }) => n);
  expect(stored.filter((n) => !shown.includes(n))).toEqual([]);
  expect(new Set(writers.refusals.keys())).toEqual(new Set(["BUFFER_FULL"]));

  // So much that what the drain makes free is enough.
  await site.redisCommand((redis) => limitMemory(redis, -20_000));
  sites.link.heal();
  await writers.more(100);
  await writers.finish();
  await site.drained();
  expect(await writers.wrongs()).toEqual(nothingWrong);
});

test.each(["SIGTERM", "SIGKILL"] as const)(
  "G1 G9: the API server starts again after %s while Redis is out of memory: it reads and drains, and writes are accepted again",
  async (signal) => {
    await using site = await OwnSite.start(sites, `out-of-memory-${signal.toLowerCase()}`, {
      env: { BUFFER_RETENTION: "0" },
    });
    await using writers = new PairWriters(site);
    await fill(site, writers);
    await (signal === "SIGTERM" ? site.server.stop() : site.server.kill());
    await site.server.start();
    await expectReadsAndDrain(site, writers);
  },
);

test("G1 G9: Redis starts again with too little memory for what it holds: the site reads and drains, and writes are accepted again", async () => {
  await using site = await OwnSite.start(sites, "out-of-memory-redis", { env: { BUFFER_RETENTION: "0" } });
  await using writers = new PairWriters(site);
  await fill(site, writers);
  await site.redis.kill();
  await site.redis.start({ maxmemory: "500000" });
  await eventually(
    () => refusedOnce(site),
    ({ reason }) => reason !== "BUFFER_UNAVAILABLE",
  );
  await expectReadsAndDrain(site, writers);
});

/** Writes until Redis has no memory left, with the link cut. */
async function fill(site: OwnSite, writers: PairWriters): Promise<void> {
  await writers.more(50);
  sites.link.cut();
  await writers.more(50);
  await site.redisCommand((redis) => limitMemory(redis, -100_000));
  await writers.refused(16);
  await writers.abandon();
}

/** Redis has no memory left, and the link is still cut. */
async function expectReadsAndDrain(site: OwnSite, writers: PairWriters): Promise<void> {
  const stored = writers.attempts.filter(({ acknowledged }) => acknowledged).map(({ n }) => n);
  const shown = await eventually(() => site.merged(), undefined, { what: "an answer of a merged read" });
  expect(stored.filter((n) => !shown.includes(n))).toEqual([]);
  expect(await refusedOnce(site)).toEqual({ code: "ResourceExhausted", reason: "BUFFER_FULL", retryable: true });

  sites.link.heal();
  await site.drained();
  expect(await writers.wrongs()).toEqual(nothingWrong);
  await site.redisCommand((redis) => redis.config("SET", "maxmemory", "0"));
  await site.ready();
  await writePair(site, writers.attempts.length);
}

/** What one write is refused with, that is not tried again. */
async function refusedOnce(site: OwnSite): Promise<{ code: string; reason: string; retryable: boolean }> {
  const error: unknown = await writePair(site, 1_000_000).then(
    () => undefined,
    (cause: unknown) => cause,
  );
  if (error === undefined) throw new Error("the write was accepted");
  const { code } = ConnectError.from(error);
  return { code: code === 8 ? "ResourceExhausted" : `${code}`, reason: reasonOf(error), retryable: isRetryable(error) };
}

/** So many bytes more than it uses now. */
async function limitMemory(redis: Redis, more: number): Promise<void> {
  const used = Number(/^used_memory:(\d+)/m.exec(await redis.info("memory"))?.[1]);
  await redis.config("SET", "maxmemory", String(used + more));
}

interface SmallDisk extends Disposable {
  data: string;
  /** Leaves so many bytes free. */
  fill(leave: number): void;
  empty(): void;
}

function smallDisk(megabytes: number): SmallDisk {
  const mount = temporaryDirectory();
  const done = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m`, "tmpfs", mount]);
  if (done.status !== 0) throw new Error(String(done.stderr));
  const data = join(mount, "data");
  mkdirSync(data);
  const ballast = join(mount, "ballast");
  return {
    data,
    fill(leave) {
      const { bavail, bsize } = statfsSync(mount);
      writeFileSync(ballast, Buffer.alloc(bavail * bsize - leave));
    },
    empty: () => rmSync(ballast),
    [Symbol.dispose]() {
      spawnSync("umount", ["-l", mount]);
    },
  };
}

/** Why no small disk can be had; undefined where it can. */
function whyNoSmallDisk(): string | undefined {
  if (!findRedis()) return "no Redis program of this machine's own";
  if (process.getuid?.() !== 0) return "mounting a small disk needs root";
  const probe = temporaryDirectory();
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", probe]).status !== 0)
    return "mounting is not permitted";
  spawnSync("umount", ["-l", probe]);
  return undefined;
}
