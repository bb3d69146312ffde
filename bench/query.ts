// What a query costs beside plain PostgreSQL, on a million observations: a page by an indexed order, a lookup by key and a
// full scan, with 0, 100, 10,000 and 100,000 pending writes merged in. Usage: ./dev bench query [observations]
import { randomUUID } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Client, credentials } from "@grpc/grpc-js";
import { Redis } from "ioredis";
import pg from "pg";
import Cursor from "pg-cursor";
import { QueryRequestSchema, QueryResponseSchema } from "../gen/ts/opsdb/v1/query_pb.ts";
import { encodeWrite } from "../src/buffer/entry-codec.ts";
import type { Mutation } from "../src/write.ts";
import { eventually } from "../test/support/eventually.ts";
import { sql } from "../test/support/sql.ts";
import { secondarySiteName, startTwoSite } from "../test/support/two-site.ts";

const observations = Number(process.argv[2] ?? 1_000_000);
const steps = [0, 100, 10_000, 100_000];
const table = "executed_obs_units";
const unit = randomUUID();
const instrument = randomUUID();

await using sites = await startTwoSite();
console.log(`making ${observations} observations`);
await sql(
  sites.urls.main,
  `with o as (insert into observatories (name, country, altitude_m, latitude, longitude) values ('o', 'CL', 5000, -23, -67) returning id),
    t as (insert into telescopes (observatory_id, name, aperture_m) select id, 't', 6 from o returning id),
    i as (insert into instruments (id, telescope_id, name) select '${instrument}', id, 'i' from t returning id),
    p as (insert into observing_programs (program_id, title, principal_investigator) values ('p', 'p', 'p') returning id)
  insert into obs_units (id, observing_program_id, instrument_id, name) select '${unit}', p.id, i.id, 'u' from p, i`,
);
await sql(
  sites.urls.main,
  `insert into ${table} (obs_unit_id, instrument_id, start_time, status, mean_pwv_mm, azimuth_deg, elevation_deg, observer)
  select '${unit}', '${instrument}', '2020-01-01'::timestamptz + n * interval '3 minutes', 'COMPLETED', n % 7 / 3.0, n % 360, 45, 'observer ' || n % 10
  from generate_series(1, ${observations}) n`,
);
await sql(sites.urls.main, `vacuum analyze ${table}`);
await sites.standby.caughtUp();
await sites.secondary.restart();
await sites.secondary.ready();
const ids = (
  await sql<{ id: string }>(sites.urls.secondary, `select id from ${table} tablesample bernoulli (20) limit 60000`)
).map(({ id }) => id);
sites.link.cut();

const plain = new pg.Client({
  connectionString: sites.urls.secondary,
  types: { getTypeParser: () => (text: string) => text },
});
await plain.connect();
const caller = new Client(new URL(sites.secondary.baseUrl).host, credentials.createInsecure(), {
  "grpc.max_receive_message_length": 64 * 2 ** 20,
});
const redis = new Redis(sites.redis.url, { enableAutoPipelining: true });

const page: MessageInitShape<typeof QueryRequestSchema> = {
  table,
  orderBy: [{ column: "start_time", descending: true }],
  limit: 100n,
};
const pageSql = `select * from ${table} order by start_time desc, id limit 100`;
const lookup = (id: string): MessageInitShape<typeof QueryRequestSchema> => ({
  table,
  where: {
    condition: {
      case: "comparison",
      value: { column: "id", operator: 1, value: { kind: { case: "uuidValue", value: id } } },
    },
  },
});

const empty = await median(2_000, () => unary("/grpc.health.v1.Health/Check", Buffer.alloc(0)));
const select = await median(2_000, (n) =>
  plain.query({ name: "one", text: `select * from ${table} where id = $1`, values: [ids[n]] }),
);
const pageOfPg = await median(300, () => plain.query({ name: "page", text: pageSql }));
const scanOfPg = await scanWithPg();
console.log(
  `an empty unary call ${ms(empty)}, a SELECT by key through pg ${ms(select)}, a page through pg ${ms(pageOfPg)}`,
);
console.log(`pg-cursor alone, batches of 1,000: ${rate(scanOfPg)} rows/s`);

let pending = 0;
let quietPage = 0;
for (const step of steps) {
  await addPending(step - pending);
  pending = step;
  const pageOfOurs = await median(step > 10_000 ? 150 : 300, () => query(page));
  if (step === 0) quietPage = pageOfOurs;
  const key = await median(1_000, (n) => query(lookup(ids[n] ?? "")));
  const idle = resetPeak();
  const scan = await scanWithGrpc();
  console.log(
    [
      `${step} pending:`,
      `page ${ms(pageOfOurs)} (${(pageOfOurs / quietPage).toFixed(2)} of the same with nothing pending, ${(pageOfOurs / pageOfPg).toFixed(1)} of pg)`,
      `lookup ${ms(key)} (${(key / (empty + select)).toFixed(2)} of an empty call and a SELECT)`,
      `full scan ${rate(scan.rate)} rows/s (${(scan.rate / scanOfPg).toFixed(2)} of pg-cursor), first row after ${ms(scan.firstMs)},`,
      `peak memory ${Math.round((peakBytes() - idle) / 1e6)} MB over ${Math.round(idle / 1e6)} MB`,
    ].join(" "),
  );
}
redis.disconnect();
caller.close();
await plain.end();

