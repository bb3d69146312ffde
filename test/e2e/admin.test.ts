import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { userInfo } from "node:os";
import { join } from "node:path";
import { text as textOf } from "node:stream/consumers";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { insert } from "../../demo/mutations.ts";
import type { MutationInit } from "../../demo/site-client.ts";
import { integer, show, text } from "../../demo/values.ts";
import { MutationOperation, type RejectedWrite, ResolutionKind } from "../../gen/ts/opsdb/v1/admin_pb.ts";
import { PartState } from "../../gen/ts/opsdb/v1/replication_pb.ts";
import { WriteState, type WriteStatus } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { eventually } from "../support/eventually.ts";
import { sql } from "../support/sql.ts";
import { secondarySiteName, startTwoSite, type TwoSite } from "../support/two-site.ts";
import { equals, refusal, SiteCaller } from "./site-caller.ts";

/** Each run of the program is a process of its own. */
const slowly = { timeout: 120_000 };
const anna = { operator: "anna", reason: "the link is being mended" };
const ben = { operator: "ben", reason: "a test row" };
/** The secondary site's records, in the order in which they reached main. */
const actionsInOrder = `select a.action, a.operator, a.reason, a.write_id, a.new_write_id, a.site
  from opsdb.operator_action a join opsdb.ledger l on l.write_id = a.id and l.position is not null
  order by split_part(l.position, '-', 1)::numeric, split_part(l.position, '-', 2)::numeric`;

let sites: TwoSite;
let site: SiteCaller;
let main: SiteCaller;
/** Keys of the rows that tests make. */
let next = 1;

beforeAll(async () => {
  sites = await startTwoSite({ env: { secondary: { PROCESSOR_LEASE_MS: "1000", MAIN_TIMEOUT_MS: "2000" } } });
  // Whatever takes effect is noted, so that something applied twice cannot hide.
  await sql(
    sites.urls.main,
    `create table readings (id int primary key, sensor text, level int check (level >= 0));
     create unique index readings_sensor on readings (sensor);
     create table effects (n bigint generated always as identity primary key, id int);
     create function note_effect() returns trigger language plpgsql as $$
       begin insert into effects (id) values (new.id); return new; end $$;
     create trigger note_effect after insert or update on readings for each row execute function note_effect()`,
  );
  await sites.standby.caughtUp();
  site = new SiteCaller(sites.secondary);
  main = new SiteCaller(sites.main);
  for (const { catalog } of [site, main])
    await eventually(() => catalog.describeTable({ table: "readings" }), undefined, {
      timeoutMs: 10_000,
      what: "that the catalog has the table",
    });
});

beforeEach(async () => {
  await sites.secondary.ready();
});

afterAll(async () => {
  site?.[Symbol.dispose]();
  main?.[Symbol.dispose]();
  await sites?.[Symbol.asyncDispose]();
});

test("a pause through any server stops the drain of the site, writes go on, and it outlasts restarts", async () => {
  await using server = await started("pausing");
  using other = new SiteCaller(server);
  const holder = await drains(site, other);
  const bystander = holder === site ? other : site;
  const { pause } = await bystander.admin.pauseDrain(anna);
  expect(pause).toMatchObject(anna);
  for (const each of [site, other]) {
    const { processor } = await each.statusUntil((status) => status.processor?.state?.state === PartState.PAUSED);
    expect(processor?.state).toMatchObject({ reason: "paused by anna: the link is being mended", since: pause?.since });
  }
  const ids = [];
  for (const each of [site, other, site, other]) ids.push(await made(each));
  expect((await merged(ids)).header.pendingWrites).toBeGreaterThanOrEqual(4n);

  await Promise.all([sites.secondary.restart(), server.restart()]);
  await Promise.all([sites.secondary.ready(), server.ready()]);
  await site.statusUntil((status) => status.processor?.state?.state === PartState.PAUSED);
  ids.push(await made(other));
  await merged(ids);
  expect(await effects(ids)).toEqual([]);
  expect(await metrics()).toMatch(/^opsdb_part_state\{part="processor",state="PAUSED"\} 1$/m);

  expect((await other.admin.resumeDrain(ben)).ended).toMatchObject(anna);
  await made(site, { wait: true });
  expect(await effects(ids)).toEqual(ids);
  await site.statusUntil((status) => status.processor?.state?.state !== PartState.PAUSED);
  expect(await metrics()).toMatch(/^opsdb_part_state\{part="processor",state="PAUSED"\} 0$/m);
});

test("a pause that holds already stands, and ending none does nothing; neither is put on record", async () => {
  const before = await recorded();
  await using _resumed = resumedAtEnd();
  await site.admin.pauseDrain(anna);
  expect((await site.admin.pauseDrain(ben)).pause).toMatchObject(anna);
  await site.admin.resumeDrain(ben);
  const after = await recorded();
  expect((await site.admin.resumeDrain(ben)).ended).toBeUndefined();
  expect(await recorded()).toEqual(after);
  expect(after.slice(before.length)).toMatchObject([
    { action: "PAUSE_DRAIN", ...anna },
    { action: "RESUME_DRAIN", ...ben },
  ]);
});

