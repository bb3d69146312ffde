import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { OpsDbError } from "../errors.ts";
import type { Logger } from "../lib/logger.ts";
import { shortened, toStatus } from "./error-details.ts";
import { protocolError } from "./protocol-error.ts";

/**
 * Gives every call its status: an OpsDbError goes out as it is, a cancelled or late call says so, and what nobody
 * expected is logged with its cause and answered with no detail of it.
 */
export function errorMapping(logger: Logger): Interceptor {
  return (next) => async (request) => {
    const { signal } = request;
    const method = `${request.service.typeName}/${request.method.name}`;
    const map = (error: unknown): ConnectError => mapError(error, { signal, method, logger });
    try {
      const response = await next(request);
      // A stream fails while it is read, long after next() has answered.
      return response.stream ? { ...response, message: mapErrors(response.message, map) } : response;
    } catch (error) {
      throw map(error);
    }
  };
}

export interface FailedCall {
  signal: AbortSignal;
  method: string;
  logger: Logger;
}

/** The status of a call that failed. */
export function mapError(error: unknown, call: FailedCall): ConnectError {
  if (error instanceof OpsDbError) {
    const { reason, message, cause } = error;
    if (reason === "INTERNAL") call.logger.error({ method: call.method, error }, "a call failed by a bug");
    else call.logger.debug({ method: call.method, reason, detail: message, error: cause }, "a call was refused");
    return toStatus(error);
  }
  if (error instanceof ConnectError && error.code !== Code.Canceled) {
    const known = protocolError(error);
    if (known !== undefined) return toStatus(known);
    if (error.details.length > 0) return error;
    return new ConnectError(shortened(error.rawMessage), error.code, error.metadata, undefined, error.cause);
  }
  if (call.signal.aborted) {
    if (call.signal.reason instanceof OpsDbError) return toStatus(call.signal.reason);
    const reason = ConnectError.from(call.signal.reason, Code.Canceled);
    return reason.code === Code.DeadlineExceeded ? reason : new ConnectError("the call was cancelled", Code.Canceled);
  }
  call.logger.error({ method: call.method, error }, "a call failed by a bug");
  return toStatus(new OpsDbError("INTERNAL", "internal error; the server's log has the cause"));
}

async function* mapErrors<T>(messages: AsyncIterable<T>, map: (error: unknown) => ConnectError): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw map(error);
  }
}
