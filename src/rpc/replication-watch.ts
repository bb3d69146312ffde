import { sleep } from "../lib/abort.ts";
import type { Latest } from "../lib/latest.ts";
import { linkSignals } from "../lib/linked-signal.ts";
import type { ReplicationStatus } from "../replication/status.ts";
import type { Site } from "../site/site.ts";
import { type FollowedEvent, FollowedEvents, type FollowOptions } from "./followed-events.ts";
import { shuttingDown } from "./health.ts";

export type WatchEvent =
  | { kind: "status"; status: ReplicationStatus }
  | { kind: "heartbeat"; at: Date }
  | FollowedEvent;

export interface WatchOptions extends FollowOptions {
  site: Pick<Site, "status" | "readStatus" | "followWrite" | "waitForLsn">;
  heartbeatMs: number;
  /** Ends once everything followed is done. */
  untilDone: boolean;
  /** The caller went away. */
  signal: AbortSignal;
  /** The server stops: the watch ends with SHUTTING_DOWN. */
  stopping: AbortSignal;
}

/**
 * One watcher's events, in one order. What is followed goes before a newer status, so that nobody reads of progress
 * before the event that made it. Of the status a slow reader gets the newest only; of what is followed it gets
 * everything, and the source waits while the reader is behind, so that nothing piles up.
 */
export async function* watchReplication(options: WatchOptions): AsyncGenerator<WatchEvent> {
  const { site, signal, stopping } = options;
  using linked = linkSignals(signal, stopping);
  const followed = new FollowedEvents(options, linked.signal);
  try {
    let told = site.status.version;
    yield { kind: "status", status: site.readStatus() };
    for (;;) {
      const event = followed.take();
      if (event !== undefined) {
        yield event;
      } else if (options.untilDone && followed.done) {
        return;
      } else if (site.status.version !== told) {
        told = site.status.version;
        yield { kind: "status", status: site.status.value };
      } else if ((await news(options, told, followed.progress, linked.signal)) === "silence") {
        yield { kind: "heartbeat", at: new Date() };
      }
    }
  } catch (error) {
    throw stopping.aborted && !signal.aborted ? shuttingDown() : error;
  } finally {
    linked.abort();
    await followed.ended;
  }
}

/** Waits for the next status, the next followed event, or as long as a heartbeat takes, whichever comes first. */
async function news(
  { site, heartbeatMs }: WatchOptions,
  told: number,
  progress: Latest<null>,
  signal: AbortSignal,
): Promise<"news" | "silence"> {
  using round = linkSignals(signal);
  try {
    return await Promise.race([
      site.status.changed(told, round.signal).then(() => "news" as const),
      progress.changed(progress.version, round.signal).then(() => "news" as const),
      sleep(heartbeatMs, round.signal).then(() => "silence" as const),
    ]);
  } finally {
    round.abort();
  }
}