test("G2: a rejected write is listed with reason and content, and retried twice through two servers takes effect once", async () => {
  await using server = await started("retrying");
  using other = new SiteCaller(server);
  const { rejected, id, sensor } = await poison();
  for (const each of [site, other, main]) {
    const [listed] = (await unresolved(each)).filter(({ status }) => status?.writeId === rejected);
    expect(listed).toMatchObject({
      status: {
        state: WriteState.REJECTED,
        site: secondarySiteName,
        rejection: { reason: "UNIQUE_VIOLATION", sqlstate: "23505", mutation: 0 },
      },
      mutations: [
        {
          table: "readings",
          operation: MutationOperation.INSERT,
          key: [{ column: "id", text: String(id) }],
          values: [{ column: "id", text: String(id) }, { column: "sensor", text: sensor }, { column: "level" }],
        },
      ],
    });
    expect(listed?.status?.appliedAt).toBeDefined();
    expect(listed?.mutations[0]?.values[2]?.text).toBeUndefined();
    expect(listed?.resolution).toBeUndefined();
  }

  await using _index = await withoutIndex();
  const retries = await Promise.all(
    [site, other, site].map((each) => each.admin.retryWrite({ ...anna, writeId: rejected })),
  );
  const [newId, ...more] = new Set(retries.map(({ status }) => status?.writeId));
  expect(more).toEqual([]);
  expect(newId).not.toBe(rejected);
  expect(retries.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
  await site.home(newId);
  for (const each of [site, other]) {
    const again = await each.admin.retryWrite({ ...ben, writeId: rejected });
    expect(again).toMatchObject({ duplicate: true, status: { writeId: newId } });
  }
  expect(await effects([id])).toEqual([id]);
  expect((await site.writes.getWrite({ writeId: rejected })).status?.state).toBe(WriteState.REJECTED);
  for (const each of [site, other, main]) {
    expect(idsOf(await unresolved(each))).not.toContain(rejected);
    const [listed] = (await all(each)).filter(({ status }) => status?.writeId === rejected);
    const how = { kind: ResolutionKind.RETRIED, newWriteId: newId, site: secondarySiteName, ...anna };
    expect(listed?.resolution).toMatchObject(how);
  }
  expect((await actionsOn(rejected)).map(({ action, new_write_id }) => [action, new_write_id])).toEqual([
    ["RETRY_WRITE", newId],
  ]);
});

test("a retry that main rejects as well is listed itself, and is retried in turn", async () => {
  const { rejected, id } = await poison();
  const first = await site.admin.retryWrite({ ...anna, writeId: rejected });
  expect((await site.follow(first.status?.writeId)).at(-1)).toBe(WriteState.REJECTED);
  const open = idsOf(await unresolved(site));
  expect(open).toContain(first.status?.writeId);
  expect(open).not.toContain(rejected);
  await using _index = await withoutIndex();
  const second = await site.admin.retryWrite({ ...anna, writeId: first.status?.writeId ?? "" });
  await site.home(second.status?.writeId);
  expect(await effects([id])).toEqual([id]);
});

test("a retry that must fail again is refused at once, and stays for another decision", async () => {
  await sql(sites.urls.main, "create table passing (id int primary key, sensor text unique)");
  await sites.standby.caughtUp();
  await site.write([insert("passing", { id: integer(1), sensor: text("a") })], { waitFor: WriteState.APPLIED });
  const { status } = await site.write([insert("passing", { id: integer(2), sensor: text("a") })]);
  const writeId = status?.writeId ?? "";
  expect((await site.follow(writeId)).at(-1)).toBe(WriteState.REJECTED);
  await sql(sites.urls.main, "alter table passing drop column sensor");
  await sites.standby.caughtUp();
  const retry = (): Promise<unknown> => site.admin.retryWrite({ ...anna, writeId });
  await eventually(
    () => site.catalog.describeTable({ table: "passing" }),
    ({ table }) => table?.columns.length === 1,
    { timeoutMs: 10_000, what: "that the catalog lacks the column" },
  );
  expect(await refusal(retry())).toMatchObject({ reason: "COLUMN_NOT_FOUND", field: "write_id" });
  await sql(sites.urls.main, "drop table passing");
  await sites.standby.caughtUp();
  await eventually(
    () => site.catalog.listTables({}),
    ({ tables }) => !tables.some(({ name }) => name === "passing"),
    { timeoutMs: 10_000, what: "that the catalog lacks the table" },
  );
  expect(await refusal(retry())).toMatchObject({ code: "NotFound", reason: "TABLE_NOT_FOUND", field: "write_id" });
  const [listed] = (await unresolved(site)).filter(({ status }) => status?.writeId === writeId);
  expect(listed?.mutations[0]).toMatchObject({ table: "public.passing", key: [{ column: "key 1", text: "2" }] });
  await site.admin.discardWrite({ ...ben, writeId });

  const { rejected, id } = await poison();
  await sql(sites.urls.main, "insert into readings (id, sensor) values ($1, 'mended by hand')", [id]);
  await sites.standby.caughtUp();
  const exists = await refusal(site.admin.retryWrite({ ...anna, writeId: rejected }));
  expect(exists).toMatchObject({ code: "AlreadyExists", reason: "ROW_EXISTS", field: "write_id" });
  await site.admin.discardWrite({ ...ben, writeId: rejected });
});

test("a discarded write is listed no more, is on record, and cannot be retried", async () => {
  const { rejected } = await poison();
  const { resolution } = await site.admin.discardWrite({ ...ben, writeId: rejected });
  expect(resolution).toMatchObject({ kind: ResolutionKind.DISCARDED, site: secondarySiteName, ...ben });
  expect(idsOf(await unresolved(site))).not.toContain(rejected);
  const [listed] = (await all(site)).filter(({ status }) => status?.writeId === rejected);
  expect(listed?.resolution).toMatchObject({ kind: ResolutionKind.DISCARDED, ...ben });
  expect((await site.admin.discardWrite({ ...anna, writeId: rejected })).resolution).toEqual(resolution);
  const retried = await refusal(site.admin.retryWrite({ ...anna, writeId: rejected }));
  expect(retried).toMatchObject({ code: "FailedPrecondition", reason: "ALREADY_RESOLVED", field: "write_id" });
  expect(retried.metadata).toMatchObject({ resolution: "discarded", ...ben });
  await made(site, { wait: true });
  expect(await actionsOn(rejected)).toMatchObject([{ action: "DISCARD_WRITE", ...ben, site: secondarySiteName }]);
  expect(idsOf(await unresolved(main))).not.toContain(rejected);
});

test("of a retry and a discard at once through two servers one decides, and the other is told so", async () => {
  await using server = await started("deciding");
  using other = new SiteCaller(server);
  await using _index = await withoutIndex();
  for (let n = 0; n < 8; n++) {
    const { rejected, id } = await poison();
    const [retry, discard] = await Promise.allSettled([
      site.admin.retryWrite({ ...anna, writeId: rejected }),
      other.admin.discardWrite({ ...ben, writeId: rejected }),
    ]);
    expect([retry.status, discard.status].sort()).toEqual(["fulfilled", "rejected"]);
    const loser =
      retry.status === "rejected" ? retry.reason : discard.status === "rejected" ? discard.reason : undefined;
    expect(await refusal(Promise.reject(loser))).toMatchObject({ reason: "ALREADY_RESOLVED" });
    await made(site, { wait: true });
    expect(await effects([id])).toEqual(retry.status === "fulfilled" ? [id] : []);
    expect(await actionsOn(rejected)).toHaveLength(1);
  }
});

test("G2: a write that main discards while its site is cut off and retries it stays discarded: the retry is rejected and says by whom", async () => {
  const { rejected, id } = await poison();
  await using _index = await withoutIndex();
  await using healed = outage(async () => sites.link.heal());
  sites.link.cut();
  const { status } = await site.admin.retryWrite({ ...anna, writeId: rejected });
  expect(status?.state).toBe(WriteState.ACCEPTED);
  await main.admin.discardWrite({ ...ben, writeId: rejected });
  await healed.over();
  expect((await site.follow(status?.writeId)).at(-1)).toBe(WriteState.REJECTED);
  await made(site, { wait: true });
  expect(await effects([id])).toEqual([]);
  expect(await actionsOn(rejected)).toMatchObject([{ action: "DISCARD_WRITE", ...ben, site: "cologne" }]);
  // It is not shown as made any more, and it cannot be retried in its turn, at neither site.
  expect((await site.query("readings", { where: equals("id", integer(id)) })).rows).toEqual([]);
  for (const each of [site, main]) {
    const [listed] = (await unresolved(each)).filter((write) => write.status?.writeId === status?.writeId);
    expect(listed?.status?.rejection).toMatchObject({
      reason: "ALREADY_RESOLVED",
      message: expect.stringMatching(
        new RegExp(`^write ${rejected} was discarded at site cologne by ben on \\d{4}-.*Z: a test row$`),
      ),
    });
  }
  const retryId = status?.writeId ?? "";
  expect(await refusal(main.admin.retryWrite({ ...anna, writeId: retryId }))).toMatchObject({
    reason: "ALREADY_RESOLVED",
    field: "write_id",
  });
  const again = await site.admin.retryWrite({ ...anna, writeId: retryId });
  expect((await site.follow(again.status?.writeId)).at(-1)).toBe(WriteState.REJECTED);
  await main.admin.discardWrite({ ...ben, writeId: again.status?.writeId ?? "" });
  expect(await effects([id])).toEqual([]);
});

test("G2: a write that main retries while its site is cut off and retries it too takes effect once", async () => {
  const { rejected, id } = await poison();
  await using _index = await withoutIndex();
  await using healed = outage(async () => sites.link.heal());
  sites.link.cut();
  const here = await site.admin.retryWrite({ ...anna, writeId: rejected });
  const there = await main.admin.retryWrite({ ...ben, writeId: rejected });
  expect(there.status?.writeId).toBe(here.status?.writeId);
  await healed.over();
  expect((await site.follow(here.status?.writeId)).at(-1)).toBe(WriteState.REPLICATED);
  expect(await effects([id])).toEqual([id]);
  expect(await actionsOn(rejected)).toMatchObject([{ action: "RETRY_WRITE", ...ben, site: "cologne" }]);
});

test("every action is on record on main in order, also those made while main was away", async () => {
  const { rejected } = await poison();
  const before = await recorded();
  await using healed = outage(async () => sites.link.heal());
  sites.link.cut();
  await site.admin.pauseDrain(anna);
  await site.admin.discardWrite({ ...ben, writeId: rejected });
  await site.admin.resumeDrain(anna);
  // They are in merged reads at once, like any write.
  const { rows } = await site.query("opsdb.operator_action", { where: equals("write_id", text(rejected)) });
  expect(rows.map(({ operator }) => show(operator))).toEqual([show(text("ben"))]);
  expect(idsOf(await unresolved(site))).not.toContain(rejected);
  await healed.over();
  await made(site, { wait: true });
  expect((await recorded()).slice(before.length).map(({ action }) => action)).toEqual([
    "PAUSE_DRAIN",
    "DISCARD_WRITE",
    "RESUME_DRAIN",
  ]);
});

test("a full buffer takes an operator's action nevertheless", async () => {
  const small = { BUFFER_MAX_WRITES: "20", BUFFER_RETENTION: "0" };
  await using server = await started("small", small);
  using caller = new SiteCaller(server);
  await using _healed = outage(async () => sites.link.heal());
  sites.link.cut();
  await expect(
    (async () => {
      for (let n = 0; n < 30; n++) await made(caller);
    })(),
  ).rejects.toThrow("the buffer holds");
  const { rejected, ...more } = await caller.admin.pauseDrain(anna).then((answer) => ({ rejected: false, ...answer }));
  expect([rejected, more.pause]).toMatchObject([false, anna]);
  const { holdups } = await caller.admin.showDrain({});
  expect(holdups.map(({ part, reason }) => `${part}: ${reason}`)).toEqual(
    expect.arrayContaining([
      "buffer: the buffer is full: writes are refused",
      "processor: paused by anna: the link is being mended",
    ]),
  );
  await caller.admin.resumeDrain(anna);
});

test("ShowDrain names what holds writes up, the oldest of them and what to do, and nothing once it is over", async () => {
  const { rejected } = await poison();
  for (const writeId of idsOf(await unresolved(site)))
    if (writeId !== rejected) await site.admin.discardWrite({ ...ben, writeId });
  await made(site, { wait: true });
  await using healed = outage(async () => sites.link.heal());
  sites.link.cut();
  const { status } = await site.write([reading(next++)]);
  const report = await eventually(
    () => site.admin.showDrain({}),
    ({ holdups }) => holdups.some(({ part }) => part === "processor") && holdups.some(({ part }) => part === "main"),
    { what: "that ShowDrain names processor and main" },
  );
  expect(report).toMatchObject({
    site: secondarySiteName,
    unresolvedRejectedWrites: 1n,
    buffer: { connection: { state: PartState.RUNNING } },
    processor: { state: { state: PartState.RETRYING } },
    oldestPending: { writeId: status?.writeId, position: status?.position, tables: ["readings"] },
  });
  expect(report.lastError).not.toBe("");
  expect(report.lastErrorSince).toBeDefined();
  expect(report.oldestPending?.age).toBeDefined();
  for (const holdup of report.holdups) expect([holdup.reason, holdup.advice]).not.toContain("");
  expect(report.holdups.map(({ part }) => part)).toContain("rejected writes");
  await healed.over();
  await site.home(status?.writeId);
  await site.admin.discardWrite({ ...ben, writeId: rejected });
  const well = await eventually(
    () => site.admin.showDrain({}),
    ({ holdups }) => holdups.length === 0,
    { what: "that nothing holds writes up" },
  );
  expect(well).toMatchObject({ unresolvedRejectedWrites: 0n, lastError: "" });
  expect(well.oldestPending).toBeUndefined();
});

test("a loss is acknowledged once, on record, and is open no more", async () => {
  const redis = new Redis(sites.redis.url);
  const key = `opsdb:{${secondarySiteName}}:loss`;
  try {
    expect((await site.admin.acknowledgeLoss(anna)).loss).toBeUndefined();
    const loss = { at: new Date(1_795_000_000_000), message: "Redis came back without 3 writes" };
    await redis.set(key, JSON.stringify(loss));
    const before = await recorded();
    await site.statusUntil(({ buffer }) => buffer?.loss !== undefined);
    const { holdups } = await site.admin.showDrain({});
    expect(holdups).toMatchObject([
      { part: "buffer", reason: loss.message, advice: expect.stringContaining("confirm") },
    ]);
    expect((await site.admin.acknowledgeLoss(anna)).loss).toMatchObject({
      at: { seconds: 1_795_000_000n },
      message: loss.message,
    });
    await site.statusUntil(({ buffer }) => buffer !== undefined && buffer.loss === undefined);
    expect(await redis.exists(key)).toBe(0);
    expect((await site.admin.acknowledgeLoss(anna)).loss).toBeUndefined();
    expect((await recorded()).slice(before.length)).toMatchObject([{ action: "ACKNOWLEDGE_LOSS", ...anna }]);
  } finally {
    redis.disconnect();
  }
});

test("rejected writes come in pages, each once, in the order in which they were accepted", async () => {
  const made: string[] = [];
  await sites.standby.pauseReplay();
  for (let n = 0; n < 3; n++) made.push((await poison()).rejected); // known from memory alone
  const before = await paged(2);
  await sites.standby.resumeReplay();
  for (let n = 0; n < 2; n++) made.push((await poison()).rejected);
  expect(before.filter((id) => made.includes(id))).toEqual(made.slice(0, 3));
  expect((await paged(2)).filter((id) => made.includes(id))).toEqual(made);
  expect(await paged(2)).toEqual(idsOf(await unresolved(site)));
  for (const writeId of made) await site.admin.discardWrite({ ...ben, writeId });
  const bad = (request: object): Promise<unknown> => refusal(site.admin.listRejectedWrites(request));
  expect(await bad({ pageSize: 501 })).toMatchObject({ reason: "INVALID_FIELD", field: "page_size" });
  expect(await bad({ pageToken: "x" })).toMatchObject({ reason: "INVALID_FIELD", field: "page_token" });
  expect(await bad({ site: "elsewhere" })).toMatchObject({ reason: "INVALID_FIELD", field: "site" });
});

test("G2: at the main site rejected writes of all sites are listed, retried once, and discarded", async () => {
  const { rejected, id } = await poison();
  expect(idsOf(await unresolved(main, { site: secondarySiteName }))).toContain(rejected);
  expect(idsOf(await unresolved(main, { site: "elsewhere" }))).toEqual([]);
  // What the database refuses has settled nothing.
  const refused = await refusal(main.admin.retryWrite({ ...anna, writeId: rejected }));
  expect(refused).toMatchObject({ code: "AlreadyExists", reason: "UNIQUE_VIOLATION", field: "write_id" });
  expect(idsOf(await unresolved(main))).toContain(rejected);
  const other = await poison();
  expect((await main.admin.discardWrite({ ...ben, writeId: other.rejected })).resolution).toMatchObject({
    kind: ResolutionKind.DISCARDED,
    site: "cologne",
  });
  expect(await refusal(main.admin.retryWrite({ ...anna, writeId: other.rejected }))).toMatchObject({
    reason: "ALREADY_RESOLVED",
  });
  await using _index = await withoutIndex();
  const [first, second] = await Promise.all([1, 2].map(() => main.admin.retryWrite({ ...anna, writeId: rejected })));
  expect([first?.duplicate, second?.duplicate].sort()).toEqual([false, true]);
  expect(first?.status).toMatchObject({ state: WriteState.REPLICATED, site: "cologne" });
  expect(second?.status?.writeId).toBe(first?.status?.writeId);
  expect(await effects([id])).toEqual([id]);
  await sites.standby.caughtUp();
  // The secondary site sees what was decided at the main site.
  expect(idsOf(await unresolved(site))).not.toContain(rejected);
  expect(await site.admin.retryWrite({ ...ben, writeId: rejected })).toMatchObject({
    duplicate: true,
    status: { writeId: first?.status?.writeId, site: "cologne" },
  });
  expect(await refusal(site.admin.discardWrite({ ...ben, writeId: rejected }))).toMatchObject({
    reason: "ALREADY_RESOLVED",
  });
  const report = await main.admin.showDrain({});
  expect(report).toMatchObject({ site: "cologne", lastError: "" });
  expect([report.buffer, report.processor, report.pause]).toEqual([undefined, undefined, undefined]);
  const open = (await unresolved(main)).length;
  expect(report.unresolvedRejectedWrites).toBe(BigInt(open));
});

test("what names no operator, no reason or no rejected write is refused, at both sites", async () => {
  const { status } = await site.write([reading(next++)]);
  await site.home(status?.writeId);
  const writeId = randomUUID();
  const applied = status?.writeId ?? "";
  for (const { admin } of [site, main]) {
    for (const call of [admin.retryWrite, admin.discardWrite]) {
      expect(await refusal(call({ ...anna, operator: " ", writeId }))).toMatchObject(invalid("operator"));
      expect(await refusal(call({ operator: "anna", writeId }))).toMatchObject(invalid("reason"));
      expect(await refusal(call({ ...anna }))).toMatchObject(invalid("write_id"));
      expect(await refusal(call({ ...anna, writeId: "7" }))).toMatchObject(invalid("write_id"));
      const unknown = { code: "NotFound", reason: "WRITE_NOT_FOUND", field: "write_id" };
      expect(await refusal(call({ ...anna, writeId }))).toMatchObject(unknown);
      const sound = { code: "FailedPrecondition", reason: "NOT_REJECTED", field: "write_id" };
      expect(await refusal(call({ ...anna, writeId: applied }))).toMatchObject(sound);
    }
    for (const call of [admin.pauseDrain, admin.resumeDrain, admin.acknowledgeLoss]) {
      expect(await refusal(call({ reason: "why" }))).toMatchObject(invalid("operator"));
      expect(await refusal(call({ operator: "anna", reason: "\t" }))).toMatchObject(invalid("reason"));
      expect(await refusal(call({ ...anna, reason: "x".repeat(2_001) }))).toMatchObject(invalid("reason"));
    }
  }
  const none = { code: "FailedPrecondition", reason: "NO_BUFFER" };
  for (const call of [main.admin.pauseDrain, main.admin.resumeDrain, main.admin.acknowledgeLoss])
    expect(await refusal(call(anna))).toMatchObject(none);
  expect(await refusal(Array.fromAsync(main.writes.watchWrites({})))).toMatchObject(none);
});

test("clients read the record of operators' actions and cannot write it", async () => {
  for (const each of [site, main]) {
    const { tables } = await each.catalog.listTables({});
    expect(tables.filter(({ name }) => name.startsWith("opsdb."))).toMatchObject([
      { name: "opsdb.operator_action", writable: false },
    ]);
    const forged = insert("opsdb.operator_action", { id: text(randomUUID()), operator: text("nobody") });
    expect(await refusal(each.write([forged]))).toMatchObject({
      code: "FailedPrecondition",
      reason: "NOT_WRITABLE",
      field: "mutations[0].table",
    });
    await each.query("opsdb.operator_action");
  }
});

test("WatchWrites tells each write once, in order, with those that main rejects, and goes on after a position", async () => {
  await using watcher = watch(site, {});
  const expected: [string | undefined, WriteState][] = [];
  await using healed = outage(async () => sites.link.heal());
  await watcher.opened();
  sites.link.cut();
  const sensor = `watched ${next}`;
  for (let n = 0; n < 30; n++) {
    const poisonous = n % 10 === 5;
    const writeId = randomUUID();
    const id = next++;
    const mutation = insert("readings", {
      id: integer(id),
      sensor: text(n === 0 || poisonous ? sensor : `${sensor} ${n}`),
    });
    await site.write([mutation], { writeId });
    if (n % 3 === 0) await resend();
    expected.push([writeId, poisonous ? WriteState.REJECTED : WriteState.REPLICATED]);
  }
  await healed.over();
  const told = await watcher.take(30);
  expect(told.map(({ writeId, state }) => [writeId, state])).toEqual(expected);
  expect(told[5]?.rejection?.reason).toBe("UNIQUE_VIOLATION");
  expect(told.map(({ position }) => position)).toEqual(
    told.map(({ position }) => position).sort((a, b) => (key(a) < key(b) ? -1 : 1)),
  );

  await using later = watch(site, { afterPosition: told[11]?.position ?? "", report: WriteState.APPLIED });
  const rest = await later.take(18);
  expect(rest.map(({ writeId }) => writeId)).toEqual(expected.slice(12).map(([id]) => id));
  await using bad = watch(site, { afterPosition: told[0]?.position ?? "", rejectedOnly: true });
  const poisonous = expected.filter(([, state]) => state === WriteState.REJECTED).map(([id]) => id);
  expect((await bad.take(3)).map(({ writeId }) => writeId)).toEqual(poisonous);
  for (const writeId of poisonous) await site.admin.discardWrite({ ...ben, writeId: writeId ?? "" });
});

test("WatchWrites tells a write that is applied before it is on the replica, where that is asked", async () => {
  await using watcher = watch(site, { report: WriteState.APPLIED });
  await watcher.opened();
  await sites.standby.pauseReplay();
  const { status } = await site.write([reading(next++)]);
  const [told] = await watcher.take(1);
  await sites.standby.resumeReplay();
  expect(told).toMatchObject({ writeId: status?.writeId, state: WriteState.APPLIED });
});

test("a watcher of writes that does not read for a while misses none", async () => {
  await using watcher = watch(site, {});
  await watcher.opened();
  const acks: [bigint, string | undefined][] = [];
  const callers = Array.from({ length: 20 }, async () => {
    for (let n = 0; n < 50; n++) {
      const { status } = await site.write([reading(next++)]);
      acks.push([key(status?.position ?? ""), status?.writeId]);
    }
  });
  await Promise.all(callers);
  const told = await watcher.take(1_000);
  const inOrder = acks.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, writeId]) => writeId);
  expect(told.map(({ writeId }) => writeId)).toEqual(inOrder);
});

