import { randomUUID } from "node:crypto";
import { parseArgs } from "node:util";
import { ComparisonOperator, Consistency } from "../gen/ts/opsdb/v1/query_pb.ts";
import { PartState, type ReplicationStatus } from "../gen/ts/opsdb/v1/replication_pb.ts";
import type { Value } from "../gen/ts/opsdb/v1/value_pb.ts";
import { WriteState } from "../gen/ts/opsdb/v1/write_pb.ts";
import { sql } from "../test/support/sql.ts";
import { secondarySiteName, startTwoSite, type TwoSite } from "../test/support/two-site.ts";
import { ExpectedRows } from "./expected-rows.ts";
import { insert, remove, update, upsert } from "./mutations.ts";
import { type Acknowledged, type MutationInit, type Row, SiteClient } from "./site-client.ts";
import { stopSignal } from "./stop-signal.ts";
import { ms, quantile, Story } from "./story.ts";
import { bytes, double, integer, json, list, numeric, text, time, uuid } from "./values.ts";

const { values: options } = parseArgs({ options: { "round-trip": { type: "string", default: "220" } } });
const roundTripMs = Number(options["round-trip"]);

const orionMap = "0b500000-0000-4000-8000-000000000001";
const uranusMap = "0b500000-0000-4000-8000-000000000004";
const chai = "15700000-0000-4000-8000-000000000002";
const observationId = randomUUID();
const packageId = randomUUID();
const tables = ["executed_obs_units", "raw_data_packages", "raw_data_files", "weather_samples"] as const;

const story = new Story();
const expected = new ExpectedRows({ weather_samples: ["station", "sampled_at"] });
/** Ids of this night's acknowledged writes, in the order of their acknowledgements. */
const acknowledged: string[] = [];
const latencies: number[] = [];

const interrupted = stopSignal().then(() => "interrupted" as const);
const outcome = await Promise.race([night(), interrupted]);
if (outcome === "interrupted") process.exit(130);
story.end();
process.exitCode = story.failed === 0 ? 0 : 1;

async function night(): Promise<void> {
  await using stack = new AsyncDisposableStack();
  story.chapter("Two sites");
  const begin = performance.now();
  const sites = stack.use(
    await startTwoSite({ roundTripMs, fsync: true, env: { secondary: { MAIN_TIMEOUT_MS: "3000" } } }),
  );
  const far = stack.use(new SiteClient(sites.secondary.baseUrl));
  const cologne = stack.use(new SiteClient(sites.main.baseUrl));
  story.tell(
    `primary and main API in Cologne; replica, Redis and API at the telescope; up in ${ms(performance.now() - begin)}`,
  );
  story.tell(`the link between them takes ${roundTripMs} ms there and back, for the WAL stream too`);

  await dusk(far, cologne);
  await observationBegins(far);
  await observationEnds(far);
  const { lost, refusedId } = await linkIsCut(sites, far, cologne);
  await linkHeals(sites, far, { lost, refusedId });
  await morning(sites, far, cologne, refusedId);
}

/** Also warms everything up: a first call pays for connections and for plans. */
async function dusk(far: SiteClient, cologne: SiteClient): Promise<void> {
  story.chapter("18:30, dusk: the weather station reports");
  await cologne.query("telescopes");
  for (let minute = 0; minute < 10; minute++) {
    await write(far, [weather(minute - 600)]);
    await ofThisNight(far, "weather_samples");
  }
  const last = await write(far, [weather(-590)], WriteState.REPLICATED);
  story.tell(`the last sample's answer was asked to wait until the replica has it: ${ms(last.ms)}`);
  story.same("it did", last.response.status?.state, WriteState.REPLICATED);
  const local = await ofThisNight(far, "weather_samples", Consistency.LOCAL);
  story.same(
    "the replica alone has all samples",
    expected.seen("weather_samples", local.rows),
    expected.of("weather_samples"),
  );
  latencies.length = 0;
}

