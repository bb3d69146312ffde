import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerRequest } from "@connectrpc/connect/protocol";
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from "@connectrpc/connect-node";
import type { Logger } from "../lib/logger.ts";
import type { Incoming, Outgoing } from "./front.ts";

export interface ConnectAdapterOptions {
  handlers: readonly UniversalHandler[];
  /** Answers what is no call: a path that no handler has. */
  fallback: (request: Incoming, response: Outgoing) => void;
  logger: Logger;
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
    serve(handler, request, response).catch((error: unknown) => {
      if (isDisconnect(error)) return;
      options.logger.error({ path: handler.requestPath, error }, "an answer could not be written");
      response.destroy();
    });
  };
}

async function serve(handler: UniversalHandler, request: Incoming, response: Outgoing): Promise<void> {
  const universal = universalRequestFromNodeRequest(request, response as never, undefined, undefined);
  boundTimeout(universal);
  await universalResponseToNodeResponse(await handler(universal), response as never);
}

/** A caller that is gone is no error of this server. */
function isDisconnect(error: unknown): boolean {
  const { code } = ConnectError.from(error);
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