test("a watch of writes has heartbeats, and ends with SHUTTING_DOWN when the server stops", async () => {
  await using server = await started("stopping");
  using caller = new SiteCaller(server);
  const events = caller.writes.watchWrites({ heartbeat: { nanos: 100_000_000 } })[Symbol.asyncIterator]();
  expect((await events.next()).value?.event.case).toBe("heartbeat");
  const rest = (async () => {
    for (let event = await events.next(); !event.done; event = await events.next());
  })();
  const [end] = await Promise.all([refusal(rest), server.stop()]);
  expect(end).toMatchObject({ code: "Unavailable", reason: "SHUTTING_DOWN" });
});

test("a position that has left the buffer is refused, also by a server that was not there when it left", async () => {
  const first = await site.write([reading(next++)]);
  const last = await site.write([reading(next++)]);
  await site.home(last.status?.writeId);
  await using server = await started("forgetful", { BUFFER_RETENTION: "0" });
  using caller = new SiteCaller(server);
  await caller.statusUntil(({ buffer }) => buffer?.retainedWrites === 0n);
  await using fresh = await started("fresh");
  using newcomer = new SiteCaller(fresh);
  let newest = last.status?.position ?? "";
  for (const each of [caller, newcomer]) {
    for (const afterPosition of [first.status?.position ?? "", "0-0"])
      expect(await refusal(Array.fromAsync(each.writes.watchWrites({ afterPosition })))).toMatchObject({
        code: "FailedPrecondition",
        reason: "POSITION_FORGOTTEN",
        field: "after_position",
      });
    await using watcher = watch(each, { afterPosition: newest });
    await watcher.opened();
    const { status } = await site.write([reading(next++)]);
    expect((await watcher.take(1))[0]?.writeId).toBe(status?.writeId);
    newest = status?.position ?? "";
  }
  const bad = (request: object): Promise<unknown> => refusal(Array.fromAsync(site.writes.watchWrites(request)));
  expect(await bad({ afterPosition: "yesterday" })).toMatchObject(invalid("after_position"));
  expect(await bad({ report: WriteState.REJECTED })).toMatchObject(invalid("report"));
  expect(await bad({ heartbeat: { nanos: 1 } })).toMatchObject(invalid("heartbeat"));
});

