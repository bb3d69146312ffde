import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextValues } from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerRequest } from "@connectrpc/connect/protocol";
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from "@connectrpc/connect-node";
import { OpsDbError } from "../errors.ts";
import type { Logger } from "../lib/logger.ts";
import type { Caller } from "../security/caller.ts";
import { callerValue } from "./caller-value.ts";
import { endRequestOnceAnswered } from "./end-request.ts";
import type { Incoming, Outgoing } from "./front.ts";
import { type Gate, tooLarge } from "./gate.ts";
import { declared } from "./metrics.ts";
import { refuseCall } from "./refuse-call.ts";
import { isRequestedUrl } from "./requested-url.ts";

export interface ConnectAdapterOptions {
  handlers: readonly UniversalHandler[];
  /** Answers what is no call: a path that no handler has. */
  fallback: (request: Incoming, response: Outgoing) => void;
  logger: Logger;
  /** Undefined: everybody may call everything. */
  gate?: Gate | undefined;
  /** Told of calls that the gate refuses: no handler hears of them. */
  refused?: (method: DescMethod, error: ConnectError) => void;
}

/** Serves Connect's handlers on Node's HTTP/1.1 and HTTP/2 servers. */
export function connectAdapter(options: ConnectAdapterOptions): (request: Incoming, response: Outgoing) => void {
  const byPath = new Map<string, UniversalHandler[]>();
  for (const handler of options.handlers) {
    byPath.set(handler.requestPath, [...(byPath.get(handler.requestPath) ?? []), handler]);
  }
  return (request, response) => {
    const candidates = byPath.get(request.url?.split("?", 1)[0] ?? "");
    const type = request.headers["content-type"] ?? "";
    const handler = candidates?.find((each) => each.supportedContentType(type)) ?? candidates?.[0];
    if (handler === undefined) return options.fallback(request, response);
    if (!isRequestedUrl(request)) return refuseUrl(response);
    serve(options, handler, request, response).catch((error: unknown) => {
      if (isDisconnect(error)) return;
      options.logger.error({ path: handler.requestPath, error }, "an answer could not be written");
      response.destroy();
    });
  };
}

async function serve(
  { gate, refused }: ConnectAdapterOptions,
  handler: UniversalHandler,
  request: Incoming,
  response: Outgoing,
): Promise<void> {
  endRequestOnceAnswered(request, response);
  const method = declared(handler.method);
  let caller: Caller | undefined;
  try {
    const admitted = gate?.admit(request, method);
    caller = admitted instanceof Promise ? await admitted : admitted;
    if (admitted instanceof Promise && isGone(response)) return; // while it was asked; nothing would tell the handler
  } catch (error) {
    const status = ConnectError.from(error);
    refused?.(method, status);
    return refuseCall(status, request, response);
  }
  const denied = (error: unknown): void =>
    void gate?.denied(error, { request, method: `${method.parent.typeName}/${method.name}`, caller });
  const values = createContextValues().set(callerValue, caller && { caller, denied });
  const universal = universalRequestFromNodeRequest(request, response as never, undefined, values);
  boundTimeout(universal);
  await universalResponseToNodeResponse(
    await handler(gate ? bounded(universal, { caller, gate, method }) : universal),
    response as never,
  );
}

function isGone(response: Outgoing): boolean {
  return "stream" in response ? response.stream.destroyed : response.destroyed;
}

/**
 * What whoever shows no token may send in one call, bytes: a service's name to health, or, over one stream, all that a tool
 * asks of reflection. Nobody may make this process hold megabytes before it is known who they are.
 */
const strangersBytes = 4096;
const strangersStreamBytes = 64 * 1024;

/** The request within what its caller may: a stream for as long as the token holds, a message up to its size. */
function bounded(
  request: UniversalServerRequest,
  { caller, gate, method }: { caller: Caller | undefined; gate: Gate; method: DescMethod },
): UniversalServerRequest {
  const { body } = request;
  if (!caller) {
    const bytes = method.methodKind === "bidi_streaming" ? strangersStreamBytes : strangersBytes;
    return { ...request, body: isStream(body) ? upTo(body, bytes, strangerTooLong(bytes)) : body };
  }
  const { messageBytes } = caller;
  return {
    ...request,
    // A write that has begun is answered: it is stored, whatever becomes of the token.
    signal: method.methodKind === "unary" ? request.signal : gate.follow(caller, request.signal),
    body: messageBytes !== undefined && isStream(body) ? upTo(body, messageBytes, tooLarge(messageBytes)) : body,
  };
}

function isStream(body: UniversalServerRequest["body"]): body is AsyncIterable<Uint8Array> {
  return Symbol.asyncIterator in Object(body);
}

/** No call of this service brings more than one message, but for reflection. */
async function* upTo(chunks: AsyncIterable<Uint8Array>, most: number, tooLong: OpsDbError): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.byteLength;
    // Connect tells such an error as a status; the details are added where it goes out.
    if (bytes > most + 5) throw new ConnectError(tooLong.message, Code.ResourceExhausted);
    yield chunk;
  }
}

function strangerTooLong(bytes: number): OpsDbError {
  return new OpsDbError("MESSAGE_TOO_LARGE", `without an access token a call may bring ${bytes} bytes`);
}

function refuseUrl(response: Outgoing): void {
  response.statusCode = 400;
  response.setHeader("content-type", "application/json");
  response.end('{"code":"invalid_argument","message":"the request names no host, or none that can be read"}\n');
}

/** A caller that is gone is no error of this server. */
function isDisconnect(error: unknown): boolean {
  const { code, cause } = ConnectError.from(error);
  if (cause instanceof Error && "code" in cause && cause.code === "ECANCELED") return true;
  return code === Code.Aborted || code === Code.Canceled || code === Code.Unavailable;
}

/** The longest deadline that a timer can hold; a longer one would go off at once. */
const maxTimeoutMs = 0x7fffffff;
const unitMs: Record<string, number> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** Shortens deadlines of more than 24 days, as clients without one in mind send them. */
function boundTimeout({ header }: UniversalServerRequest): void {
  const grpc = /^(\d{1,8})([HMSmun])$/.exec(header.get("grpc-timeout") ?? "");
  if (grpc && Number(grpc[1]) * (unitMs[grpc[2] ?? ""] ?? 0) > maxTimeoutMs) {
    header.set("grpc-timeout", `${Math.floor(maxTimeoutMs / 1000)}S`);
  }
  const connect = header.get("connect-timeout-ms") ?? "";
  if (/^\d{1,10}$/.test(connect) && Number(connect) > maxTimeoutMs) {
    header.set("connect-timeout-ms", String(maxTimeoutMs));
  }
}
