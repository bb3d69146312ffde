import type pg from "pg";
import type { RedisWriteBuffer } from "../buffer/redis-write-buffer.ts";
import { rejectedId, settle } from "../buffer/settle.ts";
import type { BufferedWrite } from "../buffer/write-buffer.ts";
import { columnOf } from "../catalog/catalog.ts";
import type { CatalogKeeper } from "../catalog/catalog-keeper.ts";
import { OpsDbError } from "../errors.ts";
import { Deadline } from "../lib/abort.ts";
import type { Logger } from "../lib/logger.ts";
import { START } from "../position.ts";
import type { DrainPause, Pause } from "../processor/drain-pause.ts";
import type { DataLoss, ReplicationStatus } from "../replication/status.ts";
import type { Mutation, RequestedWrite, Write, WriteStatus } from "../write.ts";
import { checkAgainstMergedView } from "./acceptance.ts";
import { drainReport } from "./drain-report.ts";
import { ledgerStatus } from "./ledger-status.ts";
import type {
  DrainReport,
  Motive,
  Operator,
  PendingWrite,
  RejectedPage,
  RejectedQuery,
  Resolution,
} from "./operator.ts";
import {
  asResolution,
  newAction,
  type OperatorAction,
  recordedAction,
  recordOf,
  requireRecord,
  retryId,
  retryOf,
} from "./operator-action.ts";
import { alreadyResolved, belongsToOther, notRejected, writeNotFound } from "./operator-errors.ts";
import type { RejectedWrites } from "./rejected-writes.ts";

export interface SecondaryOperatorOptions {
  site: string;
  buffer: RedisWriteBuffer;
  pause: DrainPause;
  catalog: CatalogKeeper;
  rejected: RejectedWrites;
  /** The local database, for checks that need it. */
  local: pg.Pool;
  /** The last position that main is known to have decided. */
  decided: () => bigint;
  status: () => ReplicationStatus;
  statusOf: (entry: BufferedWrite) => WriteStatus;
  /** Answers whether memory is up to date with the stream; throws while it was never read. */
  readBuffer: () => Promise<boolean>;
  logger: Logger;
}

/** Reading the stream to its end before its state is shown, milliseconds. */
const LOOK_MS = 500;
/** Asking the replica about a retry, milliseconds; without an answer main decides. */
const CHECK_MS = 1_000;

/**
 * Operators' actions at a secondary site. Each is put on record through the site's own buffer before it takes effect,
 * so it can be done while main is away, and also while the buffer is full.
 */
export class SecondaryOperator implements Operator {
  readonly #options: SecondaryOperatorOptions;

  constructor(options: SecondaryOperatorOptions) {
    this.#options = options;
  }

  async pauseDrain(motive: Motive): Promise<Pause> {
    const { pause, site } = this.#options;
    const standing = await this.#redis(() => pause.look());
    if (standing) return standing;
    const action = newAction(site, motive, { action: "PAUSE_DRAIN" });
    await this.#record(action);
    return await this.#redis(() => pause.begin({ ...motive, since: action.at }));
  }

  async resumeDrain(motive: Motive): Promise<Pause | undefined> {
    const { pause, site } = this.#options;
    const standing = await this.#redis(() => pause.look());
    if (!standing) return undefined;
    await this.#record(newAction(site, motive, { action: "RESUME_DRAIN" }));
    await this.#redis(() => pause.end());
    return standing;
  }