test("the program opsdb does what operators do, in tables and in JSON, each with its exit code", slowly, async () => {
  const at = ["--server", sites.secondary.grpc];
  const by = ["--operator", "anna", "--reason", "because"];
  expect(await opsdb("drain", "pause", ...at, ...by)).toMatchObject({
    code: 0,
    out: expect.stringMatching(/^the drain is paused by anna since \d{4}-.*: because\n$/),
  });
  const paused = await opsdb("drain", "show", ...at);
  expect(paused.out).toMatch(/^processor +PAUSED, paused by anna: because$/m);
  expect(paused.out).toMatch(/^HELD UP BY +STATE +SINCE +REASON$/m);
  expect(paused.out).toContain("opsdb drain resume");
  const shown = JSON.parse((await opsdb("drain", "show", "--json", ...at)).out) as { pause: { operator: string } };
  expect(shown.pause.operator).toBe("anna");
  // The user's own name is the default.
  const { out } = await opsdb("drain", "resume", "--reason", "it is over", ...at);
  expect(out).toContain("the drain goes on; it was paused by anna");
  expect((await recorded()).at(-1)).toMatchObject({ operator: userInfo().username, reason: "it is over" });
  expect((await opsdb("drain", "resume", ...by, ...at)).out).toBe("the drain was not paused\n");
  expect(await opsdb("loss", "acknowledge", ...by, ...at)).toMatchObject({ code: 0, out: "no loss is known\n" });

  const [one, two] = [await poison(), await poison()];
  const listed = await opsdb("writes", "rejected", ...at);
  expect(listed.out).toMatch(/^WRITE +SITE +REJECTED +REASON +DECISION$/m);
  expect(listed.out).toMatch(new RegExp(`^${one.rejected} +ccat +.* UNIQUE_VIOLATION +none yet$`, "m"));
  expect(listed.out).toContain(`insert readings [id="${one.id}"] sensor="${one.sensor}", level=NULL`);
  const lines = (await opsdb("writes", "rejected", "--json", ...at)).out.trim().split("\n");
  const ids = lines.map((line) => (JSON.parse(line) as { status: { writeId: string } }).status.writeId);
  expect(ids).toEqual(expect.arrayContaining([one.rejected, two.rejected]));
  expect((await opsdb("writes", "get", one.rejected, ...at)).out).toMatch(/^state +REJECTED$/m);

  const discard = await opsdb("writes", "discard", one.rejected, randomUUID(), two.rejected, ...by, ...at);
  expect(discard).toMatchObject({
    code: 3,
    out: expect.stringMatching(/(is discarded by anna at .*: because\n){1}.*\n$/),
  });
  expect(discard.out.trim().split("\n")).toHaveLength(2); // the one in the middle is refused, the others are not
  expect(discard.err).toMatch(
    /^opsdb writes discard: no write .* is known at this site \(WRITE_NOT_FOUND\); list .*\n$/,
  );
  const retried = await opsdb("writes", "retry", one.rejected, ...by, ...at);
  expect(retried).toMatchObject({ code: 3, err: expect.stringContaining("(ALREADY_RESOLVED); see what was done") });
  expect((await opsdb("writes", "rejected", "--all", ...at)).out).toContain("discarded by anna");
  const third = await poison();
  const again = await opsdb("writes", "retry", third.rejected, ...by, ...at);
  expect(again.out).toMatch(new RegExp(`^${third.rejected} is retried as [0-9a-f-]{36}: ACCEPTED\n$`));

  const { status } = await site.write([reading(next++)]);
  await site.home(status?.writeId);
  const { status: later } = await site.write([reading(next++)]);
  const watched = await opsdb("writes", "watch", "--after", status?.position ?? "", "--count", "1", ...at);
  expect(watched).toMatchObject({ code: 0, out: `${later?.position}  REPLICATED  ${later?.writeId}\n` });

  // From the environment, at the main site.
  const main = { OPSDB_SERVER: sites.main.grpc };
  expect(await opsdbWith(main, "writes", "rejected", "--site", "ccat", "--all")).toMatchObject({
    code: 0,
    out: expect.stringContaining(one.rejected),
  });
  expect(await opsdbWith(main, "drain", "pause", ...by)).toEqual({
    code: 3,
    out: "",
    err: expect.stringContaining("(NO_BUFFER); name a server of a secondary site with --server"),
  });
  expect((await opsdbWith(main, "drain", "show")).out).toMatch(/^site +cologne$/m);
});

