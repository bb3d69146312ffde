// What an acknowledged critical write costs beside an empty call and beside the fsynced append of Redis alone, in one
// run, with 1, 16 and 256 callers. Usage: ./dev bench write [seconds for each figure]
import { randomUUID } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Redis } from "ioredis";
import { Health } from "../gen/ts/grpc/health/v1/health_pb.ts";
import { WriteService } from "../gen/ts/opsdb/v1/write_service_pb.ts";
import { startTwoSite } from "../test/support/two-site.ts";

const seconds = Number(process.argv[2] ?? 3);
await using stack = await startTwoSite({
  roundTripMs: 220,
  fsync: true,
  env: { secondary: { BUFFER_RETENTION: "1" } },
});

const transport = createGrpcTransport({ baseUrl: stack.secondary.baseUrl });
const health = createClient(Health, transport);
const writer = createClient(WriteService, transport);
using redis = disposable(new Redis(stack.redis.url, { enableAutoPipelining: true }));
const payload = "x".repeat(400);

const sample = (writeId: string) => ({
  writeId,
  mutations: [
    {
      table: "executed_obs_units",
      operation: {
        case: "insert" as const,
        value: {
          values: {
            obs_unit_id: { kind: { case: "uuidValue" as const, value: "0b500000-0000-4000-8000-000000000001" } },
            instrument_id: { kind: { case: "uuidValue" as const, value: "15700000-0000-4000-8000-000000000002" } },
            mean_pwv_mm: { kind: { case: "numericValue" as const, value: "0.612" } },
            elevation_deg: { kind: { case: "doubleValue" as const, value: 54.25 } },
            observer: { kind: { case: "stringValue" as const, value: "night assistant" } },
          },
        },
      },
    },
  ],
});

const calls: { name: string; call: () => Promise<unknown>; cut?: boolean }[] = [
  { name: "empty call (health check)", call: () => health.check({ service: "" }) },
  { name: "XADD alone, fsynced", call: () => redis.value.xadd("bench", "*", "w", payload) },
  { name: "write, id by the server", call: () => writer.write(sample("")) },
  { name: "write, id by the client", call: () => writer.write(sample(randomUUID())) },
  { name: "write, link cut: no drain", call: () => writer.write(sample("")), cut: true },
];

console.log(`acknowledged critical writes at the far site, ${seconds} s each, main behind 220 ms`);
console.log("callers  what                           per second   median    99%     ratio to empty");
for (const callers of [1, 16, 256]) {
  let empty = 0;
  for (const { name, call, cut } of calls) {
    // The drain shares this machine with everything else; without it, what is left is the acknowledgement alone.
    if (cut) stack.link.cut();
    else stack.link.heal();
    await measure(call, callers, 0.5);
    const { rate, median, p99 } = await measure(call, callers, seconds);
    empty ||= rate;
    console.log(
      `${String(callers).padStart(7)}  ${name.padEnd(29)}${rate.toFixed(0).padStart(11)}${ms(median)}${ms(p99)}${(empty / rate).toFixed(2).padStart(9)}x`,
    );
  }
}

async function measure(call: () => Promise<unknown>, callers: number, duration: number) {
  const times: number[] = [];
  const started = performance.now();
  const until = started + duration * 1_000;
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (performance.now() < until) {
        const from = performance.now();
        await call();
        times.push(performance.now() - from);
      }
    }),
  );
  times.sort((a, b) => a - b);
  const at = (part: number): number => times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? 0;
  return { rate: (times.length / (performance.now() - started)) * 1_000, median: at(0.5), p99: at(0.99) };
}

function ms(value: number): string {
  return `${value.toFixed(2).padStart(8)}ms`;
}

function disposable(redis: Redis) {
  return { value: redis, [Symbol.dispose]: () => redis.disconnect() };
}
