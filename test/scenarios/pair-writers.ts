import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { upsert } from "../../demo/mutations.ts";
import type { MutationInit } from "../../demo/site-client.ts";
import { integer, text } from "../../demo/values.ts";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/ts/google/rpc/error_details_pb.ts";
import type { WriteResponse } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { type Position, parsePosition } from "../../src/position.ts";
import { eventually } from "../support/eventually.ts";
import { sql } from "../support/sql.ts";
import type { OwnSite } from "./own-site.ts";

/** After this a writer repeats its write at the next server, milliseconds: a frozen one answers nothing. */
const CALL_MS = 2_000;

export interface Attempt {
  n: number;
  writeId: string;
  poison: boolean;
  /** When it was first called, and when it was acknowledged, milliseconds. */
  begun: number;
  /** Whether it was called again after a call that failed. */
  repeated?: boolean;
  acknowledged?: { at: number; position: Position };
}

export interface WritersOptions {
  /** How many at once. Default 8. */
  writers?: number;
  /** Each so-many-th write is one that main refuses. Default: none. */
  poisonEvery?: number;
  /** Number of the first pair. Default 0. */
  firstNumber?: number;
  /** Another client than the usual one; `at` grows with every failure. */
  send?: (at: number, request: { mutations: MutationInit[]; writeId: string }) => Promise<WriteResponse>;
}

/** What went wrong with a site's writes; all lists are empty where nothing did. */
export interface Wrongs {
  /** Acknowledged, and neither on main nor rejected. */
  lost: number[];
  /** On main more than once, or rejected and there all the same. */
  doubled: number[];
  /** On main in part. */
  torn: number[];
  /** On main before a write with a smaller position. */
  reordered: number[];
  /** Acknowledged before the call of a write that has a smaller position. */
  overtaken: number[];
  /**
   * Acknowledged with another position than the ledger has; or, if it was repeated, with an earlier one: a repetition that
   * comes while the stream is still being read is acknowledged by its own place, which is behind the first.
   */
  moved: number[];
  /** On main or in the ledger, and nobody wrote it. */
  strange: number[];
  /** Positions of more than one write. */
  reused: string[];
  /** Rejected by main although it is well, or the other way round. */
  misjudged: number[];
}

export const nothingWrong: Wrongs = {
  lost: [],
  doubled: [],
  torn: [],
  reordered: [],
  overtaken: [],
  moved: [],
  strange: [],
  reused: [],
  misjudged: [],
};

/**
 * Callers that write one pair of rows after the other, and repeat a write under its id, at the next server of the site,
 * until it is acknowledged. They go on until `finish`.
 */
export class PairWriters implements AsyncDisposable {
  readonly attempts: Attempt[] = [];
  /** Reasons (or codes, where there is none) of the calls that failed, with their number. */
  readonly refusals = new Map<string, number>();
  readonly #site: OwnSite;
  readonly #running: Promise<void>[];
  readonly #poisonEvery: number;
  readonly #firstNumber: number;
  readonly #send: NonNullable<WritersOptions["send"]>;
  #acknowledged = 0;
  #finishing = false;
  #abandoned = false;

