/**
 * What happened in one run: every operation of every client with its outcome, the faults, the site's status from time
 * to time, and in the end what the databases have. The workload records it, the checker reads it; as a file it is one
 * JSON value a line, in the order of `at`.
 *
 * All clients write rows of `chaos.register (k int primary key, v text not null, n int)`. Every value `v` that is ever written is
 * unique in the run ("client-operation-mutation"), so that a row names the mutation that made it.
 */
export type Event = WriteEvent | ReadEvent | StatusEvent | FaultEvent | FinalEvent;

/** ok: the service said so. failed: it said that nothing was stored. unknown: no answer, or one that does not say. */
export type Outcome = "ok" | "failed" | "unknown";

interface Operation {
  /** Name of the client, which does one operation after the other. */
  client: string;
  /** "secondary" or "main": where the client is connected. */
  site: "main" | "secondary";
  /** Milliseconds of one monotonic clock, when it was called and when its answer came. */
  at: number;
  until: number;
  outcome: Outcome;
  /** Reason, or text of the error, where the outcome is not ok. */
  error?: string;
}

export type Change =
  | { operation: "insert" | "update" | "upsert"; key: number; value: string }
  | { operation: "delete"; key: number };

/** One call of Write. Several events may have the same id: retries, and duplicates on purpose. */
export interface WriteEvent extends Operation {
  kind: "write";
  writeId: string;
  changes: Change[];
  /** Main refuses it, whatever its rows are (it breaks a constraint that only main knows). */
  poison: boolean;
  /** In the answer. */
  state?: "ACCEPTED" | "APPLIED" | "REPLICATED" | "REJECTED";
  position?: string;
  duplicate?: boolean;
}

/** One whole read of the table. */
export interface ReadEvent extends Operation {
  kind: "read";
  consistency: "merged" | "local" | "main";
  /** Of an ok read: key and value of each row. */
  rows: [key: number, value: string][];
  /** The answer was flagged: Redis was away, writes of other processes may be missing. */
  bufferUnreachable: boolean;
}

/** What WatchReplication said at the secondary site. */
export interface StatusEvent {
  kind: "status";
  at: number;
  /** Which server of the site said so, where more than one is asked. */
  server?: string;
  pendingWrites: number;
  overlayWrites: number;
  appliedPosition: string;
  processor: { state: string; reason: string };
  buffer: { state: string; reason: string };
  main: { state: string; reason: string };
  local: { state: string; reason: string };
}

export interface FaultEvent {
  kind: "fault";
  at: number;
  name: string;
  phase: "begin" | "end";
}

/** After every fault has healed and the buffer has drained, or should have. */
export interface FinalEvent {
  kind: "final";
  at: number;
  /** From the last healing until nothing was pending and the overlay was empty; undefined: not in the time allowed. */
  drainedInMs: number | undefined;
  status: StatusEvent;
  /** opsdb.ledger of the secondary site on main. */
  ledger: { writeId: string; position: string; outcome: "APPLIED" | "REJECTED"; reason: string | null }[];
  /**
   * In the order in which they took effect on main, as a trigger on the table noted it; the value of a DELETE is the one
   * that went. `transaction`: pg_current_xact_id(). Within a transaction the order of different rows says nothing.
   */
  effects: { operation: "INSERT" | "UPDATE" | "DELETE"; key: number; value: string; transaction?: string }[];
  main: [key: number, value: string][];
  standby: [key: number, value: string][];
  /** A merged read through each API server of the site. */
  merged: [key: number, value: string][][];
}