/** Half are new observations, half change one that the replica has. */
async function addPending(count: number): Promise<void> {
  for (let done = 0; done < count; done += 1_000)
    await Promise.all(
      Array.from({ length: Math.min(1_000, count - done) }, (_, i) => {
        const n = pending + done + i;
        return redis.xadd(`opsdb:{${secondarySiteName}}:writes`, "*", ...entry(n % 2 === 0 ? inserted(n) : updated(n)));
      }),
    );
  await eventually(
    async () =>
      Number(
        /^opsdb_buffer_retained_writes\S* (\d+)/m.exec(
          await (await fetch(`${sites.secondary.baseUrl}/metrics`)).text(),
        )?.[1],
      ),
    (retained) => retained >= pending + count,
    { timeoutMs: 120_000, everyMs: 100, what: "that the server has read them" },
  );
}

function inserted(n: number): Mutation {
  const id = randomUUID();
  const row: Record<string, string | null> = {
    id,
    obs_unit_id: unit,
    instrument_id: instrument,
    start_time: new Date(Date.UTC(2024, 0, 1) + n * 1_000)
      .toISOString()
      .replace("T", " ")
      .replace(/\.\d+Z/, "+00"),
    end_time: null,
    status: "RUNNING",
    mean_pwv_mm: "0.500",
    tau: null,
    azimuth_deg: "12.5",
    elevation_deg: "45",
    module_numbers: "{1,2}",
    observer: "observer",
    conditions: "{}",
    remark: null,
    created_at: "2024-01-01 00:00:00+00",
  };
  return {
    table: `public.${table}`,
    operation: "insert",
    key: [id],
    columns: Object.keys(row),
    values: Object.values(row),
    preconditions: [],
  };
}

function updated(n: number): Mutation {
  const id = ids[n % ids.length] ?? "";
  return {
    table: `public.${table}`,
    operation: "update",
    key: [id],
    columns: ["status", "remark"],
    values: ["ABORTED", `changed ${n}`],
    preconditions: [],
  };
}

function entry(mutation: Mutation): [string, string, string, string] {
  const writeId = randomUUID();
  return ["i", writeId, "w", encodeWrite({ writeId, payloadHash: Buffer.alloc(32), mutations: [mutation] })];
}

/** Milliseconds. */
async function median(count: number, call: (n: number) => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let n = 0; n < count * 1.2; n += 1) {
    const from = performance.now();
    await call(n);
    if (n >= count * 0.2) times.push(performance.now() - from);
  }
  return times.sort((a, b) => a - b)[times.length >> 1] ?? 0;
}

async function unary(path: string, request: Buffer): Promise<Buffer> {
  return await new Promise((resolve, reject) => {
    caller.makeUnaryRequest(path, same, same, request, (error, answer) => {
      if (error) reject(error);
      else resolve(answer ?? Buffer.alloc(0));
    });
  });
}

/** Every message of the answer, as it came. */
async function query(
  request: MessageInitShape<typeof QueryRequestSchema>,
  onMessage: (bytes: Buffer) => void = () => {},
) {
  const bytes = Buffer.from(toBinary(QueryRequestSchema, create(QueryRequestSchema, request)));
  await new Promise<void>((resolve, reject) => {
    const call = caller.makeServerStreamRequest("/opsdb.v1.QueryService/Query", same, same, bytes);
    call.on("data", onMessage);
    call.on("error", reject);
    call.on("end", resolve);
  });
}

async function scanWithGrpc(): Promise<{ rate: number; firstMs: number }> {
  const from = performance.now();
  let firstMs = 0;
  let messages = 0;
  let last: Buffer | undefined;
  await query({ table }, (bytes) => {
    messages += 1;
    if (messages === 2) firstMs = performance.now() - from;
    last = bytes;
  });
  const { part } = fromBinary(QueryResponseSchema, last ?? Buffer.alloc(0));
  if (part.case !== "trailer") throw new Error("the result has no trailer");
  return { rate: Number(part.value.rowCount) / ((performance.now() - from) / 1_000), firstMs };
}

async function scanWithPg(): Promise<number> {
  const from = performance.now();
  const cursor = plain.query(
    new Cursor(`select * from ${table}`, [], { rowMode: "array", types: { getTypeParser: () => same } }),
  );
  let rows = 0;
  for (;;) {
    const batch = await cursor.read(1_000);
    rows += batch.length;
    if (batch.length < 1_000) break;
  }
  await cursor.close();
  return rows / ((performance.now() - from) / 1_000);
}

/** Forgets the server's highest memory so far; answers with what it has now, bytes. */
function resetPeak(): number {
  writeFileSync(`/proc/${sites.secondary.pid}/clear_refs`, "5");
  return statusBytes("VmRSS");
}

function peakBytes(): number {
  return statusBytes("VmHWM");
}

function statusBytes(name: string): number {
  const status = readFileSync(`/proc/${sites.secondary.pid}/status`, "utf8");
  return Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) * 1_024;
}

function same<T>(value: T): T {
  return value;
}

function ms(value: number): string {
  return `${value.toFixed(2)} ms`;
}

function rate(value: number): string {
  return `${Math.round(value / 1_000)}k`;
}
