import type { Duration } from "@bufbuild/protobuf/wkt";
import { OpsDbError } from "../errors.ts";
import { sleep } from "../lib/abort.ts";
import { linkSignals } from "../lib/linked-signal.ts";
import { shuttingDown } from "./health.ts";
import { fromDuration } from "./wire-time.ts";

const defaultHeartbeatMs = 10_000;
const minHeartbeatMs = 100;
/** What a timer can hold: 24 days. */
const maxHeartbeatMs = 0x7fffffff;

/** Reads the time between heartbeats, milliseconds. */
export function decodeHeartbeat(heartbeat: Duration | undefined): number {
  if (heartbeat === undefined) return defaultHeartbeatMs;
  const ms = fromDuration(heartbeat);
  if (ms < minHeartbeatMs) throw new OpsDbError("INVALID_FIELD", "heartbeat is at least 0.1 s", { field: "heartbeat" });
  return Math.min(ms, maxHeartbeatMs);
}

/** Nothing came for as long as a heartbeat takes. */
export interface Heartbeat {
  heartbeat: Date;
}

export interface HeartbeatOptions<T> {
  source: (signal: AbortSignal) => AsyncIterable<T>;
  heartbeatMs: number;
  /** The reader went away. */
  signal: AbortSignal;
  /** The server stops: the stream ends with SHUTTING_DOWN. */
  stopping: AbortSignal;
}

/** What the source has, one at a time as the reader asks for it, with heartbeats where it has nothing for a while. */
export async function* withHeartbeats<T>(options: HeartbeatOptions<T>): AsyncGenerator<T | Heartbeat> {
  const { source, heartbeatMs, signal, stopping } = options;
  using linked = linkSignals(signal, stopping);
  const items = source(linked.signal)[Symbol.asyncIterator]();
  let next: Promise<IteratorResult<T>> | undefined;
  try {
    for (;;) {
      next ??= items.next();
      const result = await within(next, heartbeatMs, linked.signal);
      if (result === "silence") {
        yield { heartbeat: new Date() };
        continue;
      }
      next = undefined;
      if (result.done) return;
      yield result.value;
    }
  } catch (error) {
    throw stopping.aborted && !signal.aborted ? shuttingDown() : error;
  } finally {
    linked.abort();
    await next?.catch(() => {});
    await items.return?.();
  }
}

async function within<T>(promise: Promise<T>, ms: number, signal: AbortSignal): Promise<T | "silence"> {
  using round = linkSignals(signal);
  try {
    return await Promise.race([promise, sleep(ms, round.signal).then(() => "silence" as const)]);
  } finally {
    round.abort();
  }
}
