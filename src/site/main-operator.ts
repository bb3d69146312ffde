import type { CatalogKeeper } from "../catalog/catalog-keeper.ts";
import { OpsDbError } from "../errors.ts";
import { Deadline } from "../lib/abort.ts";
import type { Logger } from "../lib/logger.ts";
import type { RejectedRow } from "../postgres/rejected-writes.ts";
import type { ReplicationStatus } from "../replication/status.ts";
import type { Write, WriteStatus } from "../write.ts";
import type { DirectResult, DirectWriter } from "./direct-writer.ts";
import { drainReport } from "./drain-report.ts";
import { ledgerStatus } from "./ledger-status.ts";
import type { DrainReport, Motive, Operator, RejectedPage, RejectedQuery, Resolution } from "./operator.ts";
import { asResolution, newAction, recordOf, requireRecord, retryId } from "./operator-action.ts";
import { alreadyResolved, noBuffer, notRejected, writeNotFound } from "./operator-errors.ts";
import type { RejectedWrites } from "./rejected-writes.ts";

export interface MainOperatorOptions {
  site: string;
  writer: DirectWriter;
  catalog: CatalogKeeper;
  rejected: RejectedWrites;
  status: () => ReplicationStatus;
  timeoutMs: number;
  logger: Logger;
}

/** Operators' actions at the main site: rejected writes of all sites, settled straight on the main database. */
export class MainOperator implements Operator {
  readonly #options: MainOperatorOptions;

  constructor(options: MainOperatorOptions) {
    this.#options = options;
  }

  pauseDrain(): Promise<never> {
    return Promise.reject(noBuffer());
  }

  resumeDrain(): Promise<never> {
    return Promise.reject(noBuffer());
  }

  acknowledgeLoss(): Promise<never> {
    return Promise.reject(noBuffer());
  }

  async showDrain(): Promise<DrainReport> {
    const unresolved = await this.#options.rejected.count(undefined).catch(() => undefined);
    return drainReport(this.#options.status(), { unresolved });
  }

  async countRejected(): Promise<number> {
    return await this.#options.rejected.countStored(undefined);
  }

  async listRejected(query: RejectedQuery): Promise<RejectedPage> {
    return await this.#options.rejected.page(query);
  }

  /** Changes, ledger row and record are one transaction: a retry that the database refuses has settled nothing. */
  async retryWrite(writeId: string, motive: Motive): Promise<{ status: WriteStatus; duplicate: boolean }> {
    const { site, rejected } = this.#options;
    const { ledger, mutations } = await this.#rejected(writeId);
    const newWriteId = retryId(writeId);
    const standing = await rejected.resolutionOf(writeId);
    if (standing?.kind === "discarded") throw alreadyResolved(writeId, standing);
    const action = newAction(site, motive, { action: "RETRY_WRITE", writeId, newWriteId });
    // The record comes last, so that an error names the write's own mutation.
    const record = standing ? [] : recordOf(action).mutations;
    const write = { writeId: newWriteId, payloadHash: ledger.payloadHash, mutations: [...mutations, ...record] };
    const result = await this.#write(write).catch(async (error: unknown) => {
      const faster = await rejected.resolutionOf(writeId);
      if (faster?.kind === "discarded") throw alreadyResolved(writeId, faster);
      throw ofWrite(error);
    });
    if (result.kind === "known") return { status: ledgerStatus(result.ledger, true), duplicate: true };
    this.#options.logger.warn({ ...action }, "an operator's action is on record");
    const { lsn, at } = result;
    return { status: { writeId: newWriteId, state: "REPLICATED", site, lsn, appliedAt: at }, duplicate: false };
  }

  async discardWrite(writeId: string, motive: Motive): Promise<Resolution> {
    await this.#rejected(writeId);
    const resolution = (await this.#options.rejected.resolutionOf(writeId)) ?? (await this.#discard(writeId, motive));
    if (resolution.kind === "retried") throw alreadyResolved(writeId, resolution);
    return resolution;
  }

  async #discard(writeId: string, motive: Motive): Promise<Resolution> {
    const { site, rejected, logger } = this.#options;
    const action = newAction(site, motive, { action: "DISCARD_WRITE", writeId });
    try {
      const { kind } = await this.#write(recordOf(action));
      if (kind === "known") throw new Error("bug: an action is in the ledger and not on record");
    } catch (error) {
      const faster = await rejected.resolutionOf(writeId);
      if (faster) return faster;
      throw error;
    }
    logger.warn({ ...action }, "an operator's action is on record");
    return asResolution(action);
  }

  async #rejected(writeId: string): Promise<RejectedRow> {
    requireRecord(this.#options.catalog.get());
    const found = await this.#options.rejected.find(writeId);
    if (!found) throw writeNotFound(writeId, `no write ${writeId} is known`);
    if (!found.ledger.rejection) throw notRejected(writeId, ledgerStatus(found.ledger, true).state);
    return found;
  }

  async #write(write: Write): Promise<DirectResult> {
    const { catalog, writer, timeoutMs } = this.#options;
    using deadline = new Deadline(timeoutMs);
    return await catalog.using(deadline.signal, (known) => writer.write(known, write));
  }
}

/** The request named a write, not its mutations: what is wrong with one of them is wrong with the write. */
function ofWrite(error: unknown): unknown {
  if (!(error instanceof OpsDbError) || error.status === "UNAVAILABLE") return error;
  const where = error.field === undefined ? "" : `${error.field}: `;
  return new OpsDbError(error.reason, `${where}${error.message}`, {
    field: "write_id",
    metadata: error.metadata,
    cause: error,
  });
}