test("the program opsdb says in one sentence what is wrong with its use, and helps", slowly, async () => {
  const wrong: [string[], RegExp][] = [
    [["drain"], /opsdb drain is one of drain show, drain pause, drain resume\. Try: opsdb --help/],
    [["drain", "pause"], /opsdb drain pause: --reason is missing.* Try: opsdb drain pause --help/],
    [["writes", "retry", "--reason", "x"], /needs a write id/],
    [["writes", "get", "a", "b"], /takes one write id/],
    [["drain", "show", "--reason", "x"], /has no option --reason/],
    [["drain", "show", "now"], /takes no arguments/],
    [["drain", "show", "--server", "nowhere"], /--server is host:port/],
    [["writes", "watch", "--count", "0"], /--count is a number/],
  ];
  for (const [args, said] of wrong) {
    const { code, err, out } = await opsdb(...args);
    expect([code, out], args.join(" ")).toEqual([2, ""]);
    expect(err.trim().split("\n")).toEqual([expect.stringMatching(said)]);
  }
  const nobody = await opsdb("drain", "show", "--server", "127.0.0.1:1");
  expect(nobody).toMatchObject({ code: 1, err: expect.stringContaining("no server can be reached at 127.0.0.1:1") });
  const bad = await opsdb("writes", "get", "7", "--server", sites.secondary.grpc);
  expect(bad).toMatchObject({ code: 3, err: expect.stringContaining("(INVALID_FIELD)") });
  const { out: all } = await opsdb("--help");
  for (const command of ["drain show", "drain pause", "drain resume", "loss acknowledge"].concat(
    ["rejected", "retry", "discard", "get", "watch"].map((name) => `writes ${name}`),
  )) {
    const { code, out } = await opsdb(...command.split(" "), "--help");
    expect([code, out]).toEqual([
      0,
      expect.stringMatching(new RegExp(`Usage: opsdb ${command}[^]*Examples:\n  opsdb `)),
    ]);
    expect(all).toContain(`  ${command} `);
  }
});

