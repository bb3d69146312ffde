import type { PartStatus, ReplicationStatus } from "../replication/status.ts";
import type { Holdup } from "./operator.ts";

/** Everything in a site's status that holds writes up or needs an operator, each with what to do about it. */
export function holdupsOf(status: ReplicationStatus, unresolvedRejected: number | undefined): Holdup[] {
  const { main, local, buffer, processor } = status;
  const holdups: Holdup[] = [];
  if (buffer) {
    addRetrying(
      holdups,
      "buffer",
      buffer.connection,
      "See that Redis runs, is reached and is configured for durability.",
    );
    if (buffer.alarm === "CRITICAL" || buffer.alarm === "FULL")
      holdups.push({
        part: "buffer",
        state: buffer.connection.state,
        reason: buffer.alarm === "FULL" ? "the buffer is full: writes are refused" : "the buffer is more than 90% full",
        advice: "Mend what else is listed here, or raise BUFFER_MAX_WRITES and BUFFER_MAX_BYTES.",
      });
    if (buffer.loss)
      holdups.push({
        part: "buffer",
        state: buffer.connection.state,
        reason: buffer.loss.message,
        since: buffer.loss.at,
        advice: "Find out what was lost, enter it again, and confirm with AcknowledgeLoss (opsdb loss acknowledge).",
      });
  }
  if (processor?.state.state === "PAUSED")
    holdups.push({
      part: "processor",
      ...whatOf(processor.state),
      advice: "Go on with ResumeDrain (opsdb drain resume).",
    });
  if (processor)
    addRetrying(
      holdups,
      "processor",
      processor.state,
      "It tries again by itself; mend what the reason names: the link, the main database, or a missing right.",
    );
  addRetrying(holdups, "main", main.connection, "See that the main database runs and that the link to it is up.");
  addRetrying(holdups, "local", local.connection, "See that the site's local database runs and takes connections.");
  if (local.replayPaused)
    holdups.push({
      part: "local",
      state: local.connection.state,
      reason: "replay is paused on the local database",
      advice: "Go on with select pg_wal_replay_resume() on the local database.",
    });
  else if (main.connection.state === "RUNNING" && receivesNothing(status))
    holdups.push({
      part: "local",
      state: local.connection.state,
      reason: `main answers, and the local database receives nothing from it: its receiver is ${local.receiverState}`,
      advice: "Its log says why. A replica that cannot follow a new main, or whose slot is lost, has to be built anew.",
    });
  for (const slot of main.slots)
    if (slot.walStatus === "lost" || slot.walStatus === "unreserved")
      holdups.push({
        part: "replication slot",
        state: main.connection.state,
        reason: `slot ${slot.name} is ${slot.walStatus}`,
        advice:
          slot.walStatus === "lost"
            ? "Build the replica that uses it anew."
            : "Bring its replica back soon, or raise max_slot_wal_keep_size on main.",
      });
  if (unresolvedRejected)
    holdups.push({
      part: "rejected writes",
      state: "IDLE",
      reason: `${unresolvedRejected} rejected ${unresolvedRejected === 1 ? "write waits" : "writes wait"} for a decision`,
      advice: "Look at them with ListRejectedWrites (opsdb writes rejected), then retry or discard each.",
    });
  return holdups;
}

/** Whether a replica has no stream from main. What the role may not see is no sign of it. */
function receivesNothing({ local: { connection, inRecovery, receiverState } }: ReplicationStatus): boolean {
  return connection.state === "RUNNING" && inRecovery && (receiverState === "stopped" || receiverState === "waiting");
}

function addRetrying(holdups: Holdup[], part: Holdup["part"], status: PartStatus, advice: string): void {
  if (status.state === "RETRYING") holdups.push({ part, ...whatOf(status), advice });
}

function whatOf({ state, reason, since }: PartStatus): Pick<Holdup, "state" | "reason" | "since"> {
  return { state, reason, since };
}
