import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { needsProgram } from "../support/needs-program.ts";
import { promtool } from "./promtool.ts";
import { alertsFile, opsDirectory, readAlerts } from "./rule-names.ts";

/** Values of a series, one for each minute, in promtool's notation. */
type Values = string;
const steady = (value: number): Values => `${value}+0x60`;
const growing = (each: number): Values => `0+${each}x60`;

const writing = { grpc_service: "opsdb.v1.WriteService", grpc_method: "Write" };
const paused = { part: "processor", state: "PAUSED" };

/** A site where all is well, and writes come all the time. */
const healthy: Record<string, Values> = {
  [series("up")]: steady(1),
  [series("opsdb_health_serving", { service: "opsdb.v1.WriteService" })]: steady(1),
  [series("opsdb_health_serving", { service: "opsdb.v1.QueryService" })]: steady(1),
  [series("grpc_server_handled_total", { ...writing, grpc_code: "OK" })]: growing(100),
  [series("grpc_server_handled_total", { ...writing, grpc_code: "Unavailable" })]: growing(1),
  [series("grpc_server_handling_seconds_bucket", { ...writing, le: "0.1" })]: growing(100),
  [series("grpc_server_handling_seconds_bucket", { ...writing, le: "2.5" })]: growing(100),
  [series("grpc_server_handling_seconds_bucket", { ...writing, le: "+Inf" })]: growing(100),
  [series("opsdb_refusals_total", { reason: "INTERNAL" })]: steady(0),
  [series("nodejs_eventloop_lag_p99_seconds")]: steady(0.02),
  [series("nodejs_heap_size_used_bytes")]: steady(1e9),
  [series("opsdb_heap_limit_bytes")]: steady(4e9),
  [series("opsdb_pool_waiting", { pool: "local" })]: steady(0),
  [series("opsdb_buffer_loss")]: steady(0),
  [series("opsdb_buffer_refusing", { reason: "BUFFER_NOT_DURABLE" })]: steady(0),
  [series("opsdb_buffer_up")]: steady(1),
  [series("opsdb_buffer_fill_ratio")]: steady(0.01),
  [series("opsdb_buffer_append_seconds_bucket", { le: "0.1" })]: growing(100),
  [series("opsdb_buffer_append_seconds_bucket", { le: "1" })]: growing(100),
  [series("opsdb_buffer_append_seconds_bucket", { le: "+Inf" })]: growing(100),
  [series("opsdb_sequence_stock", { sequence: "public.files_id_seq" })]: steady(9_000),
  [series("opsdb_sequence_stock_target", { sequence: "public.files_id_seq" })]: steady(10_000),
  [series("opsdb_buffer_pending_writes")]: steady(3),
  [series("opsdb_processor_applied_writes_total")]: growing(100),
  [series("opsdb_processor_rejected_writes_total")]: steady(0),
  [series("opsdb_part_state", paused)]: steady(0),
  [series("opsdb_processor_lease_held")]: steady(1),
  [series("opsdb_rejected_writes_waiting")]: steady(0),
  [series("opsdb_main_up")]: steady(1),
  [series("opsdb_local_up")]: steady(1),
  [series("opsdb_replica_lag_seconds")]: steady(2),
  [series("opsdb_local_replay_paused")]: steady(0),
  [series("opsdb_main_slot_wal_status", { slot: "ccat", wal_status: "reserved" })]: steady(1),
  [series("opsdb_main_slot_wal_status", { slot: "ccat", wal_status: "unreserved" })]: steady(0),
  [series("opsdb_main_slot_wal_status", { slot: "ccat", wal_status: "lost" })]: steady(0),
};