interface Said {
  code: number | null;
  out: string;
  err: string;
}

function opsdb(...args: string[]): Promise<Said> {
  return opsdbWith({}, ...args);
}

/** Runs the program in a process of its own. */
async function opsdbWith(env: Record<string, string>, ...args: string[]): Promise<Said> {
  const child = spawn(process.execPath, ["src/cli.ts", ...args], {
    cwd: join(import.meta.dirname, "..", ".."),
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
  });
  const [out, err, [code]] = await Promise.all([textOf(child.stdout), textOf(child.stderr), once(child, "close")]);
  return { code: code as number | null, out, err };
}

/** Appends the newest entry of the stream once more, as a Redis client does that has lost the answer. */
async function resend(): Promise<void> {
  const redis = new Redis(sites.redis.url);
  const stream = `opsdb:{${secondarySiteName}}:writes`;
  const [[, fields] = []] = await redis.xrevrange(stream, "+", "-", "COUNT", 1);
  await redis.xadd(stream, "*", ...(fields ?? []));
  redis.disconnect();
}

function reading(id: number, sensor = `sensor ${id}`): MutationInit {
  return insert("readings", { id: integer(id), sensor: text(sensor) });
}

function invalid(field: string): object {
  return { code: "InvalidArgument", reason: "INVALID_FIELD", field };
}

