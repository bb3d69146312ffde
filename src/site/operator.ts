import type { Position } from "../position.ts";
import type { Pause } from "../processor/drain-pause.ts";
import type { BufferStatus, DataLoss, PartStatus, ProcessorStatus } from "../replication/status.ts";
import type { Mutation, WriteStatus } from "../write.ts";

/** Who does something, and why. Both are kept with the action. */
export interface Motive {
  operator: string;
  reason: string;
}

/** What an operator did about a rejected write. */
export type Resolution = Motive & { at: Date; site: string } & (
    | { kind: "retried"; newWriteId: string }
    | { kind: "discarded" }
  );

/** A write that main refused for good, what it wanted to do, and what became of it. */
export interface RejectedWrite {
  status: WriteStatus;
  mutations: readonly Mutation[];
  resolution?: Resolution;
}

/** Where a page ends: rejected writes are listed by position, then id. */
export interface PageKey {
  position: Position;
  writeId: string;
}

export interface RejectedQuery {
  /** Undefined: the site's own at a secondary site, all at the main site. */
  site: string | undefined;
  /** With those that were retried or discarded. */
  includeResolved: boolean;
  limit: number;
  /** Undefined: from the beginning. */
  after: PageKey | undefined;
}

export interface RejectedPage {
  writes: RejectedWrite[];
  /** Undefined: there are no more. */
  next?: PageKey;
}

export interface PendingWrite {
  writeId: string;
  position: Position;
  acceptedAt: Date;
  tables: string[];
}

/** One thing that holds writes up or needs an operator. */
export interface Holdup {
  part: "buffer" | "processor" | "main" | "local" | "replication slot" | "rejected writes";
  state: PartStatus["state"];
  reason: string;
  since?: Date;
  /** What to do about it, in one sentence. */
  advice: string;
}

export interface DrainReport {
  site: string;
  at: Date;
  buffer?: BufferStatus;
  processor?: ProcessorStatus;
  pause?: Pause;
  oldestPending?: PendingWrite;
  /** Undefined: the local database cannot be asked. */
  unresolvedRejected?: number;
  /** What the drain is held up by now. */
  error?: PartStatus;
  holdups: Holdup[];
}

/**
 * What operators can do at a site. Each action is on record in opsdb.operator_action before it takes effect. What a
 * site without a buffer cannot do throws NO_BUFFER.
 */
export interface Operator {
  /** Stops the drain for every process of the site. Answers the pause that holds: this one, or an earlier one. */
  pauseDrain(motive: Motive): Promise<Pause>;
  /** Answers the pause that it has ended; undefined where there was none. */
  resumeDrain(motive: Motive): Promise<Pause | undefined>;
  showDrain(): Promise<DrainReport>;
  /** How many rejected writes wait for a decision, as the database has them. */
  countRejected(): Promise<number>;
  /** Rejected writes by position, those included that the local database does not show yet. */
  listRejected(query: RejectedQuery): Promise<RejectedPage>;
  /**
   * Stores a rejected write's changes as a new write; repeated, it answers with that write (`duplicate`). Throws
   * WRITE_NOT_FOUND, NOT_REJECTED, ALREADY_RESOLVED, and what a write would throw.
   */
  retryWrite(writeId: string, motive: Motive): Promise<{ status: WriteStatus; duplicate: boolean }>;
  /** Settles a rejected write; repeated, the first time stands. Throws WRITE_NOT_FOUND, NOT_REJECTED, ALREADY_RESOLVED. */
  discardWrite(writeId: string, motive: Motive): Promise<Resolution>;
  /** Answers the loss that was confirmed; undefined where none was known. */
  acknowledgeLoss(motive: Motive): Promise<DataLoss | undefined>;
}
