import { BufferedWrites } from "../../src/buffer/buffered-writes.ts";
import { settle } from "../../src/buffer/settle.ts";
import type { BufferedWrite } from "../../src/buffer/write-buffer.ts";
import { tableId } from "../../src/catalog/create-catalog.ts";
import { OpsDbError } from "../../src/errors.ts";
import { quoteIdentifier as quote } from "../../src/postgres/quote.ts";
import { textsOf } from "../../src/postgres/row-bytes.ts";
import { type ReadFacts, TableReader } from "../../src/query/read-table.ts";
import type { TableQuery } from "../../src/query/table-query.ts";
import type { TextValue } from "../../src/value.ts";
import { type AcceptedWrite, acceptWrites, nameOf } from "./accepted-write.ts";
import { type Decisions, elsewhere, MainDatabase } from "./main-database.ts";
import { type PlannedCase, schemaSeed } from "./planned-case.ts";
import type { PlannedSchema, PlannedTable } from "./random-schema.ts";
import { writable } from "./random-writes.ts";
import type { Schema, World } from "./world.ts";

/** What a query answers: its rows and how many pending writes are in them, or why it fails. */
type Answer = { rows: TextValue[][]; pending: number } | { error: string };

/** Where the merged view and the database part. */
export interface Mismatch {
  when: string;
  query: TableQuery;
  merged: Answer;
  expected: Answer;
}

/** What the cases were made of, so that a test can tell that they were worth running. */
export interface CaseFacts {
  pending: number;
  /** Pending writes that main refused for what the overlay foresees, and for what it does not. */
  foreseen: number;
  unforeseen: number;
  rows: number;
  /** Queries that PostgreSQL refused, before and after alike. */
  refused: number;
}

/**
 * Runs one case: the snapshot is taken in the middle of the writes, the merged queries are asked, main really executes
 * the rest, and the same queries are asked without anything pending.
 *
 * Where main refuses a write for what a merged read does not foresee (UNIQUE, CHECK, a foreign key, no partition for the row), the
 * write is shown until its rejection is known. So the merged answers are held against a twin of the schema without such
 * constraints first, then, once the rejections are known and main has not yet committed, against main.
 */
export async function runCase(world: World, planned: PlannedCase): Promise<Mismatch | CaseFacts> {
  return await new CaseRun(world, planned, await world.empty(schemaSeed(planned.seed))).run();
}

class CaseRun {
  readonly #world: World;
  readonly #planned: PlannedCase;
  readonly #schema: Schema;
  readonly #site: string;
  readonly #writes = new BufferedWrites();
  readonly #merged: TableReader;
  readonly #plain: TableReader;

  constructor(world: World, planned: PlannedCase, schema: Schema) {
    this.#world = world;
    this.#planned = planned;
    this.#schema = schema;
    this.#site = world.nextSite();
    this.#merged = new TableReader({ site: this.#site, pending: this.#writes });
    this.#plain = new TableReader({ site: this.#site });
  }

