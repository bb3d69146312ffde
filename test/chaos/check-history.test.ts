import { expect, test } from "vitest";
import { random } from "../support/random.ts";
import { checkHistory } from "./check-history.ts";
import { Ground } from "./check-history-ground.ts";
import { plantsInEnd } from "./check-history-plants-end.ts";
import { plantsInMainSite } from "./check-history-plants-main-site.ts";
import { plantsInOrder } from "./check-history-plants-order.ts";
import { plantsInReads } from "./check-history-plants-reads.ts";
import type { Event } from "./history.ts";
import { modelRun } from "./model-run.ts";

const plants = [...plantsInOrder, ...plantsInReads, ...plantsInEnd, ...plantsInMainSite];

/** So many times each violation is planted, and in so many records a place for it is looked for. */
const PLANTED = 15;
const RECORDS = 60;

const records = new Map<number, Event[]>();

function record(seed: number): Event[] {
  const events = records.get(seed) ?? modelRun({ seed, writes: 120, reads: 80 });
  records.set(seed, events);
  return structuredClone(events);
}

test("a run in which every promise was kept has no violation", () => {
  const happened = new Set<string>();
  for (let seed = 1; seed <= 400; seed++) {
    const events = modelRun({ seed, writes: 120, reads: 80 });
    expect(checkHistory(events), `seed ${seed}`).toEqual([]);
    for (const event of events) for (const what of happenedIn(event)) happened.add(what);
  }
  // Everything that the rules have to allow for did happen.
  expect([...happened].sort()).toEqual([
    "APPLIED",
    "REJECTED DATABASE_REFUSED",
    "REJECTED ROW_EXISTS",
    "REJECTED ROW_NOT_FOUND",
    "duplicate",
    "main read of main failed",
    "main read of main ok",
    "main write failed",
    "main write ok",
    "main write unknown",
    "poison shown until it is rejected",
    "processor IDLE",
    "processor RETRYING",
    "processor RUNNING",
    "secondary read of local failed",
    "secondary read of local ok",
    "secondary read of main failed",
    "secondary read of main ok",
    "secondary read of merged failed",
    "secondary read of merged flagged",
    "secondary read of merged ok",
    "secondary write failed",
    "secondary write ok",
    "secondary write unknown",
  ]);
});

function happenedIn(event: Event): string[] {
  switch (event.kind) {
    case "write":
      return [`${event.site} write ${event.outcome}`, ...(event.duplicate ? ["duplicate"] : [])];
    case "read":
      return [
        `${event.site} read of ${event.consistency} ${event.outcome}`,
        ...(event.bufferUnreachable ? ["secondary read of merged flagged"] : []),
        ...(event.rows.some(([key]) => key < 0) ? ["poison shown until it is rejected"] : []),
      ];
    case "status":
      return [`processor ${event.processor.state}`];
    case "fault":
      return [];
    case "final":
      return event.ledger.map(({ outcome, reason }) => (reason === null ? outcome : `${outcome} ${reason}`));
  }
}

test.each(plants)("$kind: $name", (plant) => {
  const missed: string[] = [];
  let planted = 0;
  for (let seed = 1; seed <= RECORDS && planted < PLANTED; seed++) {
    const ground = new Ground(record(seed), random(seed));
    if (!plant.into(ground)) continue; // there was no place in which it would surely have been a violation
    planted += 1;
    const found = checkHistory(ground.events).map(({ kind }) => kind);
    if (!found.includes(plant.kind)) missed.push(`seed ${seed}: found ${[...new Set(found)].join(", ") || "nothing"}`);
  }
  expect(missed).toEqual([]);
  expect(planted).toBe(PLANTED);
});

test("every kind of violation is planted, and its message begins with the promises that it breaks", () => {
  const messages = new Map<string, string>();
  for (const plant of plants)
    for (let seed = 1; seed <= RECORDS && !messages.has(plant.kind); seed++) {
      const ground = new Ground(record(seed), random(seed));
      if (!plant.into(ground)) continue;
      const found = checkHistory(ground.events).find(({ kind }) => kind === plant.kind);
      if (found) messages.set(found.kind, found.message);
    }
  expect(Object.fromEntries([...messages].map(([kind, message]) => [kind, message.split(":")[0]]).sort())).toEqual({
    both: "G2 both",
    diverged: "G2 G6 diverged",
    doubled: "G2 doubled",
    "inexact-read": "G6 inexact-read",
    invented: "G2 invented",
    lost: "G1 G2 lost",
    "not-drained": "G9 not-drained",
    "read-went-back": "G5 read-went-back",
    "refused-but-visible": "G2 refused-but-visible",
    reordered: "G3 reordered",
    "silent-stall": "G9 silent-stall",
    "stale-read": "G5 stale-read",
    "state-went-back": "G1 G2 state-went-back",
    torn: "G4 torn",
    "wrongly-applied": "G2 wrongly-applied",
    "wrongly-rejected": "G2 wrongly-rejected",
  });
});

