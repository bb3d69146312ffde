import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../gen/ts/google/rpc/error_details_pb.ts";
import type { OpsDbError, Status } from "../errors.ts";
import { toDuration } from "./wire-time.ts";

/** An error of this service as a status with its details. */
export function toStatus(error: OpsDbError): ConnectError {
  const details: ConnectError["details"] = [
    {
      desc: ErrorInfoSchema,
      value: { reason: error.reason, domain: "opsdb.v1", metadata: error.metadata },
    },
  ];
  if (error.field !== undefined) {
    const violation = { field: error.field, description: error.message, reason: error.reason };
    details.push({ desc: BadRequestSchema, value: { fieldViolations: [violation] } });
  }
  if (error.retryAfterMs !== undefined) {
    details.push({ desc: RetryInfoSchema, value: { retryDelay: toDuration(error.retryAfterMs) } });
  }
  const status = new ConnectError(error.message, codes[error.status], undefined, undefined, error.cause);
  status.details = details;
  return status;
}

const codes: Record<Status, Code> = {
  UNAUTHENTICATED: Code.Unauthenticated,
  PERMISSION_DENIED: Code.PermissionDenied,
  INVALID_ARGUMENT: Code.InvalidArgument,
  NOT_FOUND: Code.NotFound,
  ALREADY_EXISTS: Code.AlreadyExists,
  FAILED_PRECONDITION: Code.FailedPrecondition,
  RESOURCE_EXHAUSTED: Code.ResourceExhausted,
  UNAVAILABLE: Code.Unavailable,
  DEADLINE_EXCEEDED: Code.DeadlineExceeded,
  INTERNAL: Code.Internal,
};
