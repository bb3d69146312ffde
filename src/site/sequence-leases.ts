import type pg from "pg";
import type { LeasedValues, TakenValues } from "../buffer/leased-values.ts";
import type { RedisWriteBuffer } from "../buffer/redis-write-buffer.ts";
import { type Catalog, isOwn, type Sequence, sequenceColumns } from "../catalog/catalog.ts";
import type { CatalogKeeper } from "../catalog/catalog-keeper.ts";
import { neededValues, type SequenceNeed, type SequenceValues } from "../catalog/complete-write.ts";
import { OpsDbError } from "../errors.ts";
import { aborted, sleep } from "../lib/abort.ts";
import { Latest } from "../lib/latest.ts";
import type { Logger } from "../lib/logger.ts";
import { type Lease, leaseValues } from "../postgres/lease-values.ts";
import { messageOf, sqlstateOf } from "../postgres/sqlstate.ts";
import { useClient } from "../postgres/use-client.ts";
import type { MainWatch } from "../replication/main-watch.ts";
import type { SequenceStatus } from "../replication/status.ts";
import type { RequestedWrite } from "../write.ts";

export interface SequenceLeasesOptions {
  values: LeasedValues;
  buffer: Pick<RedisWriteBuffer, "accepting">;
  catalog: CatalogKeeper;
  main: pg.Pool;
  mainWatch: MainWatch;
  /** Values of each sequence that are to be in stock. */
  block: number;
  /** Time between looks at what is in stock, milliseconds. */
  pollMs: number;
  /** A lease that main does not answer in this time is given up, milliseconds. */
  timeoutMs: number;
  logger: Logger;
}

/** What is known of one sequence. */
interface Stock {
  sequence: Sequence;
  size: number;
  /** What it is filled up to. */
  target: number;
  /** Why main gave none the last time; undefined where it did. */
  refusal: string | undefined;
  /** The low stock was told. */
  told: boolean;
}

/** Between two looks, milliseconds, however many writes wait for values that another process is leasing. */
const REST_MS = 5;
const LIMIT_REACHED = "2200H";
/** Statements of one look for one sequence that main gives again from where it once was. */
const ROUNDS = 20;

/**
 * Keeps values of main's sequences in stock at a secondary site, so that keys are made there while main is away. Every
 * process looks; whichever sees that half of a stock is gone leases more.
 */
export class SequenceLeases {
  readonly #options: SequenceLeasesOptions;
  #stocks = new Map<string, Stock>();
  /** Of main, when values were leased last; undefined: not known yet. */
  #timeline: number | undefined;
  /** Values that writes are waiting for, by sequence. */
  readonly #waiting = new Map<string, number>();
  /** Moves when somebody should look now. */
  readonly #due = new Latest(0);
  /** Moves when a look is over. */
  readonly #looked = new Latest(0);

  constructor(options: SequenceLeasesOptions) {
    this.#options = options;
  }

