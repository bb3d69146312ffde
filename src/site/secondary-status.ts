import type { RedisWriteBuffer } from "../buffer/redis-write-buffer.ts";
import { START } from "../position.ts";
import type { Processor } from "../processor/processor.ts";
import { localStatus } from "../replication/local-status.ts";
import type { LsnTracker } from "../replication/lsn-tracker.ts";
import type { AlarmLevel, MainStatus, PartStatus, ReplicationStatus, SequenceStatus } from "../replication/status.ts";
import type { Health } from "./site.ts";

/** The parts of a secondary site, put together as one status. */
export interface SecondaryParts {
  buffer: RedisWriteBuffer;
  processor: Processor;
  tracker: LsnTracker;
  main: MainStatus;
  sequences: SequenceStatus[];
  limits: { readonly maxWrites: number; readonly maxBytes: number };
}

export function secondaryStatus(site: string, parts: SecondaryParts): ReplicationStatus {
  const { buffer, processor, tracker, main, sequences, limits } = parts;
  const { writes } = buffer;
  const { maxWrites, maxBytes } = limits;
  const applied = processor.cursor > tracker.proven ? processor.cursor : tracker.proven;
  const oldest = writes.firstAfter(applied);
  return {
    site,
    role: "secondary",
    at: new Date(),
    main,
    local: localStatus(tracker, main),
    buffer: {
      connection: buffer.part.status,
      // What is not read yet may all be pending.
      pendingWrites: writes.countAfter(applied) + buffer.unread,
      overlayWrites: writes.unproven + buffer.unread,
      retainedWrites: writes.size + buffer.unread,
      bytes: writes.bytes,
      ...(oldest === undefined ? {} : { oldestAt: oldest.acceptedAt }),
      ...(buffer.loss === undefined ? {} : { loss: buffer.loss }),
      alarm: alarm(buffer.fill),
      maxWrites,
      maxBytes,
      ...(writes.last === START ? {} : { lastPosition: writes.last }),
    },
    processor: {
      ...processor.status,
      ...(tracker.proven === START ? {} : { replicatedPosition: tracker.proven }),
    },
    sequences,
  };
}

export function secondaryHealth(
  buffer: RedisWriteBuffer,
  local: PartStatus,
  catalogRead: boolean,
): Record<"write" | "query" | "replication", Health> {
  const unread = catalogRead ? undefined : "the catalog has not been read yet";
  const unloaded = buffer.complete.value ? undefined : `the buffer has not been read yet: ${buffer.part.status.reason}`;
  const away = local.state === "RUNNING" ? undefined : `the local database does not answer: ${local.reason}`;
  return {
    write: writeHealth(buffer.refusal?.message ?? unread, buffer.fill),
    query: healthOf(away ?? unread ?? unloaded),
    replication: { serving: true },
  };
}

function healthOf(reason: string | undefined): Health {
  return reason === undefined ? { serving: true } : { serving: false, reason };
}

/** Degraded before it is full, while there is time to do something about it. */
function writeHealth(refusal: string | undefined, fill: number): Health {
  const health = healthOf(refusal);
  if (!health.serving || alarm(fill) !== "CRITICAL") return health;
  return {
    serving: true,
    degraded: `the buffer is ${Math.floor(fill * 100)}% full; when it is full, writes are refused`,
  };
}

function alarm(fill: number): AlarmLevel {
  if (fill >= 1) return "FULL";
  if (fill >= 0.9) return "CRITICAL";
  return fill >= 0.5 ? "WARNING" : "NONE";
}
