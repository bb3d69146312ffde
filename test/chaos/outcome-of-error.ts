import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../gen/ts/google/rpc/error_details_pb.ts";
import type { Outcome } from "./history.ts";

/** With these the service says of a write that nothing was stored. */
const nothingStored = new Set([
  "INVALID_FIELD",
  "INVALID_VALUE",
  "NOT_NULL_VIOLATION",
  "CHECK_VIOLATION",
  "MISSING_KEY",
  "TABLE_NOT_FOUND",
  "COLUMN_NOT_FOUND",
  "NOT_WRITABLE",
  "ROW_EXISTS",
  "ROW_NOT_FOUND",
  "PRECONDITION_FAILED",
  "WRITE_ID_REUSED",
  "UNIQUE_VIOLATION",
  "FOREIGN_KEY_VIOLATION",
  "DATABASE_REFUSED",
  "LOCAL_READ_ONLY",
  "MESSAGE_TOO_LARGE",
  "BUFFER_FULL",
  "BUFFER_NOT_DURABLE",
  "CATALOG_UNAVAILABLE",
]);

export interface FailedCall {
  outcome: Exclude<Outcome, "ok">;
  /** The reason, where the service gave one; else code and message. */
  error: string;
}

/** What a write's error says of the write; everything that is not clear is unknown. */
export function outcomeOfError(error: unknown): FailedCall {
  const { reason, metadata, text } = describe(error);
  const failed =
    reason !== undefined &&
    (nothingStored.has(reason) || (reason === "BUFFER_UNAVAILABLE" && metadata.write_id === undefined));
  return { outcome: failed ? "failed" : "unknown", error: text };
}

/** A read that failed has shown nothing, whatever the error is. */
export function failureOfRead(error: unknown): FailedCall {
  return { outcome: "failed", error: describe(error).text };
}

function describe(error: unknown): { reason: string | undefined; metadata: Record<string, string>; text: string } {
  if (!(error instanceof ConnectError)) return { reason: undefined, metadata: {}, text: String(error) };
  const [info] = error.findDetails(ErrorInfoSchema);
  const text = info?.reason ?? `${Code[error.code]}: ${error.rawMessage}`;
  return { reason: info?.reason, metadata: info?.metadata ?? {}, text };
}
