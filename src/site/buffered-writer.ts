import type pg from "pg";
import type { RedisWriteBuffer } from "../buffer/redis-write-buffer.ts";
import { rejectedId } from "../buffer/settle.ts";
import type { BufferedWrite } from "../buffer/write-buffer.ts";
import type { CatalogKeeper } from "../catalog/catalog-keeper.ts";
import { checkOnReplica } from "../catalog/check-on-replica.ts";
import { completeWrite } from "../catalog/complete-write.ts";
import { OpsDbError } from "../errors.ts";
import { Deadline } from "../lib/abort.ts";
import type { Latest } from "../lib/latest.ts";
import type { Logger } from "../lib/logger.ts";
import { inSpan, noteOrigin } from "../lib/trace.ts";
import type { Position } from "../position.ts";
import { useClient } from "../postgres/use-client.ts";
import type { LsnTracker } from "../replication/lsn-tracker.ts";
import type { MainWatch } from "../replication/main-watch.ts";
import type { RequestedWrite, Write } from "../write.ts";
import { checkAgainstMergedView, checkPayload } from "./acceptance.ts";
import { entryStatus } from "./entry-status.ts";
import { ledgerStatus } from "./ledger-status.ts";
import { secondaryToken } from "./secondary-token.ts";
import type { SequenceLeases, TakenForWrite } from "./sequence-leases.ts";
import type { WriteAck, WriteOptions } from "./site.ts";
import type { WriteLookup } from "./write-lookup.ts";
import { determinedRows, writtenRows } from "./written-row.ts";

export interface BufferedWriterOptions {
  site: string;
  buffer: RedisWriteBuffer;
  catalog: CatalogKeeper;
  tracker: LsnTracker;
  mainWatch: MainWatch;
  lookup: WriteLookup;
  leases: SequenceLeases;
  /** The local database, for checks. */
  local: pg.Pool;
  /** Moves with every change of a write's state. */
  changes: Latest<number>;
  logger: Logger;
}

/** Asking the replica while a write waits to be accepted must not hold it up for long: G7. */
const CHECK_MS = 250;
/** While the buffer is still being read, a write whose id may be in it waits this long for it, milliseconds. */
const LOOK_FOR_ID_MS = 500;

interface Checked {
  write: Write;
  /** Its id is in the ledger already. */
  known: boolean;
  taken: TakenForWrite;
}

/** Takes a secondary site's critical writes: into its Redis, with whatever can be checked here and now. */
export class BufferedWriter {
  readonly #options: BufferedWriterOptions;
  /** The tracker's look since which the replica has left a check without an answer. */
  #unansweredSince: number | undefined;

  constructor(options: BufferedWriterOptions) {
    this.#options = options;
  }

  /** refused? -> known id? -> check and complete -> check against the merged view -> append -> acknowledge, or wait. */
  async write(requested: RequestedWrite, options: WriteOptions): Promise<WriteAck> {
    const { buffer } = this.#options;
    const seen = this.#holder(requested.writeId);
    if (seen) return await this.#acknowledgeAgain(requested, seen, options);
    const refusal = buffer.refusal;
    if (refusal) throw refusal;

    if (!requested.fresh && !buffer.complete.value) {
      using deadline = new Deadline(LOOK_FOR_ID_MS);
      await buffer.catchUp(AbortSignal.any([options.signal, deadline.signal]));
      const read = this.#holder(requested.writeId);
      if (read) return await this.#acknowledgeAgain(requested, read, options);
    }
    const { write, known, taken } = await this.#checkUpToDate(requested);
    if (known) {
      taken.giveBack();
      return await this.#acknowledgeFromLedger(requested, write);
    }
    if (!taken.current)
      throw new OpsDbError("BUFFER_UNAVAILABLE", "the connection to Redis broke while the write was checked", {
        retryAfterMs: 100,
      });
    // Where the id is that of a write which is not read yet, the row has the key that was made then, whatever it is.
    if (taken.any && !requested.fresh && !buffer.complete.value) {
      taken.giveBack();
      throw new OpsDbError(
        "BUFFER_UNAVAILABLE",
        "the buffer is still being read: whether the write was accepted before, and with which key, is not known yet",
        { retryAfterMs: 1_000 },
      );
    }
    noteOrigin(write);
    const { position, entry, first } = await inSpan(
      {
        name: "XADD",
        attributes: { "db.system.name": "redis", "db.operation.name": "XADD", "opsdb.write_id": write.writeId },
      },
      () => buffer.append(write),
    );
    // Somebody else of this site was faster with the same id: the order of the stream decides which write it is.
    if (first && !entry?.conflicting) return await this.#acknowledge(first, options, true);
    // Of two contents the later one is refused, unless the earlier one has turned out not to have the id either.
    const holder = this.#holder(requested.writeId);
    if (first && holder) checkPayload(requested, holder.write.payloadHash);
    if (entry) return await this.#acknowledge(entry, options, false);
    return await this.#acknowledgeUnread(write, position, options);
  }

