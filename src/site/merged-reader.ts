import type pg from "pg";
import type { RedisWriteBuffer } from "../buffer/redis-write-buffer.ts";
import type { CatalogKeeper } from "../catalog/catalog-keeper.ts";
import { Deadline } from "../lib/abort.ts";
import { linkSignals } from "../lib/linked-signal.ts";
import { type ReadFacts, TableReader } from "../query/read-table.ts";
import type { SqlQuery, SqlSettings } from "../query/sql-query.ts";
import type { QueryPart, TableQuery } from "../query/table-query.ts";
import type { LsnTracker } from "../replication/lsn-tracker.ts";
import type { MainWatch } from "../replication/main-watch.ts";
import { decodeToken } from "../token.ts";
import { checkSystem, waitForPosition, waitForTokenLsn, withinDeadline } from "./freshness.ts";
import { readBuffer } from "./read-buffer.ts";
import { secondaryToken } from "./secondary-token.ts";
import type { QueryOptions } from "./site.ts";
import { KEPT_MS } from "./trim-buffer.ts";

export interface MergedReaderOptions {
  site: string;
  buffer: RedisWriteBuffer;
  catalog: CatalogKeeper;
  tracker: LsnTracker;
  mainWatch: MainWatch;
  local: pg.Pool;
  main: pg.Pool;
  /** Time between looks for a position that a token asks for, milliseconds. */
  pollMs: number;
  sql: SqlSettings;
}

/** A secondary site's reads: of its replica with what is still on its way, of the replica alone, or of main. */
export class MergedReader {
  readonly #options: MergedReaderOptions;
  readonly #merged: TableReader;
  readonly #plain: TableReader;

  constructor(options: MergedReaderOptions) {
    this.#options = options;
    const { site, buffer, sql } = options;
    this.#merged = new TableReader({ site, pending: buffer.writes, sql });
    this.#plain = new TableReader({ site, sql });
  }

  /** fresh enough? -> buffer to its tail -> snapshot -> overlay -> PostgreSQL evaluates. */
  async *query(query: TableQuery | SqlQuery, options: QueryOptions): AsyncGenerator<QueryPart> {
    const { site, buffer, catalog: keeper, tracker, mainWatch, local, main } = this.#options;
    const started = performance.now();
    const { signal, timeoutMs } = options;
    const catalog = await keeper.using(signal, async (known) => {
      await this.#merged.check(known, query);
      return known;
    });
    using deadline = new Deadline(timeoutMs);
    using waiting = linkSignals(signal, deadline.signal);
    if (query.token.length > 0) await withinDeadline(timeoutMs, signal, (fresh) => this.#fresh(query, fresh));
    let bufferRead = true;
    const toTail = async (): Promise<void> => {
      bufferRead = await readBuffer(buffer, waiting.signal);
    };
    const atMain = query.consistency === "main";
    const reader = query.consistency === "merged" ? this.#merged : this.#plain;
    const before = tracker.state.value;
    const timelineNow = (): number | undefined => (atMain ? mainWatch.status.timeline : before?.timeline);
    yield* reader.read(catalog, query, {
      pool: atMain ? main : local,
      unavailable: atMain ? "MAIN_UNAVAILABLE" : "LOCAL_UNAVAILABLE",
      timeoutMs: timeoutMs - (performance.now() - started),
      signal,
      newerCatalog: (reading) => keeper.newer(reading),
      ...(reader.merges && { buffer: { isLoaded: () => buffer.complete.value, toTail, keptMs: KEPT_MS } }),
      header: ({ columns, related, pendingWrites, position, lsnAfter }: ReadFacts) => ({
        kind: "header",
        header: {
          columns,
          related,
          consistency: query.consistency,
          lsn: atMain ? lsnAfter : (before?.lsn ?? 0n),
          timeline: timelineNow() ?? 0,
          pendingWrites,
          token: secondaryToken(site, tracker, position, { lsn: lsnAfter, timeline: timelineNow() }),
          replicaAgeMs: atMain ? undefined : before?.replayAgeMs,
          bufferUnreachable: !bufferRead,
        },
      }),
    });
  }

  async #fresh(query: TableQuery | SqlQuery, signal: AbortSignal): Promise<void> {
    const { site, tracker, local, main, pollMs } = this.#options;
    const token = decodeToken(query.token);
    checkSystem(token, tracker.state.value?.systemIdentifier ?? "");
    const atMain = query.consistency === "main";
    const merged = query.consistency === "merged" && token.site === site;
    // The overlay shows every write of this site that the replica does not; another site's must have come home.
    if (token.position !== undefined && !merged)
      await waitForPosition(atMain ? main : local, token.site, token.position, pollMs, signal);
    if (token.lsn !== undefined && !atMain) await waitForTokenLsn(tracker, token, signal);
  }
}