async function observationBegins(far: SiteClient): Promise<void> {
  story.chapter("22:14, Orion KL rises: observation, package and files in one atomic write");
  const mutations = [
    insert("executed_obs_units", {
      id: uuid(observationId),
      obs_unit_id: uuid(orionMap),
      instrument_id: uuid(chai),
      start_time: time(new Date("2026-11-20T01:14:07.250Z")),
      mean_pwv_mm: numeric("0.415"),
      tau: double(0.0421),
      azimuth_deg: double(71.25),
      elevation_deg: double(48.5),
      module_numbers: list([integer(1), integer(2)]),
      observer: text("night shift"),
      conditions: json({ wind_m_s: 4.2, cloud: "none" }),
    }),
    insert("raw_data_packages", {
      id: uuid(packageId),
      executed_obs_unit_id: uuid(observationId),
      name: text(`OrionKL_${observationId.slice(0, 8)}.tar`),
    }),
    ...[201, 202, 203].map(rawFile),
  ];
  const { response, ms: took } = await write(far, mutations);
  const id = response.status?.writeId ?? "";
  const begin = performance.now();
  story.tell(`acknowledged after ${ms(took)}: ${mutations.length} rows, write ${id}`);
  story.same("the write is accepted", response.status?.state, WriteState.ACCEPTED);
  story.holds(
    "the acknowledgement did not wait for the link",
    took < roundTripMs || roundTripMs < 50,
    `${ms(took)} at a round trip of ${roundTripMs} ms`,
  );

  const [merged, local] = await Promise.all([files(far), files(far, Consistency.LOCAL)]);
  story.tell(`merged read after ${ms(merged.ms)}, with ${merged.header.pendingWrites} pending write`);
  story.tell(`the replica alone knows ${local.rows.length} of the files yet`);
  story.same(
    "the merged read has the rows as acknowledged",
    expected.seen("raw_data_files", merged.rows),
    expected.of("raw_data_files"),
  );

  const states: WriteState[] = [];
  for await (const state of far.follow(id)) {
    if (states.at(-1) === state) continue;
    states.push(state);
    story.tell(`WatchReplication: ${nameOf(state)} ${ms(performance.now() - begin)} after the acknowledgement`);
  }
  story.same("the write was followed home", states.slice(-2), [WriteState.APPLIED, WriteState.REPLICATED]);
  const replicated = await files(far, Consistency.LOCAL);
  story.same(
    "the replica alone has the rows now",
    expected.seen("raw_data_files", replicated.rows),
    expected.of("raw_data_files"),
  );
}

async function observationEnds(far: SiteClient): Promise<void> {
  story.chapter("22:59, the observation ends: an update, and a reader who asks all the time");
  const { response, ms: took } = await write(far, [
    update(
      "executed_obs_units",
      { id: uuid(observationId) },
      { status: text("COMPLETED"), end_time: time(new Date("2026-11-20T01:59:31.125Z")) },
    ),
    update("raw_data_packages", { id: uuid(packageId) }, { state: text("READY"), size_bytes: integer(3_221_225_472n) }),
  ]);
  story.tell(`acknowledged after ${ms(took)}`);
  let home = false;
  const followed = (async () => {
    for await (const state of far.follow(response.status?.writeId ?? "")) home = state === WriteState.REPLICATED;
  })();
  const wanted = JSON.stringify(expected.of("executed_obs_units"));
  let [reads, wrong, after] = [0, 0, 0];
  // Some reads go on after the replica has it, so that the moment of the change lies within.
  while (after < 10) {
    const { rows } = await far.query("executed_obs_units", { where: equals("id", uuid(observationId)) });
    reads += 1;
    if (JSON.stringify(expected.seen("executed_obs_units", rows)) !== wanted) wrong += 1;
    if (home) after += 1;
  }
  await followed;
  story.tell(`${reads} merged reads while the update went to Cologne and came back`);
  story.same("not one of them showed anything else than what was acknowledged", wrong, 0);
}

