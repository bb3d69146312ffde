import { randomUUID } from "node:crypto";
import { connect } from "node:http2";
import { getDefaultHighWaterMark, setDefaultHighWaterMark } from "node:stream";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { insert, upsert } from "../../demo/mutations.ts";
import type { MutationInit } from "../../demo/site-client.ts";
import { double, text, time } from "../../demo/values.ts";
import {
  PartState,
  SiteRole,
  WatchReplicationRequestSchema,
  type WatchReplicationResponse,
  WatchReplicationResponseSchema,
} from "../../gen/ts/opsdb/v1/replication_pb.ts";
import { WriteMode, WriteState } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { eventually } from "../support/eventually.ts";
import { Link } from "../support/link.ts";
import { sql } from "../support/sql.ts";
import { secondarySiteName, startTwoSite, type TwoSite } from "../support/two-site.ts";
import { equals, refusal, SiteCaller } from "./site-caller.ts";

let sites: TwoSite;
let site: SiteCaller;
let main: SiteCaller;

beforeAll(async () => {
  const lease = { PROCESSOR_LEASE_MS: "1000" };
  sites = await startTwoSite({ env: { secondary: lease } });
  site = new SiteCaller(sites.secondary);
  main = new SiteCaller(sites.main);
});

afterEach(async () => {
  await sites.standby.resumeReplay();
});

afterAll(async () => {
  site?.[Symbol.dispose]();
  main?.[Symbol.dispose]();
  await sites?.[Symbol.asyncDispose]();
});

test("the first event is the full status, at both sites", async () => {
  await using far = watch(site);
  const status = await far.status();
  expect(status).toMatchObject({
    site: "ccat",
    role: SiteRole.SECONDARY,
    main: { connection: { state: PartState.RUNNING }, timeline: 1 },
    local: { connection: { state: PartState.RUNNING }, inRecovery: true, timeline: 1, receiverState: "streaming" },
    buffer: { connection: { state: PartState.RUNNING }, maxWrites: 1_000_000n },
  });
  for (const lsn of [status?.main?.lsn, status?.local?.lsn]) expect(lsn).toMatch(/^[0-9A-F]+\/[0-9A-F]+$/);
  await using near = watch(main);
  const atMain = await near.status();
  expect(atMain).toMatchObject({
    site: "cologne",
    role: SiteRole.MAIN,
    main: { connection: { state: PartState.RUNNING } },
  });
  expect(atMain?.buffer).toBeUndefined();
});

test("main's status names the standby and its slot", async () => {
  const status = await main.statusUntil(
    ({ main }) => (main?.standbys.length ?? 0) > 0 && (main?.slots.length ?? 0) > 0,
  );
  expect(status.main?.standbys).toMatchObject([{ name: "standby", state: "streaming" }]);
  expect(status.main?.slots).toMatchObject([{ name: "standby", active: true }]);
});

test("a watcher of which nothing is told gets heartbeats", async () => {
  await using watcher = watch(site, { heartbeat: { nanos: 100_000_000 } });
  const heartbeats = [];
  while (heartbeats.length < 3) {
    const event = await watcher.next();
    if (event?.case === "heartbeat") heartbeats.push(event.value);
  }
  const [first, , third] = heartbeats.map(({ seconds, nanos }) => Number(seconds) * 1_000 + nanos / 1e6);
  expect((third ?? 0) - (first ?? 0)).toBeGreaterThanOrEqual(190);
});

test("one write is followed from ACCEPTED to REPLICATED, and with until_done the stream ends there", async () => {
  sites.link.cut();
  const { status } = await site.write([sample("followed", 1)]);
  await using watcher = watch(site, { writeId: status?.writeId ?? "", untilDone: true });
  const states: WriteState[] = [];
  for (let event = await watcher.next(); event; event = await watcher.next()) {
    if (event.case !== "write") continue;
    states.push(event.value.state);
    expect(event.value).toMatchObject({ writeId: status?.writeId, site: "ccat", position: status?.position });
    if (event.value.state === WriteState.ACCEPTED) {
      await sites.standby.pauseReplay();
      sites.link.heal();
    }
    if (event.value.state === WriteState.APPLIED) {
      expect(event.value.lsn).toMatch(/^[0-9A-F]+\/[0-9A-F]+$/);
      expect(event.value.appliedAt).toBeDefined();
      await sites.standby.resumeReplay();
    }
  }
  expect(states).toEqual([WriteState.ACCEPTED, WriteState.APPLIED, WriteState.REPLICATED]);
});

