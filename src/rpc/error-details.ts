import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../gen/ts/google/rpc/error_details_pb.ts";
import type { OpsDbError, Status } from "../errors.ts";
import { toDuration } from "./wire-time.ts";

/**
 * Most bytes of a message, and of a field's path or what else is told of the request. A status goes out in headers, in
 * clear and in its details, and clients end a call whose headers are larger than 8 kB.
 */
const MAX_MESSAGE = 1_000;
const MAX_DETAIL = 300;

/** An error of this service as a status with its details. */
export function toStatus(error: OpsDbError): ConnectError {
  const { reason } = error;
  const message = shortened(error.message);
  const told = Object.entries(error.metadata).map(([name, value]) => [name, shortened(value, MAX_DETAIL)]);
  const metadata = Object.fromEntries(told) as Record<string, string>;
  const details: ConnectError["details"] = [
    {
      desc: ErrorInfoSchema,
      value: { reason, domain: "opsdb.v1", metadata },
    },
  ];
  if (error.field !== undefined) {
    const violation = { field: shortened(error.field, MAX_DETAIL), description: message, reason };
    details.push({ desc: BadRequestSchema, value: { fieldViolations: [violation] } });
  }
  if (error.retryAfterMs !== undefined) {
    details.push({ desc: RetryInfoSchema, value: { retryDelay: toDuration(error.retryAfterMs) } });
  }
  const status = new ConnectError(message, codes[error.status], undefined, undefined, error.cause);
  status.details = details;
  return status;
}

/** The text, or as much of its start as has so many bytes. */
export function shortened(text: string, bytes = MAX_MESSAGE): string {
  if (text.length * 3 <= bytes || Buffer.byteLength(text) <= bytes) return text;
  // A character that was cut in two is left out.
  return `${Buffer.from(text.slice(0, bytes))
    .subarray(0, bytes)
    .toString()
    .replace(/\ufffd+$/, "")}...`;
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
