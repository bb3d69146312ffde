import { createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { trace } from "@opentelemetry/api";
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { Registry } from "prom-client";
import { file_grpc_health_v1_health, Health } from "../gen/ts/grpc/health/v1/health_pb.ts";
import { createLogger } from "../src/lib/logger.ts";
import { connectAdapter } from "../src/rpc/connect-adapter.ts";
import { Front } from "../src/rpc/front.ts";
import { HealthReport, healthService } from "../src/rpc/health.ts";
import { RpcMetrics } from "../src/rpc/metrics.ts";
import { createHandlers } from "../src/rpc/routes.ts";
import { tracing } from "../src/rpc/tracing.ts";
import { SiteStub } from "../test/support/site-stub.ts";

/**
 * What counting and tracing cost an empty call, in CPU time of caller and server together: servers side by side in one
 * process, asked in turns, so that what else the machine does falls on all of them.
 */
const rounds = 20;
const calls = 2_000;
const callers = 16;

const report = new HealthReport(new SiteStub(), new AbortController().signal);
const logger = createLogger({ level: "silent" });
const counting = new RpcMetrics(new Registry(), file_grpc_health_v1_health.services).interceptor;
const exporter = new InMemorySpanExporter();
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });

const kinds: { name: string; interceptors: Interceptor[]; sdk: boolean }[] = [
  { name: "neither", interceptors: [], sdk: false },
  { name: "counted", interceptors: [counting], sdk: false },
  { name: "counted, tracing off", interceptors: [counting, tracing], sdk: false },
  { name: "counted and traced", interceptors: [counting, tracing], sdk: true },
];

const running = await Promise.all(
  kinds.map(async (kind) => ({ ...kind, ...(await serve(kind.interceptors)), us: [] as number[] })),
);
for (let round = 0; round < rounds; round++)
  for (let turn = 0; turn < running.length; turn++) {
    const kind = running[(round + turn) % running.length] as (typeof running)[number];
    if (kind.sdk) trace.setGlobalTracerProvider(provider);
    const started = process.cpuUsage();
    let left = calls;
    await Promise.all(
      Array.from({ length: callers }, async () => {
        while (left-- > 0) await kind.call();
      }),
    );
    if (round > 1) kind.us.push(cpuUs(started) / calls);
    trace.disable();
    exporter.reset();
  }

const [plain] = running;
for (const { name, us } of running) {
  const ratio = median(us) / median(plain?.us ?? []);
  console.log(`${name.padEnd(22)} ${median(us).toFixed(0).padStart(5)} µs a call   ${ratio.toFixed(3)}`);
}
await Promise.all(running.map(({ close }) => close()));

/** A server with one empty unary call, and a caller. */
async function serve(
  interceptors: Interceptor[],
): Promise<{ call: () => Promise<unknown>; close: () => Promise<void> }> {
  const handlers = createHandlers({
    messageBytes: 1024,
    ending: new AbortController().signal,
    interceptors,
    services: (add) => add(Health, healthService(report)),
  });
  const handler = connectAdapter({ handlers, fallback: (_, response) => void response.end(), logger });
  const front = new Front({ handler, keepalive: { everyMs: 60_000, timeoutMs: 5_000 } });
  const { port } = await front.listen({ host: "127.0.0.1", port: 0 });
  const baseUrl = `http://127.0.0.1:${port}`;
  const sessionManager = new Http2SessionManager(baseUrl);
  const client = createClient(Health, createGrpcTransport({ baseUrl, sessionManager }));
  return {
    call: () => client.check({}),
    close() {
      sessionManager.abort();
      return front.close(1_000);
    },
  };
}

function cpuUs(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return user + system;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