test("a write that main rejects is followed to its rejection, with the reason", async () => {
  const taken = insert("data_locations", {
    name: text("Cologne long-term archive"),
    site: text("x"),
    base_path: text("/"),
  });
  const { status } = await site.write([taken]);
  await using watcher = watch(site, { writeId: status?.writeId ?? "", untilDone: true });
  const events = await watcher.rest();
  const last = events.flatMap((event) => (event.case === "write" ? [event.value] : [])).at(-1);
  expect(last).toMatchObject({
    state: WriteState.REJECTED,
    rejection: { reason: "UNIQUE_VIOLATION", sqlstate: "23505", message: expect.stringContaining("data_locations") },
  });
});

test("an LSN of main is followed until it is replayed", async () => {
  await sites.standby.pauseReplay();
  const { status } = await site.write([sample("lsn", 1)], { waitFor: WriteState.APPLIED });
  await using watcher = watch(site, { lsn: status?.lsn ?? "", untilDone: true });
  expect((await watcher.next())?.case).toBe("status");
  await sites.standby.resumeReplay();
  const events = await watcher.rest();
  expect(events.flatMap((event) => (event.case === "lsnReplayed" ? [event.value] : []))).toEqual([status?.lsn]);
});

test("two watchers of one write are both told each state", async () => {
  await sites.standby.pauseReplay();
  const { status } = await site.write([sample("two", 1)], { waitFor: WriteState.APPLIED });
  const following = [site.follow(status?.writeId), site.follow(status?.writeId)];
  await sites.standby.resumeReplay();
  for (const states of await Promise.all(following)) {
    expect(states.at(-1)).toBe(WriteState.REPLICATED);
    expect(states).toEqual([...new Set(states)]);
  }
});

test("a watcher that does not read for a while gets the newest status then, not a backlog", async () => {
  // Slots with long names make a status large: what lies in buffers on the way is measured in bytes.
  await sql(
    sites.primary.url,
    "select pg_create_physical_replication_slot(rpad('slot_' || n || '_', 60, 'x')) from generate_series(1, 14) n",
  );
  await site.statusUntil(({ main }) => main?.slots.length === 15);
  using slow = new UnreadWatch(sites.secondary.baseUrl);
  await slow.opened;
  await using attentive = watch(site);
  let told = 0;
  const counting = (async () => {
    for (let event = await attentive.next(); event; event = await attentive.next())
      if (event.case === "status") told += 1;
  })();
  let last = "";
  for (let n = 0; told < 200; n++) last = (await site.write([sample("slow", n)])).status?.position ?? "";
  await site.statusUntil(({ buffer }) => buffer?.lastPosition === last && buffer.overlayWrites === 0n);
  await attentive[Symbol.asyncDispose]();
  await counting;
  const received = await slow.readUntil(({ buffer }) => buffer?.lastPosition === last && buffer.overlayWrites === 0n);
  expect(received).toBeLessThan(told / 2);
  await sql(sites.primary.url, "select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active");
});

test("direct mode is refused at a secondary site while its database is a replica", async () => {
  expect(await refusal(site.write([sample("direct", 1)], { mode: WriteMode.DIRECT }))).toMatchObject({
    code: "FailedPrecondition",
    reason: "LOCAL_READ_ONLY",
  });
  expect((await main.write([sample("direct", 1)], { mode: WriteMode.DIRECT })).status?.site).toBe("cologne");
});