/** Writes a reading and answers its key. */
async function made(caller: SiteCaller, { wait = false } = {}): Promise<number> {
  const id = next++;
  const { status } = await caller.write([reading(id)]);
  if (wait) await caller.home(status?.writeId);
  return id;
}

/** A write that main has rejected, because another has its sensor. */
async function poison(): Promise<{ rejected: string; id: number; sensor: string }> {
  const sensor = `taken ${next}`;
  await using _index = await withIndex();
  await site.write([reading(next++, sensor)], { waitFor: WriteState.APPLIED });
  const id = next++;
  const { status } = await site.write([reading(id, sensor)], { waitFor: WriteState.APPLIED });
  expect(status?.state).toBe(WriteState.REJECTED);
  return { rejected: status?.writeId ?? "", id, sensor };
}

let indexed = true;

/** Main refuses readings whose sensor another has. */
async function withIndex(): Promise<AsyncDisposable> {
  if (indexed) return outage(async () => {});
  await sql(sites.urls.main, "delete from readings; create unique index readings_sensor on readings (sensor)");
  return outage(async () => {
    await sql(sites.urls.main, "drop index readings_sensor");
  });
}

/** The schema is mended: main takes any sensor. */
async function withoutIndex(): Promise<AsyncDisposable> {
  await sql(sites.urls.main, "drop index readings_sensor");
  indexed = false;
  return outage(async () => {
    await sql(sites.urls.main, "delete from readings; create unique index readings_sensor on readings (sensor)");
    indexed = true;
  });
}