  async showDrain(): Promise<DrainReport> {
    const { rejected, site, pause, status } = this.#options;
    using deadline = new Deadline(LOOK_MS);
    await this.#options.buffer.catchUp(deadline.signal);
    const unresolved = await rejected.count(site).catch(() => undefined);
    return drainReport(status(), { pause: pause.now, oldest: this.#oldestPending(), unresolved });
  }

  async countRejected(): Promise<number> {
    const { rejected, site } = this.#options;
    return await rejected.countStored(site);
  }

  async listRejected(query: RejectedQuery): Promise<RejectedPage> {
    const { site, rejected, readBuffer } = this.#options;
    if (query.site !== undefined && query.site !== site)
      throw new OpsDbError("INVALID_FIELD", `this is site ${site}; the main site lists those of other sites`, {
        field: "site",
      });
    await readBuffer();
    return await rejected.page({ ...query, site });
  }

  async retryWrite(writeId: string, motive: Motive): Promise<{ status: WriteStatus; duplicate: boolean }> {
    const { site, rejected, buffer, statusOf } = this.#options;
    const original = await this.#rejected(writeId);
    const newWriteId = retryId(writeId);
    const standing = await rejected.resolutionOf(writeId);
    if (standing?.kind === "discarded") throw alreadyResolved(writeId, standing);
    const before = standing && (await this.#statusOfKnown(newWriteId));
    if (before) return { status: before, duplicate: true };

    const { refusal } = buffer;
    if (refusal) throw refusal;
    const action = newAction(site, motive, { action: "RETRY_WRITE", writeId, newWriteId });
    const write = retryOf(original, { ...action, newWriteId });
    const refused = await this.#check(write).catch((error: unknown) => ({ error }));
    // What another server has stored meanwhile is in the merged view that this one was checked against.
    const known = await this.#statusOfKnown(newWriteId);
    if (known) return { status: known, duplicate: true };
    if (refused) throw refused.error;
    const resolution = standing ?? (await this.#resolve(action));
    if (resolution.kind === "discarded") throw alreadyResolved(writeId, resolution);
    // On record now: what could still refuse it is nothing that was known a moment ago.
    const { entry, duplicate } = await this.#append(write);
    return { status: statusOf(entry), duplicate };
  }

  async discardWrite(writeId: string, motive: Motive): Promise<Resolution> {
    const { site, rejected } = this.#options;
    await this.#rejected(writeId);
    const resolution =
      (await rejected.resolutionOf(writeId)) ??
      (await this.#resolve(newAction(site, motive, { action: "DISCARD_WRITE", writeId })));
    if (resolution.kind === "retried") throw alreadyResolved(writeId, resolution);
    return resolution;
  }

  async acknowledgeLoss(motive: Motive): Promise<DataLoss | undefined> {
    const { buffer, site } = this.#options;
    const { loss } = buffer;
    if (!loss) return undefined;
    await this.#record(newAction(site, motive, { action: "ACKNOWLEDGE_LOSS" }));
    await this.#redis(() => buffer.acknowledgeLoss(loss));
    return loss;
  }

  /** A rejected write of this site, or why there is none. */
  async #rejected(writeId: string): Promise<Write> {
    const { buffer, site, rejected, readBuffer, catalog } = this.#options;
    requireRecord(catalog.get());
    const complete = await readBuffer();
    const entry = buffer.writes.byId(writeId);
    const found = entry?.state === "REJECTED" ? undefined : await rejected.find(writeId);
    if (entry) {
      // Another process may have heard of the rejection before; the ledger has it for all.
      if (found?.ledger.rejection) settle(buffer.writes, entry, found.ledger);
      if (isRejected(entry) && rejectedId(entry) !== writeId) throw belongsToOther(writeId, rejectedId(entry));
      if (isRejected(entry)) return entry.write;
      throw notRejected(writeId, entry.state);
    }
    if (!found && !complete)
      throw new OpsDbError("BUFFER_UNAVAILABLE", "the buffer cannot be read, and the write is nowhere else", {
        retryAfterMs: 1_000,
      });
    if (!found) throw writeNotFound(writeId, `no write ${writeId} is known at this site`);
    const { ledger, mutations } = found;
    if (!ledger.rejection) throw notRejected(writeId, ledgerStatus(ledger, true).state);
    if (ledger.site !== site)
      throw writeNotFound(writeId, `write ${writeId} is of site ${ledger.site}: settle it there, or at the main site`);
    return { writeId, payloadHash: ledger.payloadHash, mutations };
  }

  async #statusOfKnown(writeId: string): Promise<WriteStatus | undefined> {
    const { buffer, rejected, statusOf } = this.#options;
    const entry = buffer.writes.byId(writeId);
    if (entry) return statusOf(entry);
    const found = await rejected.find(writeId);
    return found && ledgerStatus(found.ledger, true);
  }

  /** Refuses a retry that would surely be rejected again: its table or a column is gone, its row exists or does not. */
  async #check(write: Write): Promise<void> {
    const { catalog, local, buffer } = this.#options;
    using deadline = new Deadline(CHECK_MS);
    try {
      await catalog.using(deadline.signal, (known) => {
        for (const { table: id, columns } of write.mutations) {
          const table = known.byId(id);
          if (!table) throw new OpsDbError("TABLE_NOT_FOUND", `there is no table ${id}`, { metadata: { table: id } });
          for (const name of columns) columnOf(table, name);
        }
      });
      const { signal } = deadline;
      const requested = asRequested(write);
      await checkAgainstMergedView({
        pool: local,
        catalog: catalog.get(),
        pending: buffer.writes,
        requested,
        write,
        signal,
      });
    } catch (error) {
      // What the replica does not answer main decides.
      if (!(error instanceof OpsDbError)) return;
      const { reason, message, metadata, retryAfterMs } = error;
      throw new OpsDbError(reason, message, {
        field: "write_id",
        metadata,
        cause: error,
        ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      });
    }
  }

  async #record(action: OperatorAction): Promise<void> {
    const { buffer, catalog, logger } = this.#options;
    requireRecord(catalog.get());
    await buffer.append(recordOf(action), { reserve: true });
    logger.warn({ ...action }, "an operator's action is on record");
  }

  /** Puts a decision on record. Of two about the same write, the order of the stream says which one holds. */
  async #resolve(action: OperatorAction): Promise<Resolution> {
    const { entry, duplicate } = await this.#append(recordOf(action));
    const recorded = recordedAction(entry.write);
    if (!recorded || (duplicate && isRejected(entry)))
      throw new OpsDbError("ALREADY_RESOLVED", "another site has settled the write; its record is not here yet", {
        field: "write_id",
        retryAfterMs: 1_000,
      });
    if (!duplicate) this.#options.logger.warn({ ...action }, "an operator's action is on record");
    return asResolution(recorded);
  }

