/**
 * The durable steps of a write's life, each with a name: where tests end or hold the process to see that nothing is lost
 * there. Nothing in the service arms them, no setting and no environment: a process that was started as it is shipped
 * passes every one.
 */
export type Failpoint =
  /** A write is in Redis, on disk, and its caller has no answer yet. */
  | "append-stored"
  /** A batch was taken from the buffer, and nothing of it was sent. */
  | "batch-taken"
  /** Some of a batch's statements were sent. */
  | "batch-applying"
  /** Main has answered COMMIT, and this process has not recorded it. */
  | "batch-committed"
  /** Main has recorded a rejection, and this process has not. */
  | "rejection-stored"
  /** The replica shows the ledger rows of some writes, and they have not left the overlay. */
  | "proof-seen"
  /** Proven writes are about to leave the stream. */
  | "trim-begin"
  /** They, or the first of many, have left the stream, and are still in memory. */
  | "trim-middle"
  /** Redis has lost writes, and some of them were written again. */
  | "restore-middle";

let reached: ((name: Failpoint) => void) | undefined;

/** Passes the step. */
export function failpoint(name: Failpoint): void {
  reached?.(name);
}

/** Tests only: calls the function at every step, before the process goes on; undefined ends that. */
export function armFailpoints(at: ((name: Failpoint) => void) | undefined): void {
  reached = at;
}
