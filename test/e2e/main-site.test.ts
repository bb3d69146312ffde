import { randomUUID } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { insert, update, upsert } from "../../demo/mutations.ts";
import type { MutationInit } from "../../demo/site-client.ts";
import { double, integer, text, time } from "../../demo/values.ts";
import { Consistency } from "../../gen/ts/opsdb/v1/query_pb.ts";
import { MutationSchema, type PreconditionSchema, WriteState } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { sql } from "../support/sql.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";
import { equals, refusal, SiteCaller } from "./site-caller.ts";

let sites: TwoSite;
let main: SiteCaller;
let secondary: SiteCaller;
/** A station of the test's own. */
let station = "";
let tests = 0;

beforeAll(async () => {
  sites = await startTwoSite();
  main = new SiteCaller(sites.main);
  secondary = new SiteCaller(sites.secondary);
});

beforeEach(() => {
  station = `station ${tests++}`;
});

afterEach(async () => {
  sites.link.heal();
  await sites.standby.resumeReplay();
});

afterAll(async () => {
  main?.[Symbol.dispose]();
  secondary?.[Symbol.dispose]();
  await sites?.[Symbol.asyncDispose]();
});

test("G2: ten callers with one write id are one write, and all get its answer", async () => {
  const writeId = randomUUID();
  const answers = await Promise.all(Array.from({ length: 10 }, () => main.write([sample(1)], { writeId })));
  expect(answers.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
  for (const { status, rows } of answers) {
    expect(status).toMatchObject({ writeId, site: "cologne", state: WriteState.REPLICATED });
    expect(rows[0]?.values.station).toEqual(text(station));
  }
  expect(new Set(answers.map(({ status }) => status?.lsn)).size).toBeLessThanOrEqual(2);
  expect(await stored()).toEqual([1]);
  const again = await main.write([sample(1)], { writeId });
  expect(again.duplicate).toBe(true);
  expect(await ledgerRows(writeId)).toBe(1);
});

test("G2: of ten callers with one write id and other contents one is taken, the rest are refused", async () => {
  const writeId = randomUUID();
  const calls = Array.from({ length: 10 }, (_, n) => main.write([sample(n)], { writeId }));
  const outcomes = await Promise.allSettled(calls);
  const taken = outcomes.flatMap(({ status }, n) => (status === "fulfilled" ? [n] : []));
  expect(taken).toHaveLength(1);
  const refused = calls.filter((_, n) => !taken.includes(n)).map((call) => refusal(call));
  for (const each of await Promise.all(refused))
    expect(each).toMatchObject({ code: "AlreadyExists", reason: "WRITE_ID_REUSED", field: "write_id" });
  expect(await stored()).toEqual(taken);
});

test("G4: a write whose last mutation fails leaves nothing, not even its id", async () => {
  const writeId = randomUUID();
  const twice = [sample(1), sample(2), insert("weather_samples", key(1))];
  expect(await refusal(main.write(twice, { writeId }))).toMatchObject({ code: "AlreadyExists", reason: "ROW_EXISTS" });
  expect(await stored()).toEqual([]);
  expect(await refusal(main.writes.getWrite({ writeId }))).toMatchObject({ reason: "WRITE_NOT_FOUND" });
  const answer = await main.write([sample(1), sample(2)], { writeId });
  expect(answer.duplicate).toBe(false);
  expect(await stored()).toEqual([1, 2]);
});

test("G4: a reader at main sees all mutations of a write or none", async () => {
  let writing = true;
  const torn: unknown[] = [];
  const reader = (async () => {
    while (writing) {
      const { rows } = await main.query("weather_samples", { columns: ["pwv_mm"], where: here() });
      const values = new Set(rows.map(({ pwv_mm }) => pwv_mm?.kind.value));
      if (rows.length !== 0 && (rows.length !== 3 || values.size !== 1)) torn.push(rows);
    }
  })();
  for (let round = 0; round < 50; round++) await main.write([1, 2, 3].map((n) => sample(n, round)));
  writing = false;
  await reader;
  expect(torn).toEqual([]);
});

const unmet: [what: string, mutation: () => MutationInit, condition: Condition][] = [
  ["a column with another value", () => changed(), { case: "columnsEqual", value: { values: { pwv_mm: double(4) } } }],
  ["a row that must not exist", () => sample(1, 7), { case: "rowExists", value: false }],
  ["a row that must exist", () => sample(2, 7), { case: "rowExists", value: true }],
];

test.each(unmet)(
  "a precondition that does not hold fails the write at once: %s",
  async (_what, mutation, condition) => {
    await main.write([sample(1, 5)]);
    const write = [sample(3), onlyIf(mutation(), condition)];
    expect(await refusal(main.write(write))).toMatchObject({
      code: "FailedPrecondition",
      reason: "PRECONDITION_FAILED",
      field: expect.stringMatching(/^mutations\[1\]/),
    });
    expect(await stored()).toEqual([1]);
  },
);

test.each(unmet)("main rejects a secondary site's write for it: %s", async (_what, mutation, condition) => {
  await secondary.home((await main.write([sample(1, 5)])).status?.writeId);
  const { status } = await secondary.write([sample(3), onlyIf(mutation(), condition)], { waitFor: WriteState.APPLIED });
  expect(status).toMatchObject({ state: WriteState.REJECTED, rejection: { reason: "PRECONDITION_FAILED" } });
  expect(await stored()).toEqual([1]);
});

test("a precondition that holds lets the write through", async () => {
  await main.write([sample(1, 5)]);
  const condition: Condition = { case: "columnsEqual", value: { values: { pwv_mm: double(5) } } };
  await main.write([onlyIf(changed(), condition), onlyIf(sample(2), { case: "rowExists", value: false })]);
  expect(await stored()).toEqual([1, 2]);
});

test("a foreign key and a unique constraint are told with their reason", async () => {
  const orphan = insert("data_locations", {
    name: text("Cologne long-term archive"),
    site: text("x"),
    base_path: text("/"),
  });
  expect(await refusal(main.write([orphan]))).toMatchObject({ code: "AlreadyExists", reason: "UNIQUE_VIOLATION" });
  const childless = insert("telescopes", {
    observatory_id: text("00000000-0000-4000-8000-00000000dead"),
    name: text("nowhere"),
    aperture_m: integer(1),
  });
  expect(await refusal(main.write([childless]))).toMatchObject({
    code: "FailedPrecondition",
    reason: "FOREIGN_KEY_VIOLATION",
  });
});

test("keys that the database makes come back with the row", async () => {
  const source = (name: string) =>
    insert("sources", { name: text(name), ra_deg: double(10.5), dec_deg: double(-20.25) });
  const { rows } = await main.write([source(`${station} a`), source(`${station} b`)]);
  const ids = rows.map(({ values }) => values.id?.kind.value);
  const found = await sql<{ id: string }>(
    sites.urls.main,
    "select id::text from sources where name like $1 order by name",
    [`${station} %`],
  );
  expect(ids.map(String)).toEqual(found.map(({ id }) => id));
  expect(new Set(ids).size).toBe(2);
});

test("G10: a secondary site's read with the token of a main write waits for that write", async () => {
  await sites.standby.pauseReplay();
  const { token } = await main.write([sample(1)]);
  const waiting = [Consistency.MERGED, Consistency.LOCAL].map((consistency) =>
    secondary.query("weather_samples", { where: here(), consistency, token }),
  );
  // Without the token it is not there, so that it is the token that is waited for.
  expect((await secondary.query("weather_samples", { where: here() })).rows).toEqual([]);
  const impatient = secondary.queries.query({ table: "weather_samples", where: here(), token }, { timeoutMs: 200 });
  expect((await refusal(Array.fromAsync(impatient))).code).toBe("DeadlineExceeded");
  await sites.standby.resumeReplay();
  for (const { rows } of await Promise.all(waiting)) expect(rows).toHaveLength(1);
});

test("G10: a main site's read with the token of a secondary write waits for that write", async () => {
  sites.link.cut();
  const { token, status } = await secondary.write([sample(1)]);
  expect(status?.state).toBe(WriteState.ACCEPTED);
  const waiting = main.query("weather_samples", { where: here(), token });
  expect((await main.query("weather_samples", { where: here() })).rows).toEqual([]);
  const impatient = main.queries.query({ table: "weather_samples", where: here(), token }, { timeoutMs: 200 });
  expect((await refusal(Array.fromAsync(impatient))).code).toBe("DeadlineExceeded");
  sites.link.heal();
  expect((await waiting).rows).toHaveLength(1);
});

test("G10: a token of a read at main is honoured at the secondary site", async () => {
  await sites.standby.pauseReplay();
  await main.write([sample(1)]);
  const { header } = await main.query("weather_samples", { where: here() });
  const waiting = secondary.query("weather_samples", { where: here(), token: header.token });
  await sites.standby.resumeReplay();
  expect((await waiting).rows).toHaveLength(1);
});

test("the outcome of a write is told at the other site as well", async () => {
  const atMain = await main.write([sample(1)]);
  const { status: seen } = await secondary.writes.getWrite({ writeId: atMain.status?.writeId ?? "" });
  expect(seen).toMatchObject({ writeId: atMain.status?.writeId, site: "cologne" });
  expect([WriteState.APPLIED, WriteState.REPLICATED]).toContain(seen?.state);
  await secondary.home(atMain.status?.writeId);

  const far = await secondary.write([sample(2)], { waitFor: WriteState.APPLIED });
  const { status } = await main.writes.getWrite({ writeId: far.status?.writeId ?? "" });
  expect(status).toMatchObject({ site: "ccat", position: far.status?.position });
  expect(await main.follow(far.status?.writeId)).toEqual([WriteState.REPLICATED]);
});

test("G2: a write that a secondary site has taken is not taken again at main", async () => {
  const writeId = randomUUID();
  await secondary.home((await secondary.write([sample(1)], { writeId })).status?.writeId);
  const again = await main.write([sample(1)], { writeId });
  expect(again).toMatchObject({ duplicate: true, status: { site: "ccat" } });
  expect(await refusal(main.write([sample(2)], { writeId }))).toMatchObject({ reason: "WRITE_ID_REUSED" });
  expect(await ledgerRows(writeId)).toBe(1);
});

function key(n: number) {
  return { station: text(station), sampled_at: time(new Date(n * 1_000)) };
}

function sample(n: number, pwv = n): MutationInit {
  return upsert("weather_samples", { ...key(n), pwv_mm: double(pwv) });
}

function changed(): MutationInit {
  return update("weather_samples", key(1), { pwv_mm: double(6) });
}

type Condition = NonNullable<MessageInitShape<typeof PreconditionSchema>["condition"]>;

function onlyIf(mutation: MutationInit, condition: Condition): MutationInit {
  const { $typeName, ...conditional } = create(MutationSchema, mutation);
  return { ...conditional, preconditions: [{ condition }] };
}

function here() {
  return equals("station", text(station));
}

/** Numbers of the test's samples on main. */
async function stored(): Promise<number[]> {
  const rows = await sql<{ n: number }>(
    sites.urls.main,
    "select extract(epoch from sampled_at)::int as n from weather_samples where station = $1 order by n",
    [station],
  );
  return rows.map(({ n }) => n);
}

async function ledgerRows(writeId: string): Promise<number> {
  return (await sql(sites.urls.main, "select 1 from opsdb.ledger where write_id = $1", [writeId])).length;
}