  /** The buffered write that the id belongs to; not one that is rejected because the id is another's. */
  #holder(writeId: string): BufferedWrite | undefined {
    const entry = this.#options.buffer.writes.byId(writeId);
    return entry && rejectedId(entry) === writeId ? entry : undefined;
  }

  /** What another process of the site has just acknowledged may not be in memory yet: no row is missed because of that. */
  async #checkUpToDate(requested: RequestedWrite): Promise<Checked> {
    try {
      return await this.#check(requested);
    } catch (error) {
      if (!(error instanceof OpsDbError) || !["ROW_EXISTS", "ROW_NOT_FOUND"].includes(error.reason)) throw error;
      using deadline = new Deadline(CHECK_MS);
      if (!(await this.#options.buffer.catchUp(deadline.signal))) throw error;
      return await this.#check(requested);
    }
  }

  async #check(requested: RequestedWrite): Promise<Checked> {
    const { buffer, catalog: keeper, tracker, local, leases, logger } = this.#options;
    using completing = new Deadline(CHECK_MS);
    const { write, unchecked, taken } = await keeper.using(completing.signal, async (known) => {
      const sequences = await leases.take(known, requested, completing.signal);
      try {
        const options = { generateAtMain: false, now: new Date(), sequences };
        return { ...completeWrite(known, requested, options), taken: sequences };
      } catch (error) {
        sequences.giveBack();
        throw error;
      }
    });
    using deadline = new Deadline(CHECK_MS);
    const looks = tracker.state.version;
    // One check that was not answered is enough until the tracker has seen the replica answer again.
    if (tracker.part.status.state !== "RUNNING" || looks === this.#unansweredSince)
      return { write: unasked(requested, write), known: false, taken };
    const catalog = keeper.get();
    try {
      if (unchecked.length > 0)
        await useClient(local, deadline.signal, (client) => checkOnReplica(client, catalog, write, unchecked));
      const { known } = await checkAgainstMergedView({
        pool: local,
        catalog,
        pending: buffer.complete.value ? buffer.writes : undefined,
        requested,
        write,
        signal: deadline.signal,
      });
      return { write, known, taken };
    } catch (error) {
      if (error instanceof OpsDbError) {
        // A key that somebody gave a row by hand is in the way: the next attempt has to get the next one.
        if (error.reason !== "ROW_EXISTS") taken.giveBack();
        throw error;
      }
      // The replica cannot be asked: the in-memory checks have to do (G7), and main has the last word.
      this.#unansweredSince = looks;
      logger.warn({ error }, "writes are accepted without asking the replica");
      return { write: unasked(requested, write), known: false, taken };
    }
  }

  async #acknowledge(entry: BufferedWrite, options: WriteOptions, duplicate: boolean): Promise<WriteAck> {
    const reached = await this.#waitFor(entry, options);
    return {
      status: entryStatus(this.#options.site, entry),
      rows: writtenRows(this.#options.catalog.get(), entry.write),
      token: this.#token(entry),
      waitTimedOut: !reached,
      duplicate,
    };
  }

  /** Stored while the stream is still being read: only once it was read, more can be told than that. */
  async #acknowledgeUnread(write: Write, position: Position, options: WriteOptions): Promise<WriteAck> {
    const { site, buffer, catalog } = this.#options;
    const { writeId } = write;
    if (options.waitFor !== "ACCEPTED") {
      const started = performance.now();
      using deadline = new Deadline(options.waitMs);
      await buffer.catchUp(AbortSignal.any([options.signal, deadline.signal]));
      options.signal.throwIfAborted();
      const read = buffer.writes.firstAfter(position - 1n);
      const waitMs = options.waitMs - (performance.now() - started);
      if (read?.position === position) {
        // What turns out to come second is answered as the first, unless that is other content: then it will be rejected.
        const repeated = read.duplicateOf !== undefined && !read.conflicting;
        const entry = (repeated && buffer.writes.byId(writeId)) || read;
        return await this.#acknowledge(entry, { ...options, waitMs }, entry !== read);
      }
    }
    return {
      status: { writeId, state: "ACCEPTED", site, position },
      rows: writtenRows(catalog.get(), write),
      token: this.#token({ position }),
      waitTimedOut: options.waitFor !== "ACCEPTED",
      duplicate: false,
    };
  }

  async #acknowledgeAgain(requested: RequestedWrite, first: BufferedWrite, options: WriteOptions): Promise<WriteAck> {
    checkPayload(requested, first.write.payloadHash);
    return await this.#acknowledge(first, options, true);
  }

  async #acknowledgeFromLedger(requested: RequestedWrite, write: Write): Promise<WriteAck> {
    const { site, catalog, tracker, lookup } = this.#options;
    const row = await lookup.ledger(requested.writeId);
    if (!row) throw new OpsDbError("LOCAL_UNAVAILABLE", "the ledger cannot be read; retry", { retryAfterMs: 1_000 });
    return {
      status: ledgerStatus(row, true),
      rows: determinedRows(catalog.get(), write, requested),
      token: secondaryToken(site, tracker, row.site === site ? row.position : undefined),
      waitTimedOut: false,
      duplicate: true,
    };
  }

  /** Answers false where the time ran out first; the write goes on. */
  async #waitFor(entry: BufferedWrite, { waitFor, waitMs, signal }: WriteOptions): Promise<boolean> {
    const done = (): boolean =>
      waitFor === "ACCEPTED" ||
      entry.state === "REJECTED" ||
      entry.state === "REPLICATED" ||
      (waitFor === "APPLIED" && entry.state === "APPLIED");
    if (done()) return true;
    using _attention = this.#options.tracker.attend();
    using deadline = new Deadline(waitMs);
    try {
      await this.#options.changes.until(done, AbortSignal.any([signal, deadline.signal]));
      return true;
    } catch {
      signal.throwIfAborted();
      return done();
    }
  }

  #token(entry: Pick<BufferedWrite, "position"> & Partial<BufferedWrite>): Uint8Array {
    const { site, tracker, mainWatch } = this.#options;
    const { lsn, position } = entry;
    return secondaryToken(
      site,
      tracker,
      position,
      lsn === undefined ? {} : { lsn, timeline: mainWatch.status.timeline },
    );
  }
}

/** Accepted without asking the ledger for its id. */
function unasked(requested: RequestedWrite, write: Write): Write {
  return requested.fresh ? write : { ...write, idUnchecked: true };
}
