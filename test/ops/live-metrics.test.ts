import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { upsert } from "../../demo/mutations.ts";
import type { MutationInit } from "../../demo/site-client.ts";
import { double, text, time } from "../../demo/values.ts";
import { WriteState } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { SiteCaller } from "../e2e/site-caller.ts";
import { eventually } from "../support/eventually.ts";
import { needsProgram } from "../support/needs-program.ts";
import { Prometheus } from "../support/prometheus.ts";
import type { SpanLine } from "../support/traced-process.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";
import { queriesOf, readDashboard, withVariables } from "./dashboard.ts";
import { type ExposedMetric, parseExposition } from "./exposition.ts";
import { alertsFile, readAlerts, selectorsOf } from "./rule-names.ts";

let sites: TwoSite;
let site: SiteCaller;
let samples = 0;

/** Labels that Prometheus gives a target. */
const ofTargets = new Set(["job", "instance", "site", "role"]);

beforeAll(async () => {
  sites = await startTwoSite({ env: { secondary: { MAIN_TIMEOUT_MS: "1000", STATUS_POLL_MS: "100" } } });
  site = new SiteCaller(sites.secondary);
  await writeHome();
});

afterAll(async () => {
  site?.[Symbol.dispose]();
  await sites?.[Symbol.asyncDispose]();
});

test("every metric, label and value that alerts and dashboard name is in the exposition", async () => {
  const live = await exposed();
  const named = [
    ...readAlerts().map(({ text: alert }) => alert),
    ...queriesOf(readDashboard()).map(({ expr }) => expr),
  ];
  const selectors = named.flatMap((each) => selectorsOf(withVariables(each)));
  expect(selectors.length).toBeGreaterThan(60);
  for (const { metric, matchers } of selectors) {
    if (metric === "up") continue; // Prometheus's own
    const known = live.get(metric.replace(/_bucket$/, "")) ?? live.get(metric.replace(/_(sum|count)$/, ""));
    expect([metric, known !== undefined]).toEqual([metric, true]);
    for (const { label, operator, value } of matchers.filter((each) => !ofTargets.has(each.label))) {
      const values = known?.series.map(({ labels }) => labels[label]) ?? [];
      const found = values.some((each) =>
        operator.endsWith("~") ? each !== undefined && new RegExp(`^(${value})$`).test(each) : each === value,
      );
      expect([metric, label, value, found]).toEqual([metric, label, value, true]);
    }
  }
});

test("the service exposes what docs/metrics.md says, and nothing else of its own", async () => {
  const documented = readFileSync(join(import.meta.dirname, "..", "..", "docs", "metrics.md"), "utf8");
  const names = [...documented.matchAll(/^\| `((?:opsdb|grpc_server)_\w+)` \|/gm)].map(([, name]) => name);
  const own = [...(await exposed()).keys()].filter((name) => /^(opsdb|grpc_server)_/.test(name));
  expect(own.sort()).toEqual(names.sort());
});

test("labels are bounded: a night of calls makes no new series", async () => {
  const before = await seriesOf(sites.secondary.baseUrl);
  for (let i = 0; i < 20; i++) await writeHome();
  await site.query("weather_samples");
  await expect(site.query("no such table")).rejects.toThrow();
  await fetch(`${sites.secondary.baseUrl}/opsdb.v1.WriteService/NoSuchMethod`, { method: "POST" });
  // A bucket, a sum and a count are there from the start, and so is every method, code and reason.
  expect(await seriesOf(sites.secondary.baseUrl)).toEqual(before);
});

test("a write's way shows: appended, applied, in a batch, refused where it is", async () => {
  const before = await exposed();
  await writeHome();
  await expect(site.write([upsert("no such table", { a: text("b") })])).rejects.toThrow();
  const after = await exposed();
  const grown = (name: string, labels: Record<string, string> = {}): number =>
    onlyValue(after, name, labels) - onlyValue(before, name, labels);
  expect(grown("opsdb_buffer_appended_writes_total")).toBe(1);
  expect(grown("opsdb_buffer_appended_bytes_total")).toBeGreaterThan(50);
  expect(grown("opsdb_buffer_append_seconds_count")).toBe(1);
  expect(grown("opsdb_processor_applied_writes_total")).toBe(1);
  expect(grown("opsdb_processor_batches_total", { outcome: "committed" })).toBe(1);
  expect(grown("opsdb_processor_batch_seconds_count")).toBe(1);
  expect(grown("opsdb_refusals_total", { reason: "TABLE_NOT_FOUND" })).toBe(1);
  const call = { grpc_type: "unary", grpc_service: "opsdb.v1.WriteService", grpc_method: "Write" };
  expect(grown("grpc_server_handled_total", { ...call, grpc_code: "OK" })).toBe(1);
  expect(grown("grpc_server_handled_total", { ...call, grpc_code: "NotFound" })).toBe(1);
  expect(onlyValue(after, "opsdb_processor_lease_held")).toBe(1);
});

test("a scrape does not take its own wait for a connection for a caller's", async () => {
  await eventually(
    async () => onlyValue(await exposed(), "opsdb_pool_waiting", { pool: "probe" }),
    (waiting) => waiting === 0,
  );
});