test("G5: a write through one server of a site is at once in a merged read through another", async () => {
  await using server = sites.anotherServer("secondary", "second");
  await server.start();
  await server.ready();
  using other = new SiteCaller(server);
  const [one, two] = [site, other];
  for (let n = 0; n < 200; n++) {
    const [writer, reader] = n % 2 === 0 ? [one, two] : [two, one];
    await writer.write([sample("both", n)]);
    const { rows } = await reader.query("weather_samples", {
      columns: ["pwv_mm"],
      where: equals("station", text("both")),
    });
    expect(rows).toHaveLength(n + 1);
  }
});

test("G5: also where the other server hears of writes late", async () => {
  await using slowly = new Link({ roundTripMs: 60 });
  const { host, port } = await slowly.forward(sites.redis);
  await using server = sites.anotherServer("secondary", "late", { REDIS_URL: `redis://${host}:${port}` });
  await server.start();
  await server.ready();
  using other = new SiteCaller(server);
  const where = equals("station", text("late"));
  for (let n = 0; n < 20; n++) {
    await site.write([sample("late", n)]);
    expect((await other.query("weather_samples", { columns: ["pwv_mm"], where })).rows).toHaveLength(n + 1);
  }
});

test("G2: one write id through two servers of a site at once is one write", async () => {
  await using server = sites.anotherServer("secondary", "third");
  await server.start();
  await server.ready();
  using other = new SiteCaller(server);
  for (let n = 0; n < 20; n++) {
    const writeId = randomUUID();
    const answers = await Promise.all([site, other].map((each) => each.write([sample("once", n)], { writeId })));
    expect(answers.map(({ duplicate }) => duplicate).sort()).toEqual([false, true]);
    expect(new Set(answers.map(({ status }) => status?.position)).size).toBe(1);
  }
});

test("G2 G9: when the server that drains is killed another goes on, and says so", async () => {
  await using server = sites.anotherServer("secondary", "fourth");
  await server.start();
  await server.ready();
  using other = new SiteCaller(server);
  const holder = await drains(site, other);
  const [killed, caller] = holder === site ? [sites.secondary, other] : [server, site];
  await using _back = outage(async () => {
    if (sites.secondary.running) return;
    await sites.secondary.start();
    await sites.secondary.ready();
  });
  await sites.standby.pauseReplay();
  const acks = [];
  for (let n = 0; n < 50; n++) acks.push(await holder.write([sample("lease", n)]));
  await killed.kill();
  for (let n = 50; n < 60; n++) acks.push(await caller.write([sample("lease", n)]));
  await sites.standby.resumeReplay();
  await caller.home(acks.at(-1)?.status?.writeId);
  await caller.statusUntil(({ processor }) => works(processor?.state?.state));
  const rows = await sql<{ position: string }>(
    sites.urls.main,
    `select l.position from opsdb.ledger l where l.write_id = any($1) and l.site = $2 and l.outcome = 'APPLIED'`,
    [acks.map(({ status }) => status?.writeId), secondarySiteName],
  );
  expect(new Set(rows.map(({ position }) => position))).toEqual(new Set(acks.map(({ status }) => status?.position)));
  expect(rows).toHaveLength(60);
});

test("a watcher ends with UNAVAILABLE when the server stops", async () => {
  await using server = sites.anotherServer("secondary", "stopping");
  await server.start();
  await server.ready();
  using caller = new SiteCaller(server);
  await using watcher = watch(caller);
  expect((await watcher.next())?.case).toBe("status");
  const [end] = await Promise.all([refusal(watcher.rest()), server.stop()]);
  expect(end).toMatchObject({ code: "Unavailable", reason: "SHUTTING_DOWN" });
});

test("nobody's connection is left behind by watchers that went away", async () => {
  const redis = new Redis(sites.redis.url);
  const before = await redis.client("LIST");
  for (let n = 0; n < 20; n++) {
    await using watcher = watch(site, { writeId: "" });
    await watcher.next();
  }
  await eventually(
    async () => String(await redis.client("LIST")).split("\n").length,
    (now) => now <= String(before).split("\n").length,
    { what: "that Redis has no more clients than before" },
  );
  redis.disconnect();
});

function sample(station: string, n: number): MutationInit {
  return upsert("weather_samples", {
    station: text(station),
    sampled_at: time(new Date(n * 1_000)),
    pwv_mm: double(n),
  });
}

