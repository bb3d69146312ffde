import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerResponse } from "@connectrpc/connect/protocol";
import { codeToHttpStatus, errorFromJsonBytes, errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import { toStatus } from "./error-details.ts";
import { errorJson } from "./json-options.ts";
import { protocolError } from "./protocol-error.ts";

/**
 * Wraps a unary handler of the Connect protocol. It reads and parses the message before any interceptor runs, so the
 * errors of that come without details; they are completed in the answer.
 */
export function withErrorDetails(handler: UniversalHandler): UniversalHandler {
  const complete: typeof handler = Object.assign(
    async (request: Parameters<UniversalHandler>[0]) => completed(await handler(request)),
    handler,
  );
  return complete;
}

async function completed(response: UniversalServerResponse): Promise<UniversalServerResponse> {
  const isError = response.status !== 200 && response.header?.get("content-type") === "application/json";
  if (!isError || response.header?.has("content-encoding")) return response;
  const body = await bytesOf(response.body);
  const error = errorFromJsonBytes(body, undefined, new ConnectError("unreadable error", Code.Unknown));
  const known = error.details.length === 0 ? protocolError(error) : undefined;
  if (known === undefined) return { ...response, body: once(body) };
  const status = toStatus(known);
  const complete = errorToJsonBytes(status, errorJson);
  response.header?.set("content-length", String(complete.byteLength));
  return { ...response, status: codeToHttpStatus(status.code), body: once(complete) };
}

async function bytesOf(body: UniversalServerResponse["body"]): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body ?? []) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
