import type { Message } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import { OpsDbError } from "../errors.ts";
import { sqlstateOf } from "../postgres/sqlstate.ts";
import type { Caller } from "../security/caller.ts";
import { accessRule } from "./access-rules.ts";
import { callerValue } from "./caller-value.ts";
import { isLimited, toldTo } from "./told-to.ts";

/** Holds each message against the caller's roles and tables before it reaches the service, and each answer before it goes out. */
export const tableAccess: Interceptor = (next) => async (request) => {
  const admitted = request.contextValues.get(callerValue);
  const rule = admitted && accessRule(request.method);
  if (!rule) return await next(request);
  const { caller, denied } = admitted;
  let asked: Message | undefined; // before there is an answer: none of these calls takes more than one message
  const check = (message: Message): void => {
    asked = message;
    try {
      rule.check?.(caller, message as never);
    } catch (error) {
      denied(error);
      throw error;
    }
  };
  if (!request.stream) check(request.message);
  try {
    const response = await next(request.stream ? { ...request, message: each(request.message, check) } : request);
    if (!isLimited(caller)) return response;
    const conceal = (message: Message): void => rule.conceal?.(caller, message as never, asked as never);
    if (response.stream) return { ...response, message: toldEach(each(response.message, conceal), caller) };
    conceal(response.message);
    return response;
  } catch (error) {
    throw told(error, caller);
  }
};

async function* each<T>(messages: AsyncIterable<T>, look: (message: T) => void): AsyncGenerator<T> {
  for await (const message of messages) {
    look(message);
    yield message;
  }
}

async function* toldEach<T>(messages: AsyncIterable<T>, caller: Caller): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw told(error, caller);
  }
}

/** The error without what the database said in it and the caller is not told. */
function told(error: unknown, caller: Caller): unknown {
  if (!(error instanceof OpsDbError) || !isLimited(caller)) return error;
  const sqlstate = error.metadata.sqlstate ?? sqlstateOf(error.cause);
  if (sqlstate === undefined) return error;
  const { reason, message, field, metadata, retryAfterMs, cause } = error;
  return new OpsDbError(reason, toldTo(caller, { message, sqlstate }), {
    metadata,
    cause,
    ...(field === undefined ? {} : { field }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}
