import type pg from "pg";
import type { BufferedWrites } from "../buffer/buffered-writes.ts";
import { rejectedId } from "../buffer/settle.ts";
import type { BufferedWrite } from "../buffer/write-buffer.ts";
import { Deadline } from "../lib/abort.ts";
import { START } from "../position.ts";
import type { Statement } from "../postgres/connection.ts";
import {
  countUnsettled,
  parseRejectedRow,
  type RejectedRow,
  readActions,
  readRejectedPage,
  readWithPayload,
} from "../postgres/rejected-writes.ts";
import { translate } from "../postgres/sqlstate.ts";
import { queryRows } from "../postgres/use-client.ts";
import type { WriteStatus } from "../write.ts";
import { ledgerStatus } from "./ledger-status.ts";
import type { PageKey, RejectedPage, RejectedQuery, RejectedWrite, Resolution } from "./operator.ts";
import { asResolution, parseAction, recordedAction, resolutionId } from "./operator-action.ts";

export interface RejectedWritesOptions {
  pool: pg.Pool;
  unavailable: "MAIN_UNAVAILABLE" | "LOCAL_UNAVAILABLE";
  timeoutMs: number;
  /** What the site's memory knows of its own writes; undefined at the main site, where the ledger is complete. */
  memory?: { writes: BufferedWrites; statusOf: (entry: BufferedWrite) => WriteStatus };
}

/** A rejected write, and whether what an operator did about it has settled it. */
interface Candidate extends RejectedWrite {
  settled: boolean;
}

const BEGINNING: PageKey = { position: START, writeId: "00000000-0000-0000-0000-000000000000" };
/** More than these are counted in the database alone. */
const COUNTED = 10_000;

/** Rejected writes and what operators did about them: the ledger, with what memory knows and the ledger does not yet. */
export class RejectedWrites {
  readonly #options: RejectedWritesOptions;

  constructor(options: RejectedWritesOptions) {
    this.#options = options;
  }

  async page({ site, includeResolved, limit, after = BEGINNING }: RejectedQuery): Promise<RejectedPage> {
    // Memory before the database: a write that leaves memory in between is in the database by then.
    const remembered = this.#remembered();
    const writes: RejectedWrite[] = [];
    for (let from = after; ; ) {
      const rows = await this.#rows(
        readRejectedPage({ site, after: from, settled: includeResolved, limit: limit + 1 }),
      );
      const merged = merge(rows.map(parseRejectedRow), remembered, from);
      const candidates = await this.#withResolutions(merged.slice(0, limit + 1));
      for (const { settled, ...write } of candidates) {
        if (settled && !includeResolved) continue;
        const last = writes.at(-1);
        if (last && writes.length === limit) return { writes, next: keyOf(last) };
        writes.push(write);
      }
      const last = candidates.at(-1);
      if (!last || merged.length <= limit) return { writes };
      from = keyOf(last);
    }
  }

  /** How many wait for an operator, as far as the database knows. */
  async countStored(site: string | undefined): Promise<number> {
    const [[text] = []] = await this.#rows(countUnsettled(site));
    return Number(text);
  }

  /** How many wait for an operator. */
  async count(site: string | undefined): Promise<number> {
    const stored = await this.countStored(site);
    if (stored > COUNTED) return stored;
    let count = 0;
    for (let after: PageKey | undefined; ; ) {
      const { writes, next } = await this.page({ site, includeResolved: false, limit: 500, after });
      count += writes.length;
      if (!next) return count;
      after = next;
    }
  }

  /** The ledger row of a write, rejected or not. */
  async find(writeId: string): Promise<RejectedRow | undefined> {
    const [row] = await this.#rows(readWithPayload(writeId));
    return row && parseRejectedRow(row);
  }

  /** What an operator did about a write. */
  async resolutionOf(writeId: string): Promise<Resolution | undefined> {
    return (await this.#resolutions([writeId])).get(writeId)?.resolution;
  }

  #remembered(): RejectedWrite[] {
    const { memory } = this.#options;
    if (!memory) return [];
    return memory.writes
      .after(START)
      .filter((entry) => entry.state === "REJECTED" && memory.writes.byId(rejectedId(entry)) === entry)
      .map((entry) => ({
        status: { ...memory.statusOf(entry), writeId: rejectedId(entry) },
        mutations: entry.write.mutations,
      }));
  }

  async #withResolutions(writes: readonly RejectedWrite[]): Promise<Candidate[]> {
    const known = await this.#resolutions(writes.map(({ status }) => status.writeId));
    return writes.map((write) => ({ ...write, settled: false, ...known.get(write.status.writeId) }));
  }

  async #resolutions(writeIds: readonly string[]): Promise<Map<string, { resolution: Resolution; settled: boolean }>> {
    const { memory } = this.#options;
    const known = new Map<string, { resolution: Resolution; settled: boolean }>();
    if (writeIds.length === 0) return known;
    const add = (writeId: string, resolution: Resolution, newIsStored: boolean): void => {
      const stored = resolution.kind === "discarded" || newIsStored || memory?.writes.byId(resolution.newWriteId);
      known.set(writeId, { resolution, settled: Boolean(stored) });
    };
    for (const writeId of memory ? writeIds : []) {
      const entry = memory?.writes.byId(resolutionId(writeId));
      // A record that main refuses was too late: another site had settled the write, and the database says how.
      const action = entry && entry.state !== "REJECTED" ? recordedAction(entry.write) : undefined;
      if (action) add(writeId, asResolution(action), false);
    }
    const missing = writeIds.filter((writeId) => !known.has(writeId));
    for (const row of missing.length === 0 ? [] : await this.#rows(readActions(missing.map(resolutionId)))) {
      const action = parseAction(row);
      if (action.writeId !== undefined) add(action.writeId, asResolution(action), row[8] === "t");
    }
    return known;
  }

  async #rows(statement: Statement): Promise<(string | null)[][]> {
    const { pool, timeoutMs, unavailable } = this.#options;
    try {
      using deadline = new Deadline(timeoutMs);
      return await queryRows(pool, deadline.signal, statement);
    } catch (error) {
      throw translate(error, unavailable);
    }
  }
}

/** What the ledger has, and what memory has besides, after the key and in order. */
function merge(rows: readonly RejectedRow[], remembered: readonly RejectedWrite[], after: PageKey): RejectedWrite[] {
  const listed = rows.map(({ ledger, mutations }) => ({ status: ledgerStatus(ledger, true), mutations }));
  const ids = new Set(listed.map(({ status }) => status.writeId));
  const more = remembered.filter((write) => !ids.has(write.status.writeId) && compare(keyOf(write), after) > 0);
  return [...listed, ...more].sort((a, b) => compare(keyOf(a), keyOf(b)));
}

function keyOf({ status }: RejectedWrite): PageKey {
  return { position: status.position ?? START, writeId: status.writeId };
}

function compare(a: PageKey, b: PageKey): number {
  if (a.position !== b.position) return a.position < b.position ? -1 : 1;
  return a.writeId < b.writeId ? -1 : a.writeId > b.writeId ? 1 : 0;
}
