import { randomUUID } from "node:crypto";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect } from "vitest";
import { upsert } from "../../demo/mutations.ts";
import type { MutationInit } from "../../demo/site-client.ts";
import { double, text, time } from "../../demo/values.ts";
import type { Value } from "../../gen/ts/opsdb/v1/value_pb.ts";
import { type Position, parsePosition, START } from "../../src/position.ts";
import { equals, type SiteCaller } from "../e2e/site-caller.ts";
import { eventually } from "../support/eventually.ts";
import { sql } from "../support/sql.ts";

/** Whatever takes effect on a sample is noted in this order, so that nothing applied twice or out of order can hide. */
export async function noteEffects(mainUrl: string): Promise<void> {
  await sql(
    mainUrl,
    `create table effects (n bigint generated always as identity primary key, station text, sampled_at timestamptz, pwv_mm double precision);
     create function note_effect() returns trigger language plpgsql as $$
       begin insert into effects (station, sampled_at, pwv_mm) values (new.station, new.sampled_at, new.pwv_mm); return new; end $$;
     create trigger note_effect after insert or update on weather_samples for each row execute function note_effect()`,
  );
}

/** Sample number n of a station; its value is its number unless another is given. */
export function sample(station: string, n: number, value = n): MutationInit {
  return upsert("weather_samples", {
    station: text(station),
    sampled_at: time(new Date(n * 1_000)),
    pwv_mm: double(value),
  });
}

export interface NotedEffect {
  n: number;
  value: number;
}

/** What took effect on main, in that order. */
export async function effectsOf(mainUrl: string, station: string): Promise<NotedEffect[]> {
  return await sql<{ n: number; value: number }>(
    mainUrl,
    "select extract(epoch from sampled_at)::int as n, pwv_mm as value from effects where station = $1 order by effects.n",
    [station],
  );
}

export interface Acknowledged {
  n: number;
  writeId: string;
  position: Position;
  client: number;
}

/**
 * Clients that write all the time, each of them one write after the other, and each write until it is acknowledged.
 * A write has two rows: sample n, new, and the client's own row, which gets n as its value.
 */
export class SampleLoad implements AsyncDisposable {
  readonly station: string;
  readonly acknowledged: Acknowledged[] = [];
  /** Refusals that were met on the way, by reason. */
  readonly refused: string[] = [];
  readonly #caller: () => SiteCaller;
  readonly #clients: Promise<void>[];
  readonly #pauseMs: number;
  #next = 1;
  #stopping = false;

  constructor(caller: () => SiteCaller, station: string, { clients = 4, pauseMs = 2 } = {}) {
    this.#caller = caller;
    this.station = station;
    this.#pauseMs = pauseMs;
    this.#clients = Array.from({ length: clients }, (_, client) => this.#write(client + 1));
    for (const client of this.#clients) client.catch(() => {}); // stop() tells
  }

  /** The position of the newest acknowledged write. */
  get last(): Position {
    return this.acknowledged.reduce((newest, { position }) => (position > newest ? position : newest), START);
  }

  /** Resolves when this many more writes have been acknowledged. */
  async more(count: number): Promise<void> {
    const before = this.acknowledged.length;
    await eventually(
      () => this.acknowledged.length - before,
      (written) => written >= count,
      { timeoutMs: 20_000, what: `${count} more acknowledgements` },
    );
  }

  /** Resolves when every write that was begun is acknowledged. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#clients);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop().catch(() => {});
  }

  /** Every write took effect once, whole, in the order of its acknowledgement's position. */
  expectEachOnceInOrder(effects: readonly NotedEffect[]): void {
    const order = [...this.acknowledged].sort((a, b) => (a.position < b.position ? -1 : 1));
    const arrived = effects.filter(({ n }) => n > 0).map(({ n }) => n);
    expect(arrived).toEqual(order.map(({ n }) => n));
    // The second row of each write, in the same order.
    expect(effects.filter(({ n }) => n < 0)).toEqual(order.map(({ n, client }) => ({ n: -client, value: n })));
  }

  async #write(client: number): Promise<void> {
    while (!this.#stopping) {
      const n = this.#next++;
      const writeId = randomUUID();
      const mutations = [sample(this.station, n), sample(this.station, -client, n)];
      const giveUp = performance.now() + 30_000;
      for (;;) {
        try {
          const { status } = await this.#caller().write(mutations, { writeId });
          this.acknowledged.push({ n, writeId, client, position: parsePosition(status?.position ?? "") });
          break;
        } catch (error) {
          if (!maybeLater(error)) throw error;
          this.refused.push(Code[ConnectError.from(error).code]);
          if (performance.now() > giveUp) throw error;
          await pause(20);
        }
      }
      await pause(this.#pauseMs);
    }
  }
}

/** Reads a station's samples in a tight loop and keeps what it finds wrong. */
export class SampleReader implements AsyncDisposable {
  readonly problems: string[] = [];
  readonly refused: string[] = [];
  answered = 0;
  readonly #caller: () => SiteCaller;
  readonly #load: SampleLoad;
  readonly #running: Promise<void>;
  /** What each client's own row was seen to hold. */
  readonly #seen = new Map<number, number>();
  #stopping = false;