async function linkIsCut(
  sites: TwoSite,
  far: SiteClient,
  cologne: SiteClient,
): Promise<{ lost: number; refusedId: string }> {
  story.chapter("01:30, the link is cut: nothing arrives, nobody is told");
  sites.link.cut({ mode: "blackhole" });
  const lost = performance.now();
  const firstOfCut = latencies.length;
  let [reads, wrong] = [0, 0];
  for (let n = 0; n < 100; n++) {
    await write(far, duringTheCut(n));
    if (n % 5 !== 4) continue;
    for (const table of tables) {
      const result = await ofThisNight(far, table);
      reads += 1;
      if (JSON.stringify(expected.seen(table, result.rows)) !== JSON.stringify(expected.of(table))) wrong += 1;
    }
  }
  const times = latencies.slice(firstOfCut);
  story.tell(
    `100 writes: half of them acknowledged within ${ms(quantile(times, 0.5))}, 99% within ${ms(quantile(times, 0.99))}, all within ${ms(Math.max(...times))}`,
  );
  story.same(`each of ${reads} merged reads was right`, wrong, 0);
  const local = await files(far, Consistency.LOCAL);
  story.tell(`the replica is as of the cut: ${local.rows.length} of ${expected.of("raw_data_files").length} files`);
  story.same("the writes are only at this site", await far.stateOf(acknowledged.at(-1) ?? ""), WriteState.ACCEPTED);

  const fresh = await cologne.write([
    update("obs_units", { id: uuid(uranusMap) }, { phase: text("done") }),
    insert("data_locations", { name: text("Tape 7"), site: text("cologne"), base_path: text("/tape/7") }),
  ]);
  story.tell(`Cologne goes on as well: its write is ${nameOf(fresh.response.status?.state)} after ${ms(fresh.ms)}`);
  const refused = await far.write([
    insert("data_locations", { name: text("Tape 7"), site: text("ccat"), base_path: text("/tape/7") }),
  ]);
  story.tell("and the telescope names a new tape as Cologne just did, which nobody there can know");

  await statusUntil(far, "the site says why it does not drain", (status) => {
    const { reason, state } = status.main?.connection ?? {};
    if (state !== PartState.RETRYING || !reason) return undefined;
    return `after ${ms(performance.now() - lost)} the site says of main: ${reason}; ${status.buffer?.pendingWrites} writes pending`;
  });
  return { lost, refusedId: refused.response.status?.writeId ?? "" };
}

async function linkHeals(sites: TwoSite, far: SiteClient, cut: { lost: number; refusedId: string }): Promise<void> {
  story.chapter(`04:10, the link heals, after ${ms(performance.now() - cut.lost)} of the demo's time`);
  const begin = performance.now();
  sites.link.heal();
  const last = acknowledged.at(-1) ?? "";
  const states: WriteState[] = [];
  for await (const state of far.follow(last)) {
    if (states.at(-1) === state) continue;
    states.push(state);
    story.tell(`WatchReplication: the last write is ${nameOf(state)} after ${ms(performance.now() - begin)}`);
  }
  story.same("the last write went from ACCEPTED to REPLICATED in order", states, states.toSorted());
  story.same("and was APPLIED in between", states.slice(-2), [WriteState.APPLIED, WriteState.REPLICATED]);
  let refusal: WriteState | undefined;
  for await (const state of far.follow(cut.refusedId)) refusal = state;
  story.same("the tape's second name was rejected, not lost", refusal, WriteState.REJECTED);
  await statusUntil(far, "the buffer is empty", (status) => {
    const { pendingWrites, overlayWrites } = status.buffer ?? {};
    if (pendingWrites !== 0n || overlayWrites !== 0n) return undefined;
    return `buffer and overlay are empty after ${ms(performance.now() - begin)}`;
  });
}

async function morning(sites: TwoSite, far: SiteClient, cologne: SiteClient, refusedId: string): Promise<void> {
  story.chapter("Morning: every row is compared with what was acknowledged");
  for (const table of tables) {
    const [atMain, replica, merged] = await Promise.all([
      ofThisNight(cologne, table),
      ofThisNight(far, table, Consistency.LOCAL),
      ofThisNight(far, table),
    ]);
    const rows = expected.of(table);
    story.same(`${table}: main has the ${rows.length} acknowledged rows`, expected.seen(table, atMain.rows), rows);
    story.same(`${table}: so has the replica`, expected.seen(table, replica.rows), rows);
    story.same(`${table}: so has the merged read`, expected.seen(table, merged.rows), rows);
  }
  const unit = await far.query("obs_units", { columns: ["phase"], where: equals("id", uuid(uranusMap)) });
  story.same(
    "what Cologne changed during the cut is here",
    unit.rows.map((row) => row.phase?.kind.value),
    ["done"],
  );
  const tapes = await far.query("data_locations", { columns: ["site"], where: equals("name", text("Tape 7")) });
  story.same(
    "and the tape is Cologne's",
    tapes.rows.map((row) => row.site?.kind.value),
    ["cologne"],
  );

  const ledger = await sql<{ write_id: string; outcome: string }>(
    sites.urls.main,
    `select write_id, outcome from opsdb.ledger where site = $1
     order by split_part(position, '-', 1)::numeric, split_part(position, '-', 2)::numeric`,
    [secondarySiteName],
  );
  const applied = ledger.filter(({ outcome }) => outcome === "APPLIED").map(({ write_id }) => write_id);
  story.same(
    `${acknowledged.length} writes took effect on main, each once, in the order of their acknowledgements`,
    applied,
    acknowledged,
  );
  const rejected = ledger.filter(({ outcome }) => outcome === "REJECTED").map(({ write_id }) => write_id);
  story.same("one was rejected", rejected, [refusedId]);
}