  /** Stores a write, also where the buffer is full. Answers the first one of its id, as it stands in the stream. */
  async #append(write: Write): Promise<{ entry: BufferedWrite; duplicate: boolean }> {
    const { buffer, readBuffer } = this.#options;
    const { position, entry, first } = await buffer.append(write, { reserve: true });
    if (entry) return { entry: first ?? entry, duplicate: first !== undefined };
    await readBuffer(); // while the stream is still being read, nothing tells which was first
    const read = buffer.writes.byId(write.writeId);
    if (read) return { entry: read, duplicate: read.position !== position };
    throw new OpsDbError("BUFFER_UNAVAILABLE", "the buffer does not have the write any more; try again", {
      retryAfterMs: 1_000,
    });
  }

  #oldestPending(): PendingWrite | undefined {
    const { buffer, decided, catalog } = this.#options;
    const from = decided();
    const oldest = from >= START ? buffer.writes.firstAfter(from) : undefined;
    if (!oldest) return undefined;
    const known = catalog.catalog.value;
    const tables = new Set(oldest.write.mutations.map(({ table }) => known?.byId(table)?.name ?? table));
    return { writeId: oldest.writeId, position: oldest.position, acceptedAt: oldest.acceptedAt, tables: [...tables] };
  }

  async #redis<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof OpsDbError) throw error;
      const message = error instanceof Error ? error.message : String(error);
      throw new OpsDbError("BUFFER_UNAVAILABLE", `the buffer cannot be reached: ${message}`, {
        retryAfterMs: 1_000,
        cause: error,
      });
    }
  }
}

function isRejected({ state }: BufferedWrite): boolean {
  return state === "REJECTED";
}

/** The request that the merged view is asked about: with every value given, so that no key passes for a new one. */
function asRequested({ writeId, payloadHash, mutations }: Write): RequestedWrite {
  const given = ({ table, operation, columns }: Mutation): RequestedWrite["mutations"][number] => ({
    table,
    operation,
    key: {},
    values: Object.fromEntries(columns.map((name) => [name, { kind: "null" }])),
    preconditions: [],
  });
  return { writeId, fresh: false, payloadHash, mutations: mutations.map(given) };
}