  constructor(caller: () => SiteCaller, load: SampleLoad) {
    this.#caller = caller;
    this.#load = load;
    this.#running = this.#read();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop().catch(() => {});
  }

  /** Ends the reading. Nothing was lost to it, torn apart or turned back, and this many reads were answered meanwhile. */
  async expectNothingWrong(answered: number): Promise<void> {
    await this.stop();
    expect(this.problems).toEqual([]);
    expect(this.answered).toBeGreaterThanOrEqual(answered);
  }

  async #read(): Promise<void> {
    while (!this.#stopping) {
      const before = this.#load.acknowledged.slice();
      try {
        const where = equals("station", text(this.#load.station));
        const { header, rows } = await this.#caller().query("weather_samples", { where });
        if (header.bufferUnreachable) continue;
        this.answered += 1;
        this.#check(before, new Map(rows.map((row) => [sampleNumber(row.sampled_at), sampleValue(row.pwv_mm)])));
      } catch (error) {
        if (maybeLater(error)) this.refused.push(ConnectError.from(error).rawMessage);
        else this.problems.push(`${error}`);
        await pause(10);
      }
      await pause(1);
    }
  }

  #check(acknowledged: readonly Acknowledged[], rows: ReadonlyMap<number, number>): void {
    for (const { n, client } of acknowledged) {
      if (!rows.has(n)) this.problems.push(`sample ${n} was acknowledged and is not there`);
      const own = rows.get(-client) ?? 0;
      if (own < n) this.problems.push(`client ${client} has ${own} after ${n} was acknowledged`);
    }
    for (const [n, value] of rows) {
      if (n > 0) continue;
      if (value < (this.#seen.get(n) ?? 0)) this.problems.push(`client ${-n} went back to ${value}`);
      this.#seen.set(n, value);
      if (!rows.has(value)) this.problems.push(`half a write: client ${-n} has ${value}, and the sample is not there`);
    }
  }
}

/** Resolves when main has decided every write, those of the load or up to `last` among them, and the replica shows them all. */
export async function drained(
  caller: SiteCaller,
  {
    load,
    last = load?.last ?? START,
    timeoutMs = 15_000,
  }: { load?: SampleLoad; last?: Position; timeoutMs?: number } = {},
): Promise<void> {
  await eventually(
    async () => {
      const { buffer } = await caller.statusUntil(() => true);
      const known = parsePosition(buffer?.lastPosition || "0-0") >= last;
      return { known, pending: buffer?.pendingWrites, overlay: buffer?.overlayWrites };
    },
    ({ known, pending, overlay }) => known && pending === 0n && overlay === 0n,
    { timeoutMs, everyMs: 50, what: "that the buffer is drained and the overlay empty" },
  );
}

/** Whether the same call may go through later. A stream that a server refused while it ends is no error of the server's. */
function maybeLater(error: unknown): boolean {
  const { code, rawMessage } = ConnectError.from(error);
  return code === Code.Unavailable || code === Code.DeadlineExceeded || rawMessage.includes("REFUSED_STREAM");
}

function sampleNumber(value: Value | undefined): number {
  return value?.kind.case === "timestampValue" ? Number(value.kind.value.seconds) : Number.NaN;
}

function sampleValue(value: Value | undefined): number {
  return value?.kind.case === "doubleValue" ? value.kind.value : Number.NaN;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
