import type { Pause } from "../processor/drain-pause.ts";
import type { ReplicationStatus } from "../replication/status.ts";
import { holdupsOf } from "./holdups.ts";
import type { DrainReport, PendingWrite } from "./operator.ts";

/** A site's status as an operator needs it who asks why writes do not arrive. */
export function drainReport(
  status: ReplicationStatus,
  more: { pause?: Pause | undefined; oldest?: PendingWrite | undefined; unresolved: number | undefined },
): DrainReport {
  const { site, at, buffer, processor } = status;
  const { pause, oldest, unresolved } = more;
  // The drain's own error tells most; while another process drains, the parts that it needs do.
  const parts = [processor?.state, buffer?.connection, status.main.connection, status.local.connection];
  const error = parts.find((part) => part?.state === "RETRYING");
  return {
    site,
    at,
    ...(buffer && { buffer }),
    ...(processor && { processor }),
    ...(pause && { pause }),
    ...(oldest && { oldestPending: oldest }),
    ...(unresolved === undefined ? {} : { unresolvedRejected: unresolved }),
    ...(error && { error }),
    holdups: holdupsOf(status, unresolved),
  };
}