function works(state: PartState | undefined): boolean {
  return state === PartState.RUNNING || state === PartState.IDLE;
}

/** Which of two servers of a site drains the buffer: the other one says that it stands by. */
async function drains(one: SiteCaller, two: SiteCaller): Promise<SiteCaller> {
  const states = await Promise.all(
    [one, two].map(async (each) => {
      const { processor } = await each.statusUntil(
        ({ processor }) => works(processor?.state?.state) || processor?.state?.state === PartState.STANDBY,
      );
      return processor?.state?.state;
    }),
  );
  expect(states.filter((state) => state === PartState.STANDBY)).toHaveLength(1);
  return states[0] === PartState.STANDBY ? two : one;
}

type Event = Exclude<WatchReplicationResponse["event"], { case: undefined }>;

interface Watcher extends AsyncDisposable {
  /** Undefined at the stream's end. */
  next(): Promise<Event | undefined>;
  status(): Promise<Extract<Event, { case: "status" }>["value"] | undefined>;
  /** What comes until the stream ends. */
  rest(): Promise<Event[]>;
}

function watch(caller: SiteCaller, request: MessageInitShape<typeof WatchReplicationRequestSchema> = {}): Watcher {
  const done = new AbortController();
  const events = caller.replication.watchReplication(request, { signal: done.signal })[Symbol.asyncIterator]();
  const next = async (): Promise<Event | undefined> => {
    try {
      const { value } = await events.next();
      return value?.event as Event | undefined;
    } catch (error) {
      if (done.signal.aborted) return undefined;
      throw error;
    }
  };
  return {
    next,
    async status() {
      const event = await next();
      return event?.case === "status" ? event.value : undefined;
    },
    async rest() {
      const all = [];
      for (let event = await next(); event; event = await next()) all.push(event);
      return all;
    },
    async [Symbol.asyncDispose]() {
      done.abort();
      await Promise.resolve();
    },
  };
}

function outage(end: () => Promise<void>): AsyncDisposable {
  return { [Symbol.asyncDispose]: end };
}

/** A watch over plain HTTP/2 whose window is small, and of which nothing is read until somebody asks. */
class UnreadWatch implements Disposable {
  readonly opened: Promise<unknown>;
  readonly #session;
  readonly #stream;
  #bytes = Buffer.alloc(0);

  constructor(baseUrl: string) {
    const usual = getDefaultHighWaterMark(false);
    setDefaultHighWaterMark(false, 1_024);
    this.#session = connect(baseUrl, { settings: { initialWindowSize: 1_024 } });
    this.#stream = this.#session.request({
      ":method": "POST",
      ":path": "/opsdb.v1.ReplicationService/WatchReplication",
      "content-type": "application/grpc",
      te: "trailers",
    });
    setDefaultHighWaterMark(false, usual);
    const request = toBinary(WatchReplicationRequestSchema, create(WatchReplicationRequestSchema, {}));
    const head = Buffer.alloc(5);
    head.writeUInt32BE(request.length, 1);
    this.#stream.end(Buffer.concat([head, request]));
    this.opened = new Promise((resolve, reject) => this.#stream.once("response", resolve).once("error", reject));
  }

  /** Reads until there is such a status; answers how many came, that one included. */
  async readUntil(satisfies: (status: Extract<Event, { case: "status" }>["value"]) => boolean): Promise<number> {
    let count = 0;
    for await (const chunk of this.#stream as AsyncIterable<Buffer>) {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      for (let event = this.#take(); event; event = this.#take()) {
        if (event.case !== "status") continue;
        count += 1;
        if (satisfies(event.value)) return count;
      }
    }
    throw new Error("the watch ended");
  }

  [Symbol.dispose](): void {
    this.#session.destroy();
  }

  #take(): Event | undefined {
    if (this.#bytes.length < 5) return undefined;
    const end = 5 + this.#bytes.readUInt32BE(1);
    if (this.#bytes.length < end) return undefined;
    const { event } = fromBinary(WatchReplicationResponseSchema, this.#bytes.subarray(5, end));
    this.#bytes = this.#bytes.subarray(end);
    return event as Event;
  }
}