/** What is otherwise than at a healthy site, and exactly the alerts that fire then. */
const scenarios: { title: string; but: Record<string, Values>; fires: string[] }[] = [
  { title: "all is well", but: {}, fires: [] },
  {
    title: "the link is cut for half an hour",
    but: {
      [series("opsdb_main_up")]: steady(0),
      [series("opsdb_buffer_pending_writes")]: growing(100),
      [series("opsdb_processor_applied_writes_total")]: steady(100),
      [series("opsdb_replica_lag_seconds")]: growing(60),
      [series("opsdb_buffer_fill_ratio")]: "0.01+0.0001x60",
    },
    fires: ["OpsDbMainUnreachable"],
  },
  { title: "the process is gone", but: { [series("up")]: steady(0) }, fires: ["OpsDbApiDown"] },
  {
    title: "writes are refused",
    but: { [series("opsdb_health_serving", { service: "opsdb.v1.WriteService" })]: steady(0) },
    fires: ["OpsDbWritesRefused"],
  },
  {
    title: "reads are refused",
    but: { [series("opsdb_health_serving", { service: "opsdb.v1.QueryService" })]: steady(0) },
    fires: ["OpsDbReadsRefused"],
  },
  {
    title: "one call in ten fails",
    but: { [series("grpc_server_handled_total", { ...writing, grpc_code: "Unavailable" })]: growing(12) },
    fires: ["OpsDbHighErrorRate"],
  },
  {
    title: "a bug",
    but: { [series("opsdb_refusals_total", { reason: "INTERNAL" })]: "0+0x40 1+0x20" },
    fires: ["OpsDbInternalErrors"],
  },
  {
    title: "slow writes",
    but: { [series("grpc_server_handling_seconds_bucket", { ...writing, le: "0.1" })]: growing(95) },
    fires: ["OpsDbSlowWrites"],
  },
  {
    title: "a busy event loop",
    but: { [series("nodejs_eventloop_lag_p99_seconds")]: steady(0.4) },
    fires: ["OpsDbEventLoopLag"],
  },
  {
    title: "a heap that is nearly full",
    but: { [series("nodejs_heap_size_used_bytes")]: steady(3.6e9) },
    fires: ["OpsDbHeapNearlyFull"],
  },
  {
    title: "callers wait for connections",
    but: { [series("opsdb_pool_waiting", { pool: "local" })]: steady(4) },
    fires: ["OpsDbPoolExhausted"],
  },
  { title: "lost writes", but: { [series("opsdb_buffer_loss")]: steady(1) }, fires: ["OpsDbWritesLost"] },
  {
    title: "Redis without durability",
    but: { [series("opsdb_buffer_refusing", { reason: "BUFFER_NOT_DURABLE" })]: steady(1) },
    fires: ["OpsDbBufferNotDurable"],
  },
  { title: "Redis is away", but: { [series("opsdb_buffer_up")]: steady(0) }, fires: ["OpsDbBufferUnreachable"] },
  {
    title: "a buffer that is more than half full",
    but: { [series("opsdb_buffer_fill_ratio")]: steady(0.6) },
    fires: ["OpsDbBufferFilling"],
  },
  {
    title: "a buffer that is nearly full",
    but: { [series("opsdb_buffer_fill_ratio")]: steady(0.95) },
    fires: ["OpsDbBufferFilling", "OpsDbBufferNearlyFull"],
  },
  {
    title: "a buffer that will be full in three hours",
    but: { [series("opsdb_buffer_fill_ratio")]: "0.05+0.006x60" },
    fires: ["OpsDbBufferFullSoon"],
  },
  {
    title: "a slow disk below Redis",
    but: { [series("opsdb_buffer_append_seconds_bucket", { le: "0.1" })]: growing(90) },
    fires: ["OpsDbSlowAppends"],
  },
  {
    title: "few values of a sequence",
    but: { [series("opsdb_sequence_stock", { sequence: "public.files_id_seq" })]: steady(500) },
    fires: ["OpsDbSequenceStockLow"],
  },
  {
    title: "a drain that stands still",
    but: { [series("opsdb_processor_applied_writes_total")]: steady(7) },
    fires: ["OpsDbDrainStandingStill"],
  },
  {
    title: "a drain that moves only by rejecting",
    but: {
      [series("opsdb_processor_applied_writes_total")]: steady(7),
      [series("opsdb_processor_rejected_writes_total")]: growing(2),
    },
    fires: [],
  },
  {
    title: "a paused drain",
    but: {
      [series("opsdb_part_state", paused)]: steady(1),
      [series("opsdb_processor_applied_writes_total")]: steady(7),
      [series("opsdb_processor_lease_held")]: steady(0),
    },
    fires: ["OpsDbDrainPaused"],
  },
  {
    title: "nobody drains",
    but: { [series("opsdb_processor_lease_held")]: steady(0) },
    fires: ["OpsDbDrainUnattended"],
  },
  {
    title: "another process of the site drains",
    but: {
      [series("opsdb_processor_lease_held")]: steady(0),
      [series("opsdb_processor_lease_held", { instance: "b:1" })]: steady(1),
    },
    fires: [],
  },
  {
    title: "rejected writes",
    but: { [series("opsdb_rejected_writes_waiting")]: steady(2) },
    fires: ["OpsDbRejectedWritesWaiting"],
  },
  {
    title: "the local database is away",
    but: { [series("opsdb_local_up")]: steady(0) },
    fires: ["OpsDbLocalDatabaseUnreachable"],
  },
  {
    title: "a replica that does not keep up",
    but: { [series("opsdb_replica_lag_seconds")]: steady(900) },
    fires: ["OpsDbReplicaLagging"],
  },
  {
    title: "paused replay",
    but: { [series("opsdb_local_replay_paused")]: steady(1) },
    fires: ["OpsDbReplayPaused"],
  },
  {
    title: "a slot whose WAL is about to go",
    but: { [series("opsdb_main_slot_wal_status", { slot: "ccat", wal_status: "unreserved" })]: steady(1) },
    fires: ["OpsDbSlotAtRisk"],
  },
];

