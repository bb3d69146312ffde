import type { Registry } from "prom-client";
import type { Logger } from "../lib/logger.ts";
import type { Incoming, Outgoing } from "./front.ts";
import type { HealthReport } from "./health.ts";

export interface PlainRequestsOptions {
  health: HealthReport;
  registry: Registry;
  logger: Logger;
}

interface Answer {
  status: number;
  type: string;
  body: string;
}

/** Answers what is no call: GET /metrics, GET /healthz, and paths that nobody serves. */
export function plainRequests(options: PlainRequestsOptions): (request: Incoming, response: Outgoing) => void {
  return (request, response) => {
    request.resume();
    if (request.headers["content-type"]?.startsWith("application/grpc")) return unimplemented(response);
    answer(request, options).then(
      ({ status, type, body }) => {
        response.statusCode = status;
        response.setHeader("content-type", type);
        response.end(request.method === "HEAD" ? "" : body);
      },
      (error: unknown) => {
        options.logger.error({ path: request.url, error }, "a request failed by a bug");
        response.statusCode = 500;
        response.end();
      },
    );
  };
}

async function answer(request: Incoming, { health, registry }: PlainRequestsOptions): Promise<Answer> {
  const path = request.url?.split("?", 1)[0];
  const reads = request.method === "GET" || request.method === "HEAD";
  if (reads && path === "/metrics") return { status: 200, type: registry.contentType, body: await registry.metrics() };
  if (reads && path === "/healthz") {
    const { "": process, ...services } = health.all();
    const status = process?.serving ? 200 : 503;
    return { status, type: "application/json", body: `${JSON.stringify({ ...process, services })}\n` };
  }
  return { status: 404, type: "application/json", body: '{"code":"not_found","message":"no such path"}\n' };
}

/** A trailers-only answer; writeHead would send it as a header without a body, which clients read as UNKNOWN. */
function unimplemented(response: Outgoing): void {
  response.setHeader("content-type", "application/grpc");
  response.setHeader("grpc-status", "12");
  response.setHeader("grpc-message", "unknown method");
  response.end();
}
