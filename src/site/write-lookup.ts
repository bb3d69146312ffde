import type pg from "pg";
import { neverTrimmed } from "../buffer/never-trimmed.ts";
import type { RedisWriteBuffer } from "../buffer/redis-write-buffer.ts";
import { OpsDbError } from "../errors.ts";
import { Deadline, sleep } from "../lib/abort.ts";
import type { Latest } from "../lib/latest.ts";
import { type LedgerRow, parseLedgerRow, readLedger } from "../postgres/ledger.ts";
import { translate } from "../postgres/sqlstate.ts";
import { queryRows } from "../postgres/use-client.ts";
import type { LsnTracker } from "../replication/lsn-tracker.ts";
import type { MainWatch } from "../replication/main-watch.ts";
import type { WriteState, WriteStatus } from "../write.ts";
import { entryStatus } from "./entry-status.ts";
import { ledgerStatus } from "./ledger-status.ts";
import { readBuffer } from "./read-buffer.ts";
import type { WatchWritesOptions } from "./site.ts";
import { watchWrites } from "./watch-writes.ts";

export interface WriteLookupOptions {
  site: string;
  buffer: RedisWriteBuffer;
  tracker: LsnTracker;
  mainWatch: MainWatch;
  local: pg.Pool;
  main: pg.Pool;
  /** A database that has not answered by then cannot be asked, milliseconds. */
  timeoutMs: number;
  /** Time between looks for a write that is not this site's, milliseconds. */
  pollMs: number;
  /** Moves with every change of a write's state. */
  changes: Latest<number>;
}

/** Longest wait of GetWrite for a buffer that is still being read, milliseconds. */
const LOOK_FOR_OUTCOME_MS = 10_000;

/** What became of writes at a secondary site: memory knows it first, then the local database, and main of all others. */
export class WriteLookup {
  readonly #options: WriteLookupOptions;

  constructor(options: WriteLookupOptions) {
    this.#options = options;
  }

  async get(writeId: string): Promise<WriteStatus> {
    const { site, buffer } = this.#options;
    const complete = buffer.writes.byId(writeId) !== undefined || (await this.readBuffer());
    const entry = buffer.writes.byId(writeId);
    if (entry) return { ...entryStatus(site, entry), writeId };
    const local = await this.ledger(writeId).catch((error: unknown) => error as OpsDbError);
    if (local && !(local instanceof OpsDbError)) return ledgerStatus(local, true);
    // It may be acknowledged by another process of this site, or be on main and not here yet: only who could look
    // everywhere may say that it is unknown.
    if (!complete)
      throw new OpsDbError("BUFFER_UNAVAILABLE", "the buffer cannot be read, and the write is nowhere else", {
        retryAfterMs: 1_000,
      });
    const there = await this.#ledgerOfMain(writeId);
    if (there) return ledgerStatus(there, false);
    if (local) throw local;
    throw new OpsDbError("WRITE_NOT_FOUND", `no write ${writeId} is known`, {
      field: "write_id",
      metadata: { write_id: writeId },
    });
  }

  async *follow(writeId: string, signal: AbortSignal): AsyncGenerator<WriteStatus> {
    const { buffer, tracker, changes, pollMs } = this.#options;
    using _attention = tracker.attend();
    let last: WriteState | undefined;
    for (;;) {
      const version = changes.version;
      const status = await this.get(writeId);
      if (status.state !== last) yield status;
      last = status.state;
      if (last === "REPLICATED" || last === "REJECTED") return;
      if (buffer.writes.byId(writeId)) await changes.changed(version, signal);
      else await sleep(pollMs, signal);
    }
  }

  async *watch(options: WatchWritesOptions): AsyncGenerator<WriteStatus> {
    const { site, buffer, tracker, mainWatch, changes } = this.#options;
    await readBuffer(buffer, options.signal);
    yield* watchWrites(
      {
        writes: buffer.writes,
        statusOf: (entry) => entryStatus(site, entry),
        changes,
        neverTrimmed: () => neverTrimmed(buffer.redis, buffer.key("writes")),
        // While main is away nothing arrives: looking often would be for nothing, all night.
        attend: () => (mainWatch.part.status.state === "RUNNING" ? tracker.attend() : undefined),
      },
      options,
    );
  }

  /** Answers whether memory is up to date with the stream; throws where it has not been read for long. */
  async readBuffer(): Promise<boolean> {
    using deadline = new Deadline(LOOK_FOR_OUTCOME_MS);
    return await readBuffer(this.#options.buffer, deadline.signal);
  }

  /** The ledger row of a write as the local database, or the given one, has it. */
  async ledger(writeId: string, pool = this.#options.local): Promise<LedgerRow | undefined> {
    const { main, timeoutMs } = this.#options;
    try {
      const [row] = await queryRows(pool, AbortSignal.timeout(timeoutMs), readLedger([writeId]));
      return row && parseLedgerRow(row);
    } catch (error) {
      throw translate(error, pool === main ? "MAIN_UNAVAILABLE" : "LOCAL_UNAVAILABLE");
    }
  }

  async #ledgerOfMain(writeId: string): Promise<LedgerRow | undefined> {
    const { main, mainWatch } = this.#options;
    const { state, reason } = mainWatch.part.status;
    if (state === "RUNNING") return await this.ledger(writeId, main);
    throw new OpsDbError("MAIN_UNAVAILABLE", `the write is not known here, and main cannot be asked: ${reason}`, {
      retryAfterMs: 1_000,
    });
  }
}
