import { setImmediate } from "node:timers/promises";
import type { BufferedWrite } from "../buffer/write-buffer.ts";
import { type Catalog, type ColumnType, columnOf, type Table } from "../catalog/catalog.ts";
import type { TextValue } from "../value.ts";
import type { Mutation, Precondition } from "../write.ts";
import { type OverlaidRow, OverlaidTable, type RowText } from "./overlaid-table.ts";

/** Reads rows of the snapshot by their keys. Answers them in the order of the keys. */
export type ReadRows = (table: Table, keys: readonly (readonly TextValue[])[]) => Promise<RowText[]>;

/** Which of the write ids have a ledger row in the snapshot. */
export type ReadKnown = (writeIds: readonly string[]) => Promise<ReadonlySet<string>>;

/** Whether PostgreSQL holds two texts for the same value of a type ("1.0" and "1.00" of numeric). */
export type SameValue = (type: ColumnType, left: string, right: string) => Promise<boolean>;

/** What the overlay asks of the snapshot that it is for. */
export interface OverlaidSnapshot {
  readRows: ReadRows;
  readKnown: ReadKnown;
  sameValue: SameValue;
}

/**
 * What one snapshot looks like once the pending writes have been applied to it, in order, each whole or not at all: a
 * write that main would refuse in that state (its row exists, or does not, or a precondition fails) changes nothing.
 * Grows as further writes come in, and holds only for the snapshot and catalog that it was made for.
 */
export class Overlay {
  readonly #catalog: Catalog;
  readonly #tables = new Map<string, OverlaidTable>();
  #growing: Promise<void> = Promise.resolve();
  #upTo: bigint;
  #merged = 0;

  constructor(catalog: Catalog, cursor: bigint) {
    this.#catalog = catalog;
    this.#upTo = cursor;
  }

  /** Writes after this position are not in it yet. */
  get upTo(): bigint {
    return this.#upTo;
  }

  /** Pending writes that take effect. */
  get merged(): number {
    return this.#merged;
  }

  /** Takes in the writes that it does not have yet; they must follow each other in the site's order. */
  async grow(pending: readonly BufferedWrite[], snapshot: OverlaidSnapshot): Promise<void> {
    const grown = this.#growing.catch(() => {}).then(() => this.#grow(pending, snapshot));
    this.#growing = grown;
    await grown;
  }

  /** What to put over a table; undefined for nothing. */
  table(id: string): OverlaidTable | undefined {
    const overlaid = this.#tables.get(id);
    return overlaid?.isEmpty ? undefined : overlaid;
  }

  async #grow(pending: readonly BufferedWrite[], snapshot: OverlaidSnapshot): Promise<void> {
    const writes = pending.filter(({ position }) => position > this.#upTo);
    const last = writes.at(-1);
    if (!last) return;
    const open = writes.filter(({ state, duplicateOf }) => state !== "REJECTED" && duplicateOf === undefined);
    // A write that was sent again after it had left the buffer is in the snapshot: its old values must not cover newer ones.
    const unchecked = open.filter(({ write }) => write.idUnchecked).map(({ writeId }) => writeId);
    const known = unchecked.length === 0 ? undefined : await snapshot.readKnown(unchecked);
    const effective = known ? open.filter(({ writeId }) => !known.has(writeId)) : open;
    await this.#readBase(effective, snapshot.readRows);
    for (const [i, { position, write }] of effective.entries()) {
      if (i % 2_000 === 1_999) await setImmediate(); // many writes must not hold up everything else
      if (await this.#apply(write.mutations, snapshot.sameValue)) this.#merged += 1;
      this.#upTo = position; // each at once: what fails in between must not be applied again
    }
    this.#upTo = last.position;
  }

  /** Learns what the snapshot says of every row that the writes name. */
  async #readBase(writes: readonly BufferedWrite[], readRows: ReadRows): Promise<void> {
    const unknown = new Map<string, Map<string, readonly TextValue[]>>();
    for (const { write } of writes)
      for (const { table, key } of write.mutations) {
        const text = JSON.stringify(key);
        if (this.#tables.get(table)?.find(text)) continue;
        const keys = unknown.get(table) ?? new Map<string, readonly TextValue[]>();
        unknown.set(table, keys.set(text, key));
      }
    for (const [id, keys] of unknown) {
      const table = this.#catalog.byId(id);
      if (!table) continue; // its writes change nothing
      const rows = await readRows(table, [...keys.values()]);
      const overlaid = this.#tables.get(id) ?? new OverlaidTable(table);
      this.#tables.set(id, overlaid);
      [...keys].forEach(([text, key], i) => {
        overlaid.add(text, key, rows[i] ?? null);
      });
    }
  }

  /** Applies one write. Answers false, and changes nothing, where main would refuse it. */
  async #apply(mutations: readonly Mutation[], sameValue: SameValue): Promise<boolean> {
    const scratch = new Map<OverlaidRow, { overlaid: OverlaidTable; after: RowText }>();
    for (const mutation of mutations) {
      const table = this.#catalog.byId(mutation.table);
      const overlaid = this.#tables.get(mutation.table);
      const target = overlaid?.find(JSON.stringify(mutation.key));
      if (!table || !overlaid || !target) return false;
      const before = scratch.get(target)?.after ?? (scratch.has(target) ? null : target.row);
      for (const precondition of mutation.preconditions)
        if (!(await holds(table, before, precondition, sameValue))) return false;
      const after = applyMutation(table, before, mutation);
      if (after === undefined) return false;
      scratch.set(target, { overlaid, after });
    }
    for (const [target, { overlaid, after }] of scratch) overlaid.change(target, after);
    return true;
  }
}

/** The row after the mutation; undefined where it is an error. */
function applyMutation(table: Table, before: RowText, mutation: Mutation): RowText | undefined {
  switch (mutation.operation) {
    case "insert":
      return before ? undefined : patch(table, null, mutation.columns, mutation.values);
    case "update":
      return before ? patch(table, before, mutation.columns, mutation.values) : undefined;
    case "upsert": {
      if (!before) return patch(table, null, mutation.columns, mutation.values);
      const set = mutation.setColumns ?? [];
      return patch(
        table,
        before,
        set,
        set.map((name) => mutation.values[mutation.columns.indexOf(name)] ?? null),
      );
    }
    case "delete":
      return null;
  }
}

function patch(table: Table, before: RowText, names: readonly string[], values: readonly TextValue[]): RowText {
  const given = new Map(names.map((name, i) => [name, values[i] ?? null]));
  return table.columns.map(({ name }, i) => given.get(name) ?? (given.has(name) ? null : (before?.[i] ?? null)));
}

async function holds(table: Table, row: RowText, precondition: Precondition, sameValue: SameValue): Promise<boolean> {
  if (precondition.kind === "row_exists") return precondition.exists === (row !== null);
  if (!row) return false;
  for (const [i, name] of precondition.columns.entries()) {
    const column = columnOf(table, name);
    const actual = row[table.columns.indexOf(column)] ?? null;
    const expected = precondition.values[i] ?? null;
    if (actual === expected) continue;
    if (actual === null || expected === null || !(await sameValue(column.type, actual, expected))) return false;
  }
  return true;
}