test("an SDK that is loaded by --import gets the spans of the calls", async () => {
  const file = join(sites.logs, "spans.jsonl");
  const server = sites.anotherServer("secondary", "traced", { TEST_SPANS: file });
  await server.start({ imports: ["./test/support/traced-process.ts"] });
  await server.ready();
  using caller = new SiteCaller(server);
  const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
  const headers = { traceparent: `00-${traceId}-00f067aa0ba902b7-01` };
  await caller.writes.write({ mutations: [sample()] }, { headers });
  await Array.fromAsync(caller.queries.query({ table: "weather_samples" }, { headers }));
  await server.stop();
  const spans = readFileSync(file, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as SpanLine);
  expect(spans).toEqual(
    ["XADD", "opsdb.v1.WriteService/Write", "SELECT weather_samples", "opsdb.v1.QueryService/Query"].map((name) => ({
      name,
      traceId,
    })),
  );
});

test("G9: with the link cut, what is held up says so, and since when", async () => {
  const before = onlyValue(await exposed(), "opsdb_processor_retries_total");
  sites.link.cut();
  try {
    await site.write([sample()]);
    await eventually(exposed, (now) => {
      const state = (part: string): number => onlyValue(now, "opsdb_part_state", { part, state: "RETRYING" });
      return (
        state("main") === 1 &&
        state("processor") === 1 &&
        onlyValue(now, "opsdb_main_up") === 0 &&
        onlyValue(now, "opsdb_processor_up") === 0 &&
        onlyValue(now, "opsdb_processor_retries_total") > before &&
        onlyValue(now, "opsdb_processor_last_error_seconds") < 60 &&
        onlyValue(now, "opsdb_part_state_seconds", { part: "main" }) < 60 &&
        onlyValue(now, "opsdb_buffer_pending_writes") === 1 &&
        onlyValue(now, "opsdb_buffer_oldest_pending_seconds") > 0
      );
    });
  } finally {
    sites.link.heal();
  }
  await eventually(exposed, (now) => onlyValue(now, "opsdb_buffer_pending_writes") === 0);
  await sites.secondary.ready();
});

test("with Redis away, the reason for which writes are refused shows, and ends with it", async () => {
  const refusing = async (): Promise<number> =>
    onlyValue(await exposed(), "opsdb_buffer_refusing", { reason: "BUFFER_UNAVAILABLE" });
  expect(await refusing()).toBe(0);
  await sites.redis.stop();
  try {
    await eventually(refusing, (value) => value === 1);
    // Health is told once for all changes of a moment.
    const now = await eventually(
      exposed,
      (all) => onlyValue(all, "opsdb_health_serving", { service: "opsdb.v1.WriteService" }) === 0,
    );
    expect(onlyValue(now, "opsdb_buffer_up")).toBe(0);
    expect(onlyValue(now, "opsdb_health_serving", { service: "opsdb.v1.ReplicationService" })).toBe(1);
  } finally {
    await sites.redis.start();
  }
  await sites.secondary.ready();
  expect(await refusing()).toBe(0);
});

test("Prometheus reads both sites, answers every query, and tells when the link is cut and when it heals", {
  timeout: 90_000,
}, async ({ skip }) => {
  needsProgram("prometheus", "prometheus", skip);
  const targets = [
    { address: sites.main.grpc, labels: { site: "cologne", role: "main" } },
    { address: sites.secondary.grpc, labels: { site: "ccat", role: "secondary" } },
  ];
  const rules = readFileSync(alertsFile, "utf8").replace(/^( +for:) .*$/gm, "$1 0s");
  await using prometheus = await Prometheus.start(targets, rules);
  for (const { panel, expr } of queriesOf(readDashboard())) {
    await eventually(
      () => prometheus.query(withVariables(expr)),
      // What nothing has happened of is left out by the query itself.
      (found) => found.length > 0 || expr.endsWith("> 0"),
      { what: `that "${panel}" shows something by ${expr}` },
    );
  }
  const cut = async (): Promise<string[]> =>
    (await prometheus.firing())
      .filter(({ labels }) => labels.alertname === "OpsDbMainUnreachable")
      .map(({ labels, annotations }) => `${labels.site}: ${annotations.summary}`);
  expect(await cut()).toEqual([]);
  sites.link.cut();
  const fired = { what: "that the alert fires", timeoutMs: 20_000, everyMs: 100 };
  expect(await eventually(cut, (alerts) => alerts.length > 0, fired)).toEqual(["ccat: Main does not answer site ccat"]);
  sites.link.heal();
  await eventually(cut, (alerts) => alerts.length === 0, { ...fired, what: "that the alert ends" });
});

function sample(): MutationInit {
  samples += 1;
  const at = time(new Date(Date.UTC(2026, 0, 1, 0, 0, samples)));
  return upsert("weather_samples", { station: text("metrics"), sampled_at: at, pwv_mm: double(1) });
}

async function writeHome(): Promise<void> {
  await site.write([sample()], { waitFor: WriteState.REPLICATED });
}

async function exposed(): Promise<Map<string, ExposedMetric>> {
  const response = await fetch(`${sites.secondary.baseUrl}/metrics`, { headers: { connection: "close" } });
  return parseExposition(await response.text());
}

async function seriesOf(baseUrl: string): Promise<string[]> {
  const response = await fetch(`${baseUrl}/metrics`, { headers: { connection: "close" } });
  const lines = (await response.text()).split("\n").filter((line) => /^(opsdb|grpc_server)_/.test(line));
  return lines.map((line) => line.replace(/ \S+$/, "")).sort();
}

function onlyValue(metrics: Map<string, ExposedMetric>, name: string, labels: Record<string, string> = {}): number {
  const all = [...metrics.values()].flatMap(({ series }) => series);
  const found = all.filter(
    (each) => each.name === name && Object.entries(labels).every(([label, value]) => each.labels[label] === value),
  );
  if (found.length !== 1) throw new Error(`${found.length} series are ${name} ${JSON.stringify(labels)}`);
  return found[0]?.value ?? Number.NaN;
}