  async run(): Promise<Mismatch | CaseFacts> {
    const { pool } = this.#world;
    const { catalog, real } = this.#schema;
    const main = await this.#main(this.#site);
    const accepted = await acceptWrites(this.#planned, { pool, catalog, namespace: real });
    const pending = accepted.filter(({ planned }) => planned >= this.#planned.decided);
    await this.#decideFirst(main, accepted.slice(0, accepted.length - pending.length));

    const later = pending.filter(({ planned }) => planned >= this.#planned.readFrom);
    this.#add(pending.slice(0, pending.length - later.length));
    if (later.length > 0) {
      // The overlay is kept while the snapshot stands still: what comes later is added to it.
      for (const query of this.#planned.queries) await this.#answer(this.#merged, real, query);
      this.#add(later);
    }
    const cursor = BigInt(accepted.length - pending.length);
    const entries = this.#writes.after(cursor);
    const merged = await this.#answers(this.#merged, real);

    const twin = await this.#executeOnTwin(cursor, entries);
    const facts = {
      pending: entries.length,
      foreseen: twin.refused,
      unforeseen: 0,
      rows: twin.rows,
      refused: twin.errors,
    };
    const shown = this.#compare("while nothing is known of main", merged, twin.answers, twin.applied);
    if (shown) return shown;

    let before: Answer[] | undefined;
    let applied = entries.length - this.#repeated(entries, cursor);
    if (!(await main.apply(entries))) {
      await main.decide(entries, async (decided) => {
        for (const [entry, { row }] of decided) settle(this.#writes, entry, row);
        before = await this.#answers(this.#merged, real);
        applied = appliedOf(decided);
      });
      facts.unforeseen = twin.applied - applied;
    }
    const after = await this.#answers(this.#plain, real);
    return (
      (before && this.#compare("once main's rejections are known", before, after, applied)) ??
      this.#compare("once the snapshot has them", await this.#answers(this.#merged, real), after, 0) ??
      facts
    );
  }

  /** What main has decided before the snapshot: partly proven and forgotten already. */
  async #decideFirst(main: MainDatabase, accepted: readonly AcceptedWrite[]): Promise<void> {
    this.#add(accepted);
    const entries = this.#writes.after(0n);
    if (this.#planned.seed % 2 === 0 || !(await main.apply(entries)))
      for (const [entry, { row }] of await main.decide(entries)) settle(this.#writes, entry, row);
    const upTo = (count: number): bigint => accepted.findLast(({ planned }) => planned < count)?.position ?? 0n;
    this.#writes.prove(upTo(this.#planned.proven));
    this.#writes.forget(upTo(this.#planned.forgotten));
  }

  /** The pending writes, for real, on the same rows, in tables without unforeseen constraints. */
  async #executeOnTwin(cursor: bigint, entries: readonly BufferedWrite[]) {
    const { real, twin } = this.#schema;
    await this.#world.pool.query(
      this.#planned.schema.tables.map((table) => copySql(this.#planned.schema, table, real, twin)).join(";"),
    );
    const ids = new Map(
      this.#planned.schema.tables.map(({ name }) => [tableId(real, name), tableId(twin, name)] as const),
    );
    const effective = entries.filter((entry) => !this.#isRepeated(entry, cursor));
    const main = await this.#main(`${this.#site}_twin`);
    const decided = await main.decide(elsewhere(effective, (id) => ids.get(id) ?? id));
    const answers = await this.#answers(this.#plain, twin);
    const applied = appliedOf(decided);
    const rows = answers.reduce((sum, answer) => sum + ("rows" in answer ? answer.rows.length : 0), 0);
    const errors = answers.filter((answer) => "error" in answer).length;
    return { answers, applied, refused: effective.length - applied, rows, errors };
  }

  #repeated(entries: readonly BufferedWrite[], cursor: bigint): number {
    return entries.filter((entry) => this.#isRepeated(entry, cursor)).length;
  }

  /** Its id came before, in memory or in the ledger. */
  #isRepeated({ writeId, duplicateOf }: BufferedWrite, cursor: bigint): boolean {
    return duplicateOf !== undefined || (this.#first.get(writeId) ?? cursor + 1n) <= cursor;
  }

  readonly #first = new Map<string, bigint>();

  #add(accepted: readonly AcceptedWrite[]): void {
    for (const { position, writeId, payload } of accepted) {
      if (!this.#first.has(writeId)) this.#first.set(writeId, position);
      this.#writes.add(position, writeId, payload);
    }
  }

  async #main(site: string): Promise<MainDatabase> {
    const main = new MainDatabase({ connection: this.#world.main, site, catalog: this.#schema.catalog });
    await main.open();
    return main;
  }

  async #answers(reader: TableReader, namespace: string): Promise<Answer[]> {
    const answers: Answer[] = [];
    for (const query of this.#planned.queries) answers.push(await this.#answer(reader, namespace, query));
    return answers;
  }

  async #answer(reader: TableReader, namespace: string, query: TableQuery): Promise<Answer> {
    const { catalog } = this.#schema;
    const merged = reader === this.#merged;
    const asked = {
      ...query,
      // Without a total order a limit may choose any rows: then all of them are asked for.
      ...(merged || this.#isTotal(query) ? {} : { limit: undefined }),
      table: nameOf(catalog, namespace, query.table),
      related: query.related.map((one) => ({ ...one, table: nameOf(catalog, namespace, one.table) })),
    };
    try {
      const { resumePoint, ...whole } = await this.#read(reader, asked);
      if (merged && resumePoint && this.#isTotal(query)) {
        const rest = await this.#read(reader, { ...asked, resumeAfter: resumePoint.point });
        const resumed = [...whole.rows.slice(0, resumePoint.after), ...rest.rows];
        if (JSON.stringify(resumed) !== JSON.stringify(whole.rows)) return { ...whole, rows: resumed };
      }
      return whole;
    } catch (error) {
      if (error instanceof OpsDbError) return { error: `${error.reason} ${error.message}` };
      throw error;
    }
  }

  /** The whole result, and the first point that it can be resumed at. */
  async #read(reader: TableReader, query: TableQuery) {
    const facts: ReadFacts[] = [];
    const rows: TextValue[][] = [];
    let resumePoint: { point: Uint8Array; after: number } | undefined;
    const parts = reader.read(this.#schema.catalog, query, {
      pool: this.#world.pool,
      unavailable: "LOCAL_UNAVAILABLE",
      timeoutMs: 10_000,
      signal: new AbortController().signal,
      header: (read) => {
        facts.push(read);
        return { kind: "trailer", rowCount: 0 };
      },
    });
    for await (const part of parts) {
      if (part.kind !== "batch") continue;
      const { columns = [], related = [] } = facts[0] ?? {};
      rows.push(...part.rows.map((row) => textsOf(row).slice(0, columns.length + related.length)));
      if (part.resumePoint) resumePoint ??= { point: part.resumePoint, after: rows.length };
    }
    return { rows, pending: facts[0]?.pendingWrites ?? 0, resumePoint };
  }

  /** Whether the result has one order. A key may come twice where tables inherit from each other. */
  #isTotal({ table, orderBy }: TableQuery): boolean {
    return orderBy.length > 0 && !this.#planned.schema.tables.some(({ inherits }) => inherits === table);
  }

  #touches(table: string): boolean {
    const heirs = this.#planned.schema.tables.filter(({ inherits }) => inherits === table);
    return this.#writes.touches(tableId(this.#schema.real, table)) || heirs.some(({ name }) => this.#touches(name));
  }

  #compare(
    when: string,
    merged: readonly Answer[],
    expected: readonly Answer[],
    applied: number,
  ): Mismatch | undefined {
    const wrong = this.#planned.queries.findIndex((query, i) => {
      const [ours, theirs] = [merged[i], expected[i]];
      if (!ours || !theirs) return true;
      const touched = [query, ...query.related].some(({ table }) => this.#touches(table));
      const pending = touched ? applied : 0;
      return !same(query, this.#isTotal(query), ours, theirs, pending);
    });
    const [query, ours, theirs] = [this.#planned.queries[wrong], merged[wrong], expected[wrong]];
    if (!query || !ours || !theirs) return undefined;
    return { when, query, merged: ours, expected: "rows" in theirs ? { ...theirs, pending: applied } : theirs };
  }
}

function same({ limit }: TableQuery, total: boolean, merged: Answer, expected: Answer, pending: number): boolean {
  if ("error" in merged || "error" in expected)
    return "error" in merged && "error" in expected && reason(merged.error) === reason(expected.error);
  if (merged.pending !== pending) return false;
  if (total) return JSON.stringify(merged.rows) === JSON.stringify(expected.rows);
  const left = Map.groupBy(expected.rows, (row) => JSON.stringify(row));
  const known = merged.rows.every((row) => left.get(JSON.stringify(row))?.pop() !== undefined);
  const count = Math.min(expected.rows.length, Number(limit ?? expected.rows.length));
  return known && merged.rows.length === count;
}

function reason(error: string): string {
  return error.split(" ")[0] ?? "";
}

function appliedOf(decided: Decisions): number {
  return [...decided.values()].filter(({ known, row }) => !known && row.outcome === "APPLIED").length;
}

function copySql({ tables }: PlannedSchema, table: PlannedTable, from: string, to: string): string {
  const name = quote(table.name);
  const columns = writable(table)
    .map((column) => quote(column.name))
    .join(", ");
  const only = tables.some(({ inherits }) => inherits === table.name) ? "only " : "";
  return `insert into ${quote(to)}.${name} (${columns}) select ${columns} from ${only}${quote(from)}.${name}`;
}