  get status(): SequenceStatus[] {
    return [...this.#stocks.values()].map(({ sequence, size, target, refusal }) => ({
      name: sequence.name,
      stock: size,
      target,
      ...(refusal === undefined ? {} : { reason: refusal }),
    }));
  }

  /**
   * Takes what completes a write. A key without a value is an error, SEQUENCE_EXHAUSTED; any other column is left to main
   * then. While main answers, a lease under way is waited for until the signal.
   */
  async take(catalog: Catalog, requested: RequestedWrite, signal: AbortSignal): Promise<TakenForWrite> {
    const taken: TakenValues[] = [];
    try {
      for (const need of neededValues(catalog, requested)) {
        const values = await this.#take(need, signal);
        if (values) taken.push(values);
        else if (need.key) throw this.#exhausted(need, need.key);
      }
    } catch (error) {
      for (const each of taken) this.#options.values.giveBack(each);
      throw error;
    }
    return new TakenForWrite(this.#options.values, taken);
  }

  /** Looks until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    const { pollMs, catalog } = this.#options;
    while (!signal.aborted) {
      const due = this.#due.version;
      const known = catalog.catalog.version;
      try {
        await this.#look(signal);
      } catch (error) {
        this.#options.logger.debug({ error }, "the stock of sequences could not be looked at");
      }
      this.#looked.set(this.#looked.value + 1);
      const stop = new AbortController();
      const either = AbortSignal.any([signal, stop.signal]);
      await sleep(REST_MS, signal).catch(() => {});
      const waits = [sleep(pollMs, either), this.#due.changed(due, either), catalog.catalog.changed(known, either)];
      await Promise.race(waits).catch(() => {});
      stop.abort();
      await Promise.allSettled(waits);
    }
  }

  async #take({ sequence, count, key }: SequenceNeed, signal: AbortSignal): Promise<TakenValues | undefined> {
    const { values, mainWatch } = this.#options;
    const taken = await values.take(sequence.id, count);
    if (taken || !key || mainWatch.part.status.state !== "RUNNING") return taken;
    this.#wait(sequence.id, count);
    try {
      for (let look = 1; ; look++) {
        const looks = this.#looked.version;
        this.#due.set(this.#due.value + 1);
        await this.#looked.changed(looks, signal);
        const leased = await values.take(sequence.id, count);
        // A look that was under way may have begun before; the one after it has not.
        if (leased || (look > 1 && this.#stocks.get(sequence.id)?.refusal !== undefined)) return leased;
      }
    } catch (error) {
      if (error instanceof OpsDbError) throw error;
      return undefined; // the time is over
    } finally {
      this.#wait(sequence.id, -count);
    }
  }

  #wait(id: string, count: number): void {
    const waiting = (this.#waiting.get(id) ?? 0) + count;
    if (waiting === 0) this.#waiting.delete(id);
    else this.#waiting.set(id, waiting);
  }

  #exhausted(
    { sequence, count }: SequenceNeed,
    { table, column, field }: NonNullable<SequenceNeed["key"]>,
  ): OpsDbError {
    const { mainWatch } = this.#options;
    const { state, reason } = mainWatch.part.status;
    const why =
      this.#stocks.get(sequence.id)?.refusal ??
      (state === "RUNNING" ? "more are being leased" : `main does not answer: ${reason}`);
    return new OpsDbError(
      "SEQUENCE_EXHAUSTED",
      `column ${column} of the primary key needs ${count === 1 ? "a value" : `${count} values`} of sequence ${sequence.name}, and this site has none left; ${why}`,
      {
        field,
        metadata: { table, column, sequence: sequence.name },
        retryAfterMs: state === "RUNNING" ? 1_000 : 5_000,
      },
    );
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { catalog, values, buffer, mainWatch } = this.#options;
    const known = catalog.catalog.value;
    if (!known || !buffer.accepting.value) return;
    this.#stocks = this.#stocksOf(known);
    const stocks = [...this.#stocks.values()];
    if (stocks.length === 0) return;
    const sizes = await values.sizes(stocks.map(({ sequence }) => sequence.id));
    for (const [i, stock] of stocks.entries()) stock.size = sizes[i] ?? 0;
    if (mainWatch.part.status.state === "RUNNING") {
      const { timeline } = mainWatch.status;
      const failedOver = timeline !== undefined && (await this.#isNewTimeline(timeline));
      const due = stocks.filter((stock) => failedOver || this.#isLow(stock));
      const done = await this.#lease(due, failedOver, signal);
      if (failedOver && done) {
        await values.noteTimeline(timeline);
        this.#timeline = timeline;
      }
    }
    // At the first look nobody has tried yet.
    if (this.#looked.value > 0) for (const stock of stocks) this.#tell(stock);
  }

  #stocksOf(catalog: Catalog): Map<string, Stock> {
    const tables = catalog.tables.filter((table) => table.primaryKey.length > 0 && !isOwn(table));
    const sequences = tables.flatMap((table) => sequenceColumns(table).map(({ sequence }) => sequence));
    return new Map(
      sequences.map((sequence) => [
        sequence.id,
        this.#stocks.get(sequence.id) ?? {
          sequence,
          size: 0,
          target: this.#options.block,
          refusal: undefined,
          told: false,
        },
      ]),
    );
  }

  /** A main that took over may lack the last leases, and would make keys of its own that were leased before. */
  async #isNewTimeline(timeline: number): Promise<boolean> {
    const { values } = this.#options;
    this.#timeline ??= await values.timeline();
    if (this.#timeline === undefined) {
      await values.noteTimeline(timeline);
      this.#timeline = timeline;
    }
    return timeline > this.#timeline;
  }

  #isLow({ sequence, size, target }: Stock): boolean {
    return size < target / 2 || size < (this.#waiting.get(sequence.id) ?? 0);
  }

  /** Answers whether main was asked for all of them. `overtake`: for a value more than there is, if nothing else. */
  async #lease(stocks: readonly Stock[], overtake: boolean, signal: AbortSignal): Promise<boolean> {
    const { values, timeoutMs, logger } = this.#options;
    // Before main is asked: values that Redis has no memory for would be lost.
    if (stocks.length === 0) return true;
    if (!(await values.begin(timeoutMs * 2))) return false;
    try {
      for (const stock of stocks) {
        const { sequence, refusal } = stock;
        try {
          await this.#leaseOne(stock, overtake ? stock.size + 1 : 0, signal);
          stock.refusal = undefined;
        } catch (error) {
          if (signal.aborted) return false;
          stock.refusal = `main gives none: ${messageOf(error)}`;
          if (stock.refusal !== refusal)
            logger.warn({ error, sequence: sequence.name }, "no values of a sequence can be leased");
          if (sqlstateOf(error) === undefined) return false; // the connection, not the sequence
        }
      }
      return true;
    } finally {
      await values.end().catch(() => {});
    }
  }

  async #leaseOne(stock: Stock, atLeast: number, signal: AbortSignal): Promise<void> {
    const { values, timeoutMs, logger } = this.#options;
    const { sequence } = stock;
    const timed = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
    const least = Math.max(atLeast, this.#waiting.get(sequence.id) ?? 0);
    // Where main gives what it has given before, it is asked on until it is past that: then its own rows are, too.
    for (let round = 0; round < ROUNDS; round++) {
      const lease = await this.#ask(stock, least, timed);
      stock.target = lease.target;
      if (lease.target === 0) throw new Error(`sequence ${sequence.name} has reached its limit`);
      const given = lease.ranges.reduce((sum, { count }) => sum + count, 0);
      // Under the name that main has for it: where it was restarted there, the catalog here will follow.
      const kept = await aborted(timed, values.add(lease.id, lease.ranges));
      if (lease.id === sequence.id) stock.size += kept;
      if (kept > 0) logger.info({ sequence: sequence.name, values: kept }, "values of a sequence were leased");
      if (kept === given) return;
      logger.warn(
        { sequence: sequence.name, values: given - kept },
        "main gave values of a sequence that it had given before; they are not used",
      );
    }
  }

  /** One statement on main. Somebody else may have taken what seemed to be left: then it is fewer. */
  async #ask({ sequence: { oid, name }, size }: Stock, least: number, signal: AbortSignal): Promise<Lease> {
    const { main, block } = this.#options;
    for (let most = Math.max(block, least); ; most = Math.floor(most / 2))
      try {
        const asked = { oid, block, stock: size, least, most };
        const lease = await useClient(main, signal, (client) => leaseValues(client, asked));
        if (!lease) throw new Error(`main has no sequence ${name} any more`);
        return lease;
      } catch (error) {
        if (sqlstateOf(error) !== LIMIT_REACHED || most <= 1) throw error;
      }
  }

  #tell(stock: Stock): void {
    const { logger } = this.#options;
    const low = stock.size < stock.target / 10 || stock.target === 0;
    if (low && !stock.told)
      logger.warn(
        { sequence: stock.sequence.name, stock: stock.size, reason: stock.refusal },
        "few values of a sequence are left; without any, rows that need one as their key are refused",
      );
    stock.told = low;
  }
}

/** The values of sequences that were taken for one write. */
export class TakenForWrite implements SequenceValues {
  readonly #values: LeasedValues;
  readonly #taken: readonly TakenValues[];
  readonly #next = new Map<string, bigint[]>();

  constructor(values: LeasedValues, taken: readonly TakenValues[]) {
    this.#values = values;
    this.#taken = taken;
    for (const { id, values: each } of taken) this.#next.set(id, [...each].reverse());
  }

  /** The row's key cannot be told from the write id alone. */
  get any(): boolean {
    return this.#taken.length > 0;
  }

  next({ id }: Sequence): string | undefined {
    return this.#next.get(id)?.pop()?.toString();
  }

  /** Whether the write may still be stored with them. */
  get current(): boolean {
    return this.#taken.every((each) => this.#values.isCurrent(each));
  }

  /** Nobody was told them. */
  giveBack(): void {
    for (const each of this.#taken) this.#values.giveBack(each);
  }
}