async function merged(ids: number[]): Promise<{ header: { pendingWrites: bigint } }> {
  const values = ids.map((id) => integer(id));
  const { header, rows } = await site.query("readings", {
    columns: ["id"],
    where: { condition: { case: "in", value: { column: "id", values } } },
    orderBy: [{ column: "id" }],
  });
  expect(rows.map(({ id }) => id?.kind.value)).toEqual(ids.map(BigInt));
  return { header };
}

/** What took effect of these on main, in order, once for each time. */
async function effects(ids: number[]): Promise<number[]> {
  const query = "select id from effects where id = any($1) order by n";
  return (await sql<{ id: number }>(sites.urls.main, query, [ids])).map(({ id }) => id);
}

interface Action {
  action: string;
  operator: string;
  reason: string;
  write_id: string | null;
  new_write_id: string | null;
  site: string;
}

/** What is on record on main, once everything that was accepted before has arrived there. */
async function recorded(): Promise<Action[]> {
  const { pause } = await site.admin.showDrain({});
  if (!pause) await made(site, { wait: true });
  return await sql<Action & Record<string, unknown>>(sites.urls.main, actionsInOrder);
}

async function actionsOn(writeId: string): Promise<Action[]> {
  return await sql<Action & Record<string, unknown>>(
    sites.urls.main,
    "select action, operator, reason, write_id, new_write_id, site from opsdb.operator_action where write_id = $1",
    [writeId],
  );
}

async function unresolved(caller: SiteCaller, request: { site?: string } = {}): Promise<RejectedWrite[]> {
  return (await caller.admin.listRejectedWrites({ ...request, pageSize: 500 })).writes;
}

async function all(caller: SiteCaller): Promise<RejectedWrite[]> {
  return (await caller.admin.listRejectedWrites({ includeResolved: true, pageSize: 500 })).writes;
}

function idsOf(writes: RejectedWrite[]): string[] {
  return writes.map(({ status }) => status?.writeId ?? "");
}

async function paged(pageSize: number): Promise<string[]> {
  const ids: string[] = [];
  for (let pageToken = ""; ; ) {
    const { writes, nextPageToken } = await site.admin.listRejectedWrites({ pageSize, pageToken });
    expect(writes.length).toBeLessThanOrEqual(pageSize);
    ids.push(...idsOf(writes));
    pageToken = nextPageToken;
    if (pageToken === "") return ids;
  }
}

async function metrics(): Promise<string> {
  return await (await fetch(`${sites.secondary.baseUrl}/metrics`, { headers: { connection: "close" } })).text();
}

async function started(name: string, env: Record<string, string> = {}) {
  const server = sites.anotherServer("secondary", name, env);
  await server.start();
  await server.ready();
  return server;
}

/** Which of two servers of a site drains the buffer: the other one says that it stands by. */
async function drains(one: SiteCaller, two: SiteCaller): Promise<SiteCaller> {
  const settled = [PartState.RUNNING, PartState.IDLE, PartState.STANDBY];
  const states = await Promise.all(
    [one, two].map(async (each) => {
      const { processor } = await each.statusUntil((status) =>
        settled.some((s) => s === status.processor?.state?.state),
      );
      return processor?.state?.state;
    }),
  );
  expect(states.filter((state) => state === PartState.STANDBY)).toHaveLength(1);
  return states[0] === PartState.STANDBY ? two : one;
}

function resumedAtEnd(): AsyncDisposable {
  return outage(async () => {
    await site.admin.resumeDrain(anna);
  });
}

function outage(end: () => Promise<void>): AsyncDisposable & { over(): Promise<void> } {
  let ended: Promise<void> | undefined;
  const over = (): Promise<void> => {
    ended ??= end();
    return ended;
  };
  return { over, [Symbol.asyncDispose]: over };
}

function key(position: string): bigint {
  const [ms = "0", sequence = "0"] = position.split("-");
  return (BigInt(ms) << 64n) | BigInt(sequence);
}

type WatchRequest = Omit<
  MessageInitShape<typeof import("../../gen/ts/opsdb/v1/write_pb.ts").WatchWritesRequestSchema>,
  "$typeName"
>;

interface WriteWatcher extends AsyncDisposable {
  /** Resolves when the server has begun to watch. */
  opened(): Promise<void>;
  /** The next outcomes, whatever heartbeats come between. */
  take(count: number): Promise<WriteStatus[]>;
}

function watch(caller: SiteCaller, request: WatchRequest): WriteWatcher {
  const done = new AbortController();
  const heartbeat = { nanos: 100_000_000 };
  const events = caller.writes
    .watchWrites({ heartbeat, ...request }, { signal: done.signal, timeoutMs: 60_000 })
    [Symbol.asyncIterator]();
  return {
    async opened() {
      const { value } = await events.next();
      expect(value?.event.case).toBe("heartbeat");
    },
    async take(count) {
      const told: WriteStatus[] = [];
      while (told.length < count) {
        const { value, done: ended } = await events.next();
        if (ended) throw new Error(`the watch ended after ${told.length}`);
        if (value.event.case === "write") told.push(value.event.value);
      }
      return told;
    },
    async [Symbol.asyncDispose]() {
      done.abort();
      await events.next().catch(() => {});
    },
  };
}