test.each([
  ["a named state with a reason", { processor: { state: "RETRYING", reason: "read ECONNRESET" } }, 60_000],
  ["another process that drains", { processor: { state: "STANDBY", reason: "another process drains" } }, 60_000],
  ["nothing pending", { processor: { state: "IDLE", reason: "the buffer is empty" }, pendingWrites: 0 }, 60_000],
  ["idle, but not for long", { processor: { state: "IDLE", reason: "the buffer is empty" } }, 4_500],
  ["running, but not for long", { processor: { state: "RUNNING", reason: "" } }, 19_500],
])("what does not move is no silent stall: %s", (_, status, ms) => {
  const ground = new Ground(record(1), random(1));
  ground.sample(ms, status);
  expect(checkHistory(ground.events)).toEqual([]);
});

test("what moves, however slowly, is no silent stall", () => {
  const ground = new Ground(record(1), random(1));
  const { at, status } = ground.final;
  const idle = { processor: { state: "IDLE", reason: "the buffer is empty" }, pendingWrites: 1 };
  for (let ms = 1; ms < 60_000; ms += 500)
    ground.events.push({ ...status, ...idle, at: at + ms, appliedPosition: `${Math.floor(ms / 4_000)}-0` });
  expect(checkHistory(ground.events)).toEqual([]);
});

test("a lost update is not reported as two more violations because the row was deleted later with its older value", () => {
  const ground = new Ground(record(1), random(1));
  const { final } = ground;
  const changes = [
    { operation: "insert", key: 500, value: "last-0-0" },
    { operation: "update", key: 500, value: "last-1-0" },
    { operation: "delete", key: 500 },
  ] as const;
  for (const [i, change] of changes.entries()) {
    const at = final.at - 10 + i;
    ground.events.push({
      ...{ kind: "write", client: "last", site: "secondary", at, until: at + 0.5, outcome: "ok", poison: false },
      ...{ writeId: `last/${i}`, changes: [change] },
    });
    final.ledger.push({ writeId: `last/${i}`, position: `199999999999${i}-0`, outcome: "APPLIED", reason: null });
  }
  const effects = [
    { operation: "INSERT", key: 500, value: "last-0-0", transaction: "last 0" },
    { operation: "UPDATE", key: 500, value: "last-1-0", transaction: "last 1" },
    { operation: "DELETE", key: 500, value: "last-1-0", transaction: "last 2" },
  ] as const;
  const before = final.effects;
  final.effects = [...before, ...effects];
  expect(checkHistory(ground.events)).toEqual([]);
  final.effects = [...before, effects[0], { ...effects[2], value: "last-0-0" }];
  const found = checkHistory(ground.events);
  expect(found.map(({ kind, writeIds }) => [kind, writeIds])).toEqual([["lost", ["last/1"]]]);
});

test("what the site did while its status was silent is not known", () => {
  const idle = { processor: { state: "IDLE", reason: "the buffer is empty" } };
  const ground = new Ground(record(1), random(1));
  const { at } = ground.final;
  for (let ms = 1; ms < 30_000; ms += 2_500)
    ground.events.push({ ...ground.final.status, pendingWrites: 1, ...idle, at: at + ms });
  expect(checkHistory(ground.events)).toEqual([]);
  expect(checkHistory(ground.events, { silenceMs: 3_000 }).map(({ kind }) => kind)).toContain("silent-stall");
});

test("an id that was rejected as used before needs nothing wrong with its rows", () => {
  const ground = new Ground(record(1), random(1));
  const position = "1999999999999-0";
  const at = ground.final.at - 1;
  ground.events.push({
    ...{ kind: "write", client: "again", site: "secondary", at, until: at, outcome: "ok", state: "REJECTED", position },
    ...{ writeId: "again/1", changes: [{ operation: "upsert", key: 1, value: "again-1-0" }], poison: false },
  });
  const row = { writeId: "again/1", position, outcome: "REJECTED" as const, reason: "WRITE_ID_REUSED" };
  ground.final.ledger.push(row);
  expect(checkHistory(ground.events)).toEqual([]);
  row.reason = "CHECK_VIOLATION";
  expect(checkHistory(ground.events).map(({ kind }) => kind)).toEqual(["wrongly-rejected"]);
});

test("twenty thousand writes and five thousand reads are checked in one go", () => {
  const events = modelRun({ seed: 1, writes: 20_000, reads: 5_000, keys: 300 });
  const started = performance.now();
  expect(checkHistory(events)).toEqual([]);
  const reads = events.filter(({ kind }) => kind === "read").length;
  const writes = events.filter(({ kind }) => kind === "write").length;
  console.log(`${writes} writes and ${reads} reads checked in ${Math.round(performance.now() - started)} ms`);
});
