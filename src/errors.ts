/** gRPC status names of the errors that this service makes itself. */
export type Status =
  | "UNAUTHENTICATED"
  | "PERMISSION_DENIED"
  | "INVALID_ARGUMENT"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "FAILED_PRECONDITION"
  | "RESOURCE_EXHAUSTED"
  | "UNAVAILABLE"
  | "DEADLINE_EXCEEDED"
  | "INTERNAL";

/** The closed set of reasons, each with its gRPC status. Mirrored by ErrorReason in the proto, where each is explained. */
export const reasons = {
  INVALID_FIELD: "INVALID_ARGUMENT",
  INVALID_VALUE: "INVALID_ARGUMENT",
  NOT_NULL_VIOLATION: "INVALID_ARGUMENT",
  CHECK_VIOLATION: "INVALID_ARGUMENT",
  MISSING_KEY: "INVALID_ARGUMENT",
  TABLE_NOT_FOUND: "NOT_FOUND",
  COLUMN_NOT_FOUND: "NOT_FOUND",
  NOT_WRITABLE: "FAILED_PRECONDITION",
  ROW_EXISTS: "ALREADY_EXISTS",
  ROW_NOT_FOUND: "NOT_FOUND",
  PRECONDITION_FAILED: "FAILED_PRECONDITION",
  WRITE_ID_REUSED: "ALREADY_EXISTS",
  WRITE_NOT_FOUND: "NOT_FOUND",
  UNIQUE_VIOLATION: "ALREADY_EXISTS",
  FOREIGN_KEY_VIOLATION: "FAILED_PRECONDITION",
  LOCAL_READ_ONLY: "FAILED_PRECONDITION",
  BUFFER_FULL: "RESOURCE_EXHAUSTED",
  BUFFER_UNAVAILABLE: "UNAVAILABLE",
  BUFFER_NOT_DURABLE: "UNAVAILABLE",
  MAIN_UNAVAILABLE: "UNAVAILABLE",
  LOCAL_UNAVAILABLE: "UNAVAILABLE",
  CATALOG_UNAVAILABLE: "UNAVAILABLE",
  NOT_FRESH_IN_TIME: "DEADLINE_EXCEEDED",
  INVALID_TOKEN: "INVALID_ARGUMENT",
  TOKEN_TIMELINE: "FAILED_PRECONDITION",
  MESSAGE_TOO_LARGE: "RESOURCE_EXHAUSTED",
  INVALID_OPERATOR: "INVALID_ARGUMENT",
  SHUTTING_DOWN: "UNAVAILABLE",
  INTERNAL: "INTERNAL",
  DATABASE_REFUSED: "FAILED_PRECONDITION",
  QUERY_TIMED_OUT: "DEADLINE_EXCEEDED",
  NO_BUFFER: "FAILED_PRECONDITION",
  NOT_REJECTED: "FAILED_PRECONDITION",
  ALREADY_RESOLVED: "FAILED_PRECONDITION",
  POSITION_FORGOTTEN: "FAILED_PRECONDITION",
  SQL_DISABLED: "FAILED_PRECONDITION",
  SQL_INVALID: "INVALID_ARGUMENT",
  SQL_REFUSED: "INVALID_ARGUMENT",
  QUERY_TOO_LARGE: "RESOURCE_EXHAUSTED",
  SEQUENCE_EXHAUSTED: "UNAVAILABLE",
  ACCESS_TOKEN_MISSING: "UNAUTHENTICATED",
  ACCESS_TOKEN_INVALID: "UNAUTHENTICATED",
  ACCESS_TOKEN_EXPIRED: "UNAUTHENTICATED",
  ACCESS_TOKEN_REVOKED: "UNAUTHENTICATED",
  ACCESS_TOKENS_UNAVAILABLE: "UNAVAILABLE",
  ACCESS_DENIED: "PERMISSION_DENIED",
  RATE_LIMITED: "RESOURCE_EXHAUSTED",
} as const satisfies Record<string, Status>;

export type Reason = keyof typeof reasons;

export interface OpsDbErrorOptions {
  /** Path of the request's field at fault, for example `mutations[0].insert.values["ra"]`. */
  field?: string;
  /** Goes into ErrorInfo.metadata. Never secrets. */
  metadata?: Record<string, string>;
  /** When trying again makes sense, milliseconds. Goes into RetryInfo. */
  retryAfterMs?: number;
  cause?: unknown;
}

/** Every error that a caller is meant to see. Its message goes out as it is. */
export class OpsDbError extends Error {
  override readonly name = "OpsDbError";
  readonly reason: Reason;
  readonly field: string | undefined;
  readonly metadata: Record<string, string>;
  readonly retryAfterMs: number | undefined;

  constructor(reason: Reason, message: string, options: OpsDbErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    this.field = options.field;
    this.metadata = options.metadata ?? {};
    this.retryAfterMs = options.retryAfterMs;
  }

  get status(): Status {
    return reasons[this.reason];
  }
}