test("promtool takes the rules and the sample configuration", ({ skip }) => {
  needsProgram("promtool", "prometheus", skip);
  expect(promtool("check", "rules", alertsFile)).toContain(`SUCCESS: ${readAlerts().length} rules found`);
  expect(promtool("check", "config", join(opsDirectory, "prometheus", "prometheus.yml"))).toContain("is valid");
});

test("in each case exactly the alerts that are for it fire", { timeout: 120_000 }, ({ skip }) => {
  needsProgram("promtool", "prometheus", skip);
  const tests = scenarios.map(({ title, but, fires }) => ({
    name: title,
    interval: "1m",
    input_series: Object.entries({ ...healthy, ...but }).map(([name, values]) => ({ series: name, values })),
    promql_expr_test: [
      {
        expr: 'group by (alertname) (ALERTS{alertstate="firing"})',
        eval_time: "45m",
        exp_samples: fires.map((alertname) => ({ labels: `{alertname="${alertname}"}`, value: 1 })),
      },
    ],
  }));
  const directory = mkdtempSync(join(tmpdir(), "opsdb-alerts-"));
  try {
    const file = join(directory, "tests.yml");
    // JSON is YAML.
    writeFileSync(file, JSON.stringify({ rule_files: [alertsFile], evaluation_interval: "1m", tests }));
    expect(promtool("test", "rules", file)).toContain("SUCCESS");
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("every alert has such a case, and a section in the operator's guide", () => {
  const alerts = readAlerts();
  expect(new Set(scenarios.flatMap(({ fires }) => fires))).toEqual(new Set(alerts.map(({ name }) => name)));
  const guide = readFileSync(join(opsDirectory, "..", "docs", "operating.md"), "utf8");
  for (const { name, runbook, text } of alerts) {
    expect(guide).toContain(`<a id="${runbook.split("#")[1]}"></a>`);
    expect(runbook).toBe(`docs/operating.md#${name.replace(/(?<!^)[A-Z]/g, "-$&").toLowerCase()}`);
    expect(text).toMatch(/^ {10}summary: ".+"$/m);
    expect(text).toMatch(/^ {10}description: ".+"$/m);
    expect(text).toMatch(/^ {10}severity: (critical|warning)$/m);
  }
});

function series(metric: string, labels: Record<string, string> = {}): string {
  const target = { job: "ops-db-api", site: "ccat", role: "secondary", instance: "a:1" };
  const all = Object.entries({ ...target, ...labels }).map(([name, value]) => `${name}="${value}"`);
  return `${metric}{${all.join(",")}}`;
}