  constructor(site: OwnSite, options: WritersOptions = {}) {
    this.#site = site;
    this.#poisonEvery = options.poisonEvery ?? Number.POSITIVE_INFINITY;
    this.#firstNumber = options.firstNumber ?? 0;
    this.#send =
      options.send ??
      ((at, request) => {
        const caller = site.callers[at % site.callers.length] ?? site.caller;
        return caller.writes.write(request, { timeoutMs: CALL_MS });
      });
    this.#running = Array.from({ length: options.writers ?? 8 }, (_, i) => this.#run(i));
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Resolves after so many more acknowledgements. */
  async more(count: number): Promise<void> {
    const enough = this.#acknowledged + count;
    await eventually(
      () => ({ acknowledged: this.#acknowledged, refusals: [...this.refusals] }),
      ({ acknowledged }) => acknowledged >= enough,
      { timeoutMs: 20_000, what: `${count} more acknowledgements` },
    );
  }

  /** Resolves after so many more calls that failed. */
  async refused(count: number): Promise<void> {
    const total = (): number => [...this.refusals.values()].reduce((sum, each) => sum + each, 0);
    const enough = total() + count;
    await eventually(total, (sum) => sum >= enough, { timeoutMs: 20_000, what: `${count} more refusals` });
  }

  /** Begins no more writes; resolves when all that were begun are acknowledged. */
  async finish(): Promise<void> {
    this.#finishing = true;
    await eventually(
      () => ({ open: this.attempts.filter((each) => !each.acknowledged).length, refusals: [...this.refusals] }),
      ({ open }) => open === 0,
      { timeoutMs: 20_000, what: "that every write is acknowledged" },
    );
    await Promise.all(this.#running);
  }

  /** Begins no more writes and repeats none; what is open stays unknown. */
  async abandon(): Promise<void> {
    this.#abandoned = true;
    await Promise.all(this.#running);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abandon();
  }

  /** Compares what was acknowledged with what main has. */
  async wrongs(): Promise<Wrongs> {
    return await findWrongs(this.#site, this.attempts);
  }

  /** The same, with what others wrote at this site. */
  async wrongsWith(others: readonly Attempt[]): Promise<Wrongs> {
    return await findWrongs(this.#site, [...others, ...this.attempts]);
  }

  async #run(writer: number): Promise<void> {
    let at = writer;
    while (!this.#finishing && !this.#abandoned) {
      const n = this.#firstNumber + this.attempts.length;
      const poison = n % this.#poisonEvery === this.#poisonEvery - 1;
      const attempt: Attempt = { n, writeId: randomUUID(), poison, begun: performance.now() };
      this.attempts.push(attempt);
      while (!attempt.acknowledged && !this.#abandoned) {
        try {
          const mutations = pair(this.#site.name, n, poison);
          const { status } = await this.#send(at, { mutations, writeId: attempt.writeId });
          attempt.acknowledged = { at: performance.now(), position: parsePosition(status?.position ?? "") };
          this.#acknowledged += 1;
        } catch (error) {
          const reason = reasonOf(error);
          this.refusals.set(reason, (this.refusals.get(reason) ?? 0) + 1);
          at += 1;
          attempt.repeated = true;
          await delay(20);
        }
      }
    }
  }
}

/** Two rows that belong together. */
export function pair(site: string, n: number, poison = false): MutationInit[] {
  return [1, 2].map((part) =>
    upsert("pairs", {
      site: text(site),
      n: integer(n),
      part: integer(part),
      value: text(poison && part === 2 ? "poison" : `${n}`),
    }),
  );
}

/** Writes one pair, once. */
export async function writePair(site: OwnSite, n: number, caller = site.caller): Promise<Attempt> {
  const attempt: Attempt = { n, writeId: randomUUID(), poison: false, begun: performance.now() };
  const { status } = await caller.write(pair(site.name, n), { writeId: attempt.writeId });
  return { ...attempt, acknowledged: { at: performance.now(), position: parsePosition(status?.position ?? "") } };
}

export async function findWrongs(site: OwnSite, attempts: readonly Attempt[]): Promise<Wrongs> {
  const url = site.sites.urls.main;
  const effects = await sql<{ n: number; part: number }>(
    url,
    "select n, part from effects where site = $1 order by seq",
    [site.name],
  );
  const ledger = await sql<{ write_id: string; position: string; outcome: string }>(
    url,
    "select write_id, position, outcome from opsdb.ledger where site = $1",
    [site.name],
  );
  const rows = new Map(ledger.map((row) => [row.write_id, { ...row, position: parsePosition(row.position) }]));
  const parts = Map.groupBy(effects, ({ n }) => n);
  const acknowledged = attempts.filter((each) => each.acknowledged);
  const numbers = (list: readonly Attempt[]): number[] => list.map(({ n }) => n);
  const attemptedNumbers = new Set(numbers(attempts));
  const known = new Set(attempts.map(({ writeId }) => writeId));
  const partsOf = ({ n }: Attempt): number[] => (parts.get(n) ?? []).map(({ part }) => part);
  const rowOf = ({ writeId }: Attempt) => rows.get(writeId);
  return {
    lost: numbers(
      acknowledged.filter((each) => rowOf(each) === undefined || (!each.poison && partsOf(each).length === 0)),
    ),
    doubled: numbers(attempts.filter((each) => new Set(partsOf(each)).size < partsOf(each).length)),
    torn: numbers(attempts.filter((each) => new Set(partsOf(each)).size === 1)),
    reordered: reordered(attempts, effects, (each) => rowOf(each)?.position),
    overtaken: overtaken(acknowledged),
    moved: numbers(acknowledged.filter((each) => isMoved(each, rowOf(each)?.position))),
    strange: [
      ...[...parts.keys()].filter((n) => !attemptedNumbers.has(n)),
      ...ledger.flatMap((row, i) => (known.has(row.write_id) ? [] : [i])),
    ],
    reused: reused(acknowledged, rows),
    misjudged: numbers(attempts.filter((each) => rowOf(each) && (rowOf(each)?.outcome === "REJECTED") !== each.poison)),
  };
}

function isMoved({ acknowledged, repeated }: Attempt, inLedger: Position | undefined): boolean {
  if (!acknowledged || inLedger === undefined || acknowledged.position === inLedger) return false;
  return !repeated || acknowledged.position < inLedger;
}

function reordered(
  attempts: readonly Attempt[],
  effects: readonly { n: number }[],
  positionOf: (attempt: Attempt) => Position | undefined,
): number[] {
  const byNumber = new Map(attempts.map((each) => [each.n, each]));
  let last: Position = 0n;
  return effects.flatMap(({ n }) => {
    const attempt = byNumber.get(n);
    const position = (attempt && positionOf(attempt)) ?? last;
    if (position < last) return [n];
    last = position;
    return [];
  });
}

function overtaken(acknowledged: readonly Attempt[]): number[] {
  const answered = acknowledged.toSorted((a, b) => (a.acknowledged?.at ?? 0) - (b.acknowledged?.at ?? 0));
  let next = 0;
  let highest: Position = 0n;
  return acknowledged
    .toSorted((a, b) => a.begun - b.begun)
    .flatMap(({ n, begun, acknowledged: own }) => {
      for (let before = answered[next]; before?.acknowledged; before = answered[++next]) {
        if (before.acknowledged.at > begun) break;
        if (before.acknowledged.position > highest) highest = before.acknowledged.position;
      }
      return own && own.position < highest ? [n] : [];
    });
}

function reused(acknowledged: readonly Attempt[], rows: Map<string, { position: Position }>): string[] {
  const owners = new Map<Position, Set<string>>();
  const note = (position: Position, writeId: string) =>
    owners.set(position, (owners.get(position) ?? new Set()).add(writeId));
  for (const { writeId, acknowledged: own } of acknowledged) if (own) note(own.position, writeId);
  for (const [writeId, { position }] of rows) note(position, writeId);
  return [...owners].filter(([, ids]) => ids.size > 1).map(([position]) => `${position >> 64n}`);
}

export function reasonOf(error: unknown): string {
  const { code, details: _, ...rest } = ConnectError.from(error);
  return ConnectError.from(error).findDetails(ErrorInfoSchema)[0]?.reason ?? `${Code[code]} ${rest.rawMessage}`;
}

export function isRetryable(error: unknown): boolean {
  return ConnectError.from(error).findDetails(RetryInfoSchema).length === 1;
}
