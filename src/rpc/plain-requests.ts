import { Code, ConnectError } from "@connectrpc/connect";
import type { Registry } from "prom-client";
import type { SecurityConfig } from "../config-security.ts";
import type { Logger } from "../lib/logger.ts";
import type { Incoming, Outgoing } from "./front.ts";
import type { Gate } from "./gate.ts";
import type { HealthReport } from "./health.ts";
import { refuseCall } from "./refuse-call.ts";

export interface PlainRequestsOptions {
  health: HealthReport;
  registry: Registry;
  logger: Logger;
  access: SecurityConfig["access"];
  gate: Gate | undefined;
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
        if (error instanceof ConnectError) return refuseCall(error, request, response);
        options.logger.error({ path: request.url, error }, "a request failed by a bug");
        response.statusCode = 500;
        response.end();
      },
    );
  };
}

async function answer(request: Incoming, { health, registry, access, gate }: PlainRequestsOptions): Promise<Answer> {
  const path = request.url?.split("?", 1)[0];
  const reads = request.method === "GET" || request.method === "HEAD";
  const allowed = async (which: "health" | "metrics"): Promise<void> => {
    if (access[which] === "closed") throw new ConnectError("no such path", Code.NotFound);
    await gate?.admitPlain(request, `GET ${path}`, access[which]);
  };
  if (reads && path === "/metrics") {
    await allowed("metrics");
    return { status: 200, type: registry.contentType, body: await registry.metrics() };
  }
  if (reads && path === "/healthz") {
    await allowed("health");
    const all = Object.entries(health.all());
    // Reasons name hosts and databases: they are for those who are known here.
    const trusted = !gate || (await gate.recognize(request)) !== undefined;
    const told = trusted ? all : all.map(([name, { serving }]) => [name, { serving }] as const);
    const { "": process, ...services } = Object.fromEntries(told);
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
