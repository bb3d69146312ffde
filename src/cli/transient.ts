import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/ts/google/rpc/error_details_pb.ts";

/** What a connection ends with when its server goes away, is restarted, or does not answer. */
const connectionCodes: readonly Code[] = [
  Code.Unavailable,
  Code.Aborted,
  Code.Canceled,
  Code.DeadlineExceeded,
  Code.Internal,
  Code.Unknown,
];

/** The service's own reason for an error; undefined where the service did not answer. */
export function reasonOf(error: ConnectError): string | undefined {
  return error.findDetails(ErrorInfoSchema).find(({ domain }) => domain === "opsdb.v1")?.reason;
}

/**
 * Whether the same call may go through later: the server is away, or says so. An answer of `afterMs` is what the server
 * asks to wait.
 */
export function transient(thrown: unknown): { error: ConnectError; afterMs: number } | undefined {
  const error = ConnectError.from(thrown);
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  const passes = reasonOf(error) === undefined ? connectionCodes.includes(error.code) : error.code === Code.Unavailable;
  if (!passes && delay === undefined) return undefined;
  return { error, afterMs: delay === undefined ? 0 : Number(delay.seconds) * 1_000 + delay.nanos / 1e6 };
}
