import type { Message } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import { accessRule } from "./access-rules.ts";
import { callerValue } from "./caller-value.ts";

/** Holds each message against the caller's roles and tables before it reaches the service, and each answer before it goes out. */
export const tableAccess: Interceptor = (next) => async (request) => {
  const admitted = request.contextValues.get(callerValue);
  const rule = admitted && accessRule(request.method);
  if (!rule) return await next(request);
  const { caller, denied } = admitted;
  const check = (message: Message): void => {
    try {
      rule.check?.(caller, message as never);
    } catch (error) {
      denied(error);
      throw error;
    }
  };
  if (!request.stream) check(request.message);
  const response = await next(request.stream ? { ...request, message: each(request.message, check) } : request);
  if (caller.tables.all || !rule.conceal) return response;
  const conceal = (message: Message): void => rule.conceal?.(caller, message as never);
  if (response.stream) return { ...response, message: each(response.message, conceal) };
  conceal(response.message);
  return response;
};

async function* each<T>(messages: AsyncIterable<T>, look: (message: T) => void): AsyncGenerator<T> {
  for await (const message of messages) {
    look(message);
    yield message;
  }
}