/** Waits for the status of which there is something to tell. */
async function statusUntil(
  far: SiteClient,
  what: string,
  find: (status: ReplicationStatus) => string | undefined,
): Promise<void> {
  const done = new AbortController();
  let found: string | undefined;
  try {
    for await (const status of far.statuses(AbortSignal.any([done.signal, AbortSignal.timeout(60_000)]))) {
      found = find(status);
      if (found !== undefined) break;
    }
  } catch (error) {
    story.tell(`the watch ended: ${error}`);
  } finally {
    done.abort();
  }
  if (found !== undefined) story.tell(found);
  story.holds(what, found !== undefined);
}

/** Writes, and keeps what the answer promises. */
async function write(
  far: SiteClient,
  mutations: MutationInit[],
  waitFor: WriteState = WriteState.ACCEPTED,
): Promise<Acknowledged> {
  const answer = await far.write(mutations, { waitFor });
  expected.apply(mutations, answer.response);
  acknowledged.push(answer.response.status?.writeId ?? "");
  latencies.push(answer.ms);
  return answer;
}

/** Files, weather, corrections and removals, as they come in a night. */
function duringTheCut(n: number): MutationInit[] {
  const observation = { id: uuid(observationId) };
  switch (n % 5) {
    case 0:
      return [weather(n)];
    case 1:
      return [update("executed_obs_units", observation, { remark: text(`checked ${n} times`), tau: double(n / 1000) })];
    case 2:
      // Every second sample is taken back.
      return n % 10 === 2 ? [rawFile(n), remove("weather_samples", sampleKey(n - 2))] : [rawFile(n)];
    case 3:
      return [rawFile(n), update("raw_data_packages", { id: uuid(packageId) }, { size_bytes: integer(3e9 + n) })];
    default:
      return [rawFile(n)];
  }
}

function weather(minute: number): MutationInit {
  return upsert("weather_samples", {
    ...sampleKey(minute),
    temperature_c: numeric("-7.25"),
    wind_speed_m_s: double(4.5),
    pwv_mm: double(0.4 + minute / 10_000),
  });
}

function sampleKey(minute: number): Row {
  return { station: text("cerro"), sampled_at: time(new Date(Date.parse("2026-11-20T04:30:00Z") + minute * 60_000)) };
}

function rawFile(n: number): MutationInit {
  const name = `chai_${String(n).padStart(5, "0")}.fits`;
  return insert("raw_data_files", {
    executed_obs_unit_id: uuid(observationId),
    raw_data_package_id: uuid(packageId),
    name: text(name),
    relative_path: text(`2026-11-20/${name}`),
    size_bytes: integer(1_073_741_824 + n),
    checksum: bytes(new Uint8Array(32).fill(n)),
    tags: list([text("orion"), text("[CI]")]),
    metadata: json({ scan: n, backend: "xFFTS" }),
  });
}

function files(client: SiteClient, consistency: Consistency = Consistency.MERGED) {
  return ofThisNight(client, "raw_data_files", consistency);
}

function ofThisNight(
  client: SiteClient,
  table: (typeof tables)[number],
  consistency: Consistency = Consistency.UNSPECIFIED,
) {
  const where = {
    executed_obs_units: equals("id", uuid(observationId)),
    raw_data_packages: equals("id", uuid(packageId)),
    raw_data_files: equals("executed_obs_unit_id", uuid(observationId)),
    weather_samples: equals("station", text("cerro")),
  }[table];
  return client.query(table, { where, consistency });
}

function equals(column: string, value: Value) {
  return { condition: { case: "comparison" as const, value: { column, operator: ComparisonOperator.EQUAL, value } } };
}

function nameOf(state: WriteState | undefined): string {
  return Object.entries(WriteState).find(([, value]) => value === state)?.[0] ?? String(state);
}
