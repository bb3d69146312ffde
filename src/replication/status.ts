import type { Lsn } from "../lsn.ts";
import type { Position } from "../position.ts";

export type PartState = "RUNNING" | "IDLE" | "RETRYING" | "STANDBY" | "DISABLED" | "PAUSED";
export type AlarmLevel = "NONE" | "WARNING" | "CRITICAL" | "FULL";

/** What one part of the site is doing; never without a reason when it does not move. */
export interface PartStatus {
  state: PartState;
  reason: string;
  since: Date;
  nextAttempt?: Date;
}

export interface MainStatus {
  connection: PartStatus;
  lsn?: Lsn;
  lsnAt?: Date;
  timeline?: number;
  standbys: { name: string; state: string; replayLsn?: Lsn; lagBytes: bigint }[];
  slots: { name: string; active: boolean; walStatus: string; retainedBytes: bigint }[];
}

export interface LocalStatus {
  connection: PartStatus;
  inRecovery: boolean;
  lsn?: Lsn;
  timeline?: number;
  lagBytes?: bigint;
  replayAgeMs?: number;
  receiverState?: string;
  replayPaused: boolean;
}

export interface BufferStatus {
  connection: PartStatus;
  pendingWrites: number;
  overlayWrites: number;
  retainedWrites: number;
  bytes: number;
  /** When the oldest pending write was accepted. */
  oldestAt?: Date;
  alarm: AlarmLevel;
  maxWrites: number;
  maxBytes: number;
  lastPosition?: Position;
  /** Acknowledged writes were lost, and no operator has confirmed to have seen it; undefined: none known. */
  loss?: DataLoss;
}

/** Redis came back with less than it had acknowledged. */
export interface DataLoss {
  at: Date;
  message: string;
}

export interface ProcessorStatus {
  state: PartStatus;
  appliedPosition?: Position;
  replicatedPosition?: Position;
  appliedWrites: number;
  rejectedWrites: number;
}

/** What a site has in stock of one of main's sequences. */
export interface SequenceStatus {
  /** "schema.sequence". */
  name: string;
  /** Values that no write has taken. */
  stock: number;
  /** What it is filled up to while main answers. */
  target: number;
  /** Why it is not. */
  reason?: string;
}

/** The whole state of replication at a site. Mirrors opsdb.v1.ReplicationStatus. */
export interface ReplicationStatus {
  site: string;
  role: "main" | "secondary";
  at: Date;
  main: MainStatus;
  local: LocalStatus;
  buffer?: BufferStatus;
  processor?: ProcessorStatus;
  sequences?: SequenceStatus[];
}
