import { OpsDbError } from "../errors.ts";
import type { WriteState } from "../write.ts";
import type { Resolution } from "./operator.ts";

export function writeNotFound(writeId: string, message: string): OpsDbError {
  return new OpsDbError("WRITE_NOT_FOUND", message, { field: "write_id", metadata: { write_id: writeId } });
}

export function notRejected(writeId: string, state: WriteState): OpsDbError {
  return new OpsDbError("NOT_REJECTED", `write ${writeId} is ${state}; only a rejected write can be settled`, {
    field: "write_id",
    metadata: { write_id: writeId, state },
  });
}

/** The id is another content's; what was rejected is known by an id of its own. */
export function belongsToOther(writeId: string, rejectedAs: string): OpsDbError {
  return new OpsDbError(
    "NOT_REJECTED",
    `write id ${writeId} belongs to other content; what was rejected is write ${rejectedAs}`,
    { field: "write_id", metadata: { write_id: writeId, rejected_as: rejectedAs } },
  );
}

export function alreadyResolved(writeId: string, resolution: Resolution): OpsDbError {
  const { operator, reason, at } = resolution;
  const what = resolution.kind === "retried" ? `retried as ${resolution.newWriteId}` : "discarded";
  return new OpsDbError("ALREADY_RESOLVED", `write ${writeId} was ${what} by ${operator}: ${reason}`, {
    field: "write_id",
    metadata: {
      write_id: writeId,
      resolution: resolution.kind,
      operator,
      reason,
      at: at.toISOString(),
      ...(resolution.kind === "retried" ? { new_write_id: resolution.newWriteId } : {}),
    },
  });
}

export function noBuffer(): OpsDbError {
  return new OpsDbError("NO_BUFFER", "this is the main site: its writes go straight to the database, without a buffer");
}
