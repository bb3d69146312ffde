import type * as pb from "../../gen/ts/opsdb/v1/replication_pb.ts";
import { AlarmLevel, PartState, SiteRole } from "../../gen/ts/opsdb/v1/replication_pb.ts";
import { formatLsn, type Lsn } from "../lsn.ts";
import { formatPosition, type Position } from "../position.ts";
import type {
  BufferStatus,
  DataLoss,
  LocalStatus,
  MainStatus,
  PartStatus,
  ProcessorStatus,
  ReplicationStatus,
} from "../replication/status.ts";
import { toDuration, toTimestamp } from "./wire-time.ts";

/** The state of replication as a message. */
export function encodeStatus(status: ReplicationStatus): pb.ReplicationStatus {
  return {
    $typeName: "opsdb.v1.ReplicationStatus",
    site: status.site,
    role: status.role === "main" ? SiteRole.MAIN : SiteRole.SECONDARY,
    at: toTimestamp(status.at),
    main: encodeMain(status.main),
    local: encodeLocal(status.local),
    ...(status.buffer && { buffer: encodeBuffer(status.buffer, status.at) }),
    ...(status.processor && { processor: encodeProcessor(status.processor) }),
  };
}

function encodePart(part: PartStatus): pb.PartStatus {
  return {
    $typeName: "opsdb.v1.PartStatus",
    state: PartState[part.state],
    reason: part.reason,
    since: toTimestamp(part.since),
    ...(part.nextAttempt && { nextAttempt: toTimestamp(part.nextAttempt) }),
  };
}

function encodeMain(main: MainStatus): pb.MainStatus {
  return {
    $typeName: "opsdb.v1.MainStatus",
    connection: encodePart(main.connection),
    lsn: lsn(main.lsn),
    ...(main.lsnAt && { lsnAt: toTimestamp(main.lsnAt) }),
    timeline: main.timeline ?? 0,
    standbys: main.standbys.map((standby) => ({
      $typeName: "opsdb.v1.StandbyStatus",
      name: standby.name,
      state: standby.state,
      replayLsn: lsn(standby.replayLsn),
      lagBytes: unsigned(standby.lagBytes),
    })),
    slots: main.slots.map((slot) => ({
      $typeName: "opsdb.v1.SlotStatus",
      name: slot.name,
      active: slot.active,
      walStatus: slot.walStatus,
      retainedBytes: unsigned(slot.retainedBytes),
    })),
  };
}

function encodeLocal(local: LocalStatus): pb.LocalStatus {
  return {
    $typeName: "opsdb.v1.LocalStatus",
    connection: encodePart(local.connection),
    inRecovery: local.inRecovery,
    lsn: lsn(local.lsn),
    timeline: local.timeline ?? 0,
    ...(local.lagBytes !== undefined && { lagBytes: unsigned(local.lagBytes) }),
    ...(local.replayAgeMs !== undefined && { replayAge: toDuration(Math.max(0, local.replayAgeMs)) }),
    receiverState: local.receiverState ?? "",
    replayPaused: local.replayPaused,
  };
}

export function encodeBuffer(buffer: BufferStatus, at: Date): pb.BufferStatus {
  return {
    $typeName: "opsdb.v1.BufferStatus",
    connection: encodePart(buffer.connection),
    pendingWrites: BigInt(buffer.pendingWrites),
    overlayWrites: BigInt(buffer.overlayWrites),
    retainedWrites: BigInt(buffer.retainedWrites),
    bytes: BigInt(buffer.bytes),
    ...(buffer.oldestAt && { oldestAge: toDuration(Math.max(0, at.getTime() - buffer.oldestAt.getTime())) }),
    alarm: AlarmLevel[buffer.alarm],
    maxWrites: BigInt(buffer.maxWrites),
    maxBytes: BigInt(buffer.maxBytes),
    lastPosition: position(buffer.lastPosition),
    ...(buffer.loss && { loss: encodeLoss(buffer.loss) }),
  };
}

export function encodeLoss({ at, message }: DataLoss): pb.DataLoss {
  return { $typeName: "opsdb.v1.DataLoss", at: toTimestamp(at), message };
}

export function encodeProcessor(processor: ProcessorStatus): pb.ProcessorStatus {
  return {
    $typeName: "opsdb.v1.ProcessorStatus",
    state: encodePart(processor.state),
    appliedPosition: position(processor.appliedPosition),
    replicatedPosition: position(processor.replicatedPosition),
    appliedWrites: BigInt(processor.appliedWrites),
    rejectedWrites: BigInt(processor.rejectedWrites),
  };
}

function lsn(value: Lsn | undefined): string {
  return value === undefined ? "" : formatLsn(value);
}

function position(value: Position | undefined): string {
  return value === undefined ? "" : formatPosition(value);
}

/** A replica can be ahead of what was last heard of main; the distance is nothing then. */
function unsigned(value: bigint): bigint {
  return value < 0n ? 0n : value;
}
