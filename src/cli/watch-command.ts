import { toJson } from "@bufbuild/protobuf";
import { ReplicationStatusSchema } from "../../gen/ts/opsdb/v1/replication_pb.ts";
import type { CommandCall, SiteCommand } from "./command.ts";
import { exitCode } from "./exit-code.ts";
import { type FollowedSite, StatusFollower } from "./follow-status.ts";
import { FullScreen } from "./full-screen.ts";
import { ornate, writeOut } from "./output.ts";
import { readCount } from "./read-option.ts";
import { siteLine, siteLineHeader } from "./site-line.ts";
import { siteScreen } from "./site-screen.ts";
import { StatusHistory } from "./status-history.ts";

const EVERY_MS = 1_000;
/** Looks that are kept for the sparklines. */
const KEPT = 120;

export const watchCommand: SiteCommand = {
  name: "watch",
  summary: "Watch a site live: link, replica, buffer and drain, with states, reasons, ages and rates.",
  details: `On a terminal it takes the whole screen; elsewhere, or with --lines or --json, it prints one line a second.
It goes on while the server is away, and says since when it is. IN/S are writes accepted, OUT/S those decided by main.`,
  options: ["lines", "limit", "json"],
  examples: ["opsdb watch", "opsdb watch --lines --limit 60", "opsdb watch --json | tee night.jsonl"],
  async run(call) {
    const { options } = call;
    const limit = readCount(options.limit, "--limit");
    const lines = options.lines || options.json || limit !== undefined || process.stdout.isTTY !== true;
    const ending = new AbortController();
    const end = (): void => ending.abort();
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, end);
    return lines ? await watchLines(call, limit, ending) : await watchScreen(call, ending);
  },
};

async function watchLines(call: CommandCall, limit: number | undefined, ending: AbortController): Promise<number> {
  const history = new StatusHistory(2);
  let told = 0;
  if (!call.options.json) await writeOut(`${siteLineHeader}\n`);
  await everySecond(call, ending, {
    async look(site) {
      const now = new Date();
      history.add(site.disconnected ? undefined : site.status, performance.now());
      await writeOut(`${call.options.json ? siteJson(site, now) : siteLine(site, history.samples.at(-1), now)}\n`);
      told += 1;
      if (told === limit) ending.abort();
    },
  });
  return exitCode.ok;
}

async function watchScreen(call: CommandCall, ending: AbortController): Promise<number> {
  const history = new StatusHistory(KEPT);
  const color = ornate(process.stdout, call.env);
  let drawn: FollowedSite = { status: undefined, disconnected: undefined };
  using screen = new FullScreen({
    onResize: () => draw(drawn),
    onKey: (key) => {
      if (key === "q" || key === "\u0003") ending.abort();
    },
  });
  const draw = (site: FollowedSite): void => {
    drawn = site;
    const { server } = call;
    screen.draw(siteScreen({ server, site, samples: history.samples, now: new Date(), color, ...screen.size }));
  };
  draw(drawn);
  await everySecond(call, ending, {
    async look(site) {
      history.add(site.disconnected ? undefined : site.status, performance.now());
      draw(site);
    },
    changed: draw,
  });
  return exitCode.ok;
}

/** Looks at once when something is known, then each second, until the signal; `changed` is told of all that comes. */
async function everySecond(
  call: CommandCall,
  ending: AbortController,
  { look, changed }: { look: (site: FollowedSite) => Promise<void>; changed?: (site: FollowedSite) => void },
): Promise<void> {
  const { signal } = ending;
  let first: () => void = () => {};
  const begun = new Promise<void>((resolve) => {
    first = resolve;
  });
  const follower = new StatusFollower(call, () => {
    first();
    changed?.(follower.now);
  });
  signal.addEventListener("abort", first, { once: true });
  const following = follower.run(signal).finally(() => ending.abort());
  await begun;
  for (let at = performance.now(); !signal.aborted; ) {
    await look(follower.now);
    at = Math.max(at + EVERY_MS, performance.now());
    await pause(at - performance.now(), signal);
  }
  await following;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
}

function siteJson({ status, disconnected }: FollowedSite, now: Date): string {
  return JSON.stringify({
    at: now.toISOString(),
    ...(disconnected && { disconnectedSince: disconnected.since.toISOString(), reason: disconnected.reason }),
    status: status && !disconnected ? toJson(ReplicationStatusSchema, status) : null,
  });
}
