import { randomUUID } from "node:crypto";
import type { BufferedWrite } from "../../src/buffer/write-buffer.ts";
import type { Catalog } from "../../src/catalog/catalog.ts";
import { type Position, parsePosition } from "../../src/position.ts";
import type { PipelinedConnection } from "../../src/postgres/connection.ts";
import { advanceCursor, type Decision, parseDecision, takeCursor } from "../../src/postgres/ledger.ts";
import { classify } from "../../src/postgres/sqlstate.ts";
import { applyBatch, batchEnd, decideBatch, sendBatch } from "../../src/processor/batch.ts";
import { effectStatements, effectsOf } from "../../src/processor/effects.ts";

/** What main says of the entries that it decided. */
export type Decisions = Map<BufferedWrite, Decision>;

/** The processor's own statements, one step at a time. */
export class MainDatabase {
  readonly #connection: PipelinedConnection;
  readonly #site: string;
  readonly #catalog: Catalog;
  #token = "";
  #cursor: Position = 0n;

  constructor(options: { connection: PipelinedConnection; site: string; catalog: Catalog }) {
    this.#connection = options.connection;
    this.#site = options.site;
    this.#catalog = options.catalog;
  }

  async open(): Promise<void> {
    const { rows } = await this.#connection.query(takeCursor(this.#site));
    const [position, token] = rows[0] ?? [];
    this.#cursor = parsePosition(position ?? "");
    this.#token = token ?? "";
  }

  /** As sets; answers false, with nothing done, where a write is refused. */
  async apply(entries: readonly BufferedWrite[]): Promise<boolean> {
    if (entries.length === 0) return true;
    const effects = effectStatements(this.#catalog, effectsOf(entries));
    const batch = applyBatch(this.#site, this.#cursor, entries, effects);
    const outcome = await sendBatch(this.#applier, batch);
    if ("committed" in outcome) {
      this.#cursor = batchEnd(batch);
      return true;
    }
    if (classify(outcome.error) !== "permanent") throw outcome.error;
    return false;
  }

  /** One by one, in one transaction, whose end waits for `before`. */
  async decide(entries: readonly BufferedWrite[], before?: (decided: Decisions) => Promise<void>): Promise<Decisions> {
    const batch = decideBatch(
      this.#site,
      this.#cursor,
      new Map(
        entries.map((entry) => [
          entry,
          { statements: effectStatements(this.#catalog, effectsOf([entry])), byMain: true },
        ]),
      ),
    );
    const decided: Decisions = new Map();
    await this.#connection.query({ text: "begin" });
    try {
      await this.#connection.query(advanceCursor(this.#site, this.#token, this.#cursor, batchEnd(batch)));
      for (const [i, statement] of batch.statements.entries()) {
        const { rows } = await this.#connection.query(statement);
        const entry = batch.decides?.[i];
        if (entry) decided.set(entry, parseDecision(rows[0] ?? []));
      }
      await before?.(decided);
      await this.#connection.query({ text: "commit" });
    } catch (error) {
      await this.#connection.query({ text: "rollback" });
      throw error;
    }
    this.#cursor = batchEnd(batch);
    return decided;
  }

  get #applier() {
    return { connection: this.#connection, site: this.#site, token: this.#token };
  }
}

/** The entries as writes to other tables, under other ids. */
export function elsewhere(entries: readonly BufferedWrite[], table: (id: string) => string): BufferedWrite[] {
  return entries.map((entry) => {
    const writeId = randomUUID();
    const { write } = entry;
    const mutations = write.mutations.map((mutation) => ({ ...mutation, table: table(mutation.table) }));
    return {
      ...entry,
      position: entry.position,
      writeId,
      duplicateOf: undefined,
      write: { ...write, writeId, mutations },
    } as BufferedWrite;
  });
}
