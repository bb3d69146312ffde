// What a buffer of a million writes costs: memory of the server and of Redis, an append beside one with an empty buffer,
// and a restart until its first write and its first merged read. Usage: ./dev bench million [writes]
import { randomBytes, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { Redis } from "ioredis";
import { QueryService } from "../gen/ts/opsdb/v1/query_service_pb.ts";
import { WriteService } from "../gen/ts/opsdb/v1/write_service_pb.ts";
import { encodeWrite } from "../src/buffer/entry-codec.ts";
import { eventually } from "../test/support/eventually.ts";
import { sql } from "../test/support/sql.ts";
import { secondarySiteName, startTwoSite } from "../test/support/two-site.ts";

const count = Number(process.argv[2] ?? 1_000_000);
await using sites = await startTwoSite({
  env: { secondary: { BUFFER_MAX_WRITES: String(2 * count + 100_000), BUFFER_MAX_BYTES: String(2 ** 32) } },
});
await sql(sites.urls.main, "create table samples (id uuid primary key, station text, n int, remark text)");
await sql(sites.urls.main, "create table quiet (id uuid primary key, v text)");
await sites.standby.caughtUp();
await sites.secondary.restart();
await sites.secondary.ready();
sites.link.cut();

const session = new Http2SessionManager(sites.secondary.baseUrl);
const transport = createGrpcTransport({ baseUrl: sites.secondary.baseUrl, sessionManager: session });
const writes = createClient(WriteService, transport);
const queries = createClient(QueryService, transport);
const redis = new Redis(sites.redis.url, { enableAutoPipelining: true });

console.log(`memory of the server with an empty buffer: ${megabytes(residentBytes())}`);
await appendCost("warming up");
const before = await appendCost("with an empty buffer");

const began = performance.now();
for (let n = 0; n < count; n += 1_000)
  await Promise.all(Array.from({ length: 1_000 }, (_, i) => redis.xadd(stream(), "*", ...sample(n + i))));
console.log(`${count} writes of ${sample(1)[3]?.length} bytes in the stream after ${seconds(began)}`);
await eventually(
  async () => Number(/^opsdb_buffer_retained_writes\S* (\d+)/m.exec(await metrics())?.[1]),
  (retained) => retained >= count,
  { timeoutMs: 300_000, everyMs: 250, what: "that the server has read them" },
);
console.log(`memory of the server: ${megabytes(residentBytes())}; of Redis: ${await redisMemory()}`);
const after = await appendCost(`with ${count} pending`);
console.log(`an append with ${count} pending costs ${(after / before).toFixed(2)} of one with an empty buffer`);

const restarted = performance.now();
await sites.secondary.restart();
await until("first write", restarted, () => writes.write({ mutations: [mutation()] }));
await until("first merged read of a table that nothing pending changes", restarted, () => rows("quiet", 10));
await until("first merged read of the table that all of them change", restarted, () => rows("samples", 100));
console.log(`memory of the server after that: ${megabytes(residentBytes())}`);
redis.disconnect();
session.abort();

async function until(what: string, from: number, call: () => Promise<unknown>): Promise<void> {
  const answer = await eventually(call, () => true, { timeoutMs: 300_000, everyMs: 5, what });
  console.log(
    `${what} answered ${seconds(from)} after the restart was asked for${typeof answer === "number" ? `: ${answer} rows` : ""}`,
  );
}

async function rows(table: string, limit: number): Promise<number> {
  let found = 0;
  const query = queries.query({ table, limit: BigInt(limit), orderBy: [{ column: "id" }] }, { timeoutMs: 300_000 });
  for await (const { part } of query) if (part.case === "batch") found += part.value.rows.length;
  return found;
}

/** Median of one caller's acknowledged writes, milliseconds. */
async function appendCost(what: string): Promise<number> {
  const times: number[] = [];
  for (let n = 0; n < 1_500; n++) {
    const from = performance.now();
    await writes.write({ mutations: [mutation()] });
    times.push(performance.now() - from);
  }
  times.sort((a, b) => a - b);
  const [median = 0, late = 0] = [times[times.length >> 1], times[Math.floor(times.length * 0.99)]];
  console.log(`acknowledged write ${what}: median ${median.toFixed(2)} ms, 99% ${late.toFixed(2)} ms`);
  return median;
}

function mutation() {
  const values = { station: { kind: { case: "stringValue" as const, value: "cerro" } } };
  const id = { kind: { case: "uuidValue" as const, value: randomUUID() } };
  return { table: "samples", operation: { case: "insert" as const, value: { values: { ...values, id } } } };
}

/** Fields of an entry, as the service writes it. */
function sample(n: number): [string, string, string, string] {
  const writeId = randomUUID();
  const id = randomUUID();
  const write = {
    writeId,
    payloadHash: randomBytes(32),
    mutations: [
      {
        table: "public.samples",
        operation: "insert" as const,
        key: [id],
        columns: ["id", "station", "n", "remark"],
        values: [id, "cerro", `${n}`, "r".repeat(190)],
        preconditions: [],
      },
    ],
  };
  return ["i", writeId, "w", encodeWrite(write)];
}

function stream(): string {
  return `opsdb:{${secondarySiteName}}:writes`;
}

async function metrics(): Promise<string> {
  return await (await fetch(`${sites.secondary.baseUrl}/metrics`)).text();
}

async function redisMemory(): Promise<string> {
  return megabytes(Number(/used_memory:(\d+)/.exec(await redis.info("memory"))?.[1]));
}

function residentBytes(): number {
  const status = readFileSync(`/proc/${sites.secondary.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1_024;
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}

function seconds(from: number): string {
  return `${((performance.now() - from) / 1_000).toFixed(2)} s`;
}
