import { setImmediate } from "node:timers/promises";
import type { BufferedWrite } from "../buffer/write-buffer.ts";
import { type Catalog, type Column, columnOf, type Table } from "../catalog/catalog.ts";
import { isFullyChecked } from "../catalog/encode-value.ts";
import type { TextValue } from "../value.ts";
import type { Mutation, Precondition } from "../write.ts";
import { type OverlaidRow, OverlaidTable, type RowText } from "./overlaid-table.ts";
import { type Key, OverlayBase, type SnapshotSource } from "./overlay-base.ts";

/**
 * What one snapshot looks like once the pending writes have been applied to it, in order, each whole or not at all: a
 * write that main would refuse in that state (its row exists, or does not, or a precondition fails, or a value is none of
 * its type) changes nothing. Grows as further writes come in, and holds only for the snapshot and catalog that it was
 * made for.
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
  async grow(pending: readonly BufferedWrite[], snapshot: SnapshotSource): Promise<void> {
    const grown = this.#growing.catch(() => {}).then(() => this.#grow(pending, new OverlayBase(snapshot)));
    this.#growing = grown;
    await grown;
  }

  /** What to put over a table; undefined for nothing. */
  table(id: string): OverlaidTable | undefined {
    const overlaid = this.#tables.get(id);
    const table = this.#catalog.byId(id);
    if (!table || table.heirs.length === 0) return overlaid?.isEmpty ? undefined : overlaid;
    const family = overlaid ?? new OverlaidTable(table, this.#heirsOf(table));
    return [family, ...family.heirs.map((heir) => heir.overlaid)].every((each) => each?.isEmpty ?? true)
      ? undefined
      : family;
  }

  #heirsOf(table: Table): OverlaidTable["heirs"] {
    const tables = table.heirs.flatMap((id) => this.#catalog.byId(id) ?? []);
    // Looked up when they are asked for: a pending write may name a row of theirs later on.
    return tables.map((heir) => {
      const overlaid = (): OverlaidTable | undefined => this.#tables.get(heir.id);
      return {
        table: heir,
        get overlaid() {
          return overlaid();
        },
      };
    });
  }

  async #grow(pending: readonly BufferedWrite[], base: OverlayBase): Promise<void> {
    const writes = pending.filter(({ position }) => position > this.#upTo);
    const last = writes.at(-1);
    if (!last) return;
    const open = writes.filter(({ state, duplicateOf }) => state !== "REJECTED" && duplicateOf === undefined);
    // A write that was sent again after it had left the buffer is in the snapshot: its old values must not cover newer ones.
    const unchecked = open.filter(({ write }) => write.idUnchecked).map(({ writeId }) => writeId);
    const known = unchecked.length === 0 ? undefined : await base.readKnown(unchecked);
    const effective = known ? open.filter(({ writeId }) => !known.has(writeId)) : open;
    await this.#readBase(effective, base);
    const { rows, merged } = await new Rehearsal(this.#tables, base).of(effective);
    // All at once, so that nobody sees a part, and nothing of it where something above failed.
    for (const [target, { overlaid, after }] of rows) overlaid.change(target, after);
    this.#merged += merged;
    this.#upTo = last.position;
  }

  /** Learns what the snapshot says of every row that the writes name. */
  async #readBase(writes: readonly BufferedWrite[], base: OverlayBase): Promise<void> {
    const unknown = new Map<string, Map<string, Key>>();
    for (const { write } of writes)
      for (const { table, key } of write.mutations) {
        const text = JSON.stringify(key);
        if (this.#tables.get(table)?.find(text) !== undefined) continue;
        const keys = unknown.get(table) ?? new Map<string, Key>();
        unknown.set(table, keys.set(text, key));
      }
    for (const [id, keys] of unknown) {
      const table = this.#catalog.byId(id);
      if (!table) continue; // its writes change nothing
      const overlaid = this.#tables.get(id) ?? new OverlaidTable(table, this.#heirsOf(table));
      const rows = await rowsNamed(overlaid, [...keys.values()], base);
      [...keys.keys()].forEach((text, i) => {
        overlaid.name(text, rows[i] ?? null);
      });
      this.#tables.set(id, overlaid);
    }
  }
}

/** For each key its row: one that is known already, or a new one; undefined for what is no key of the table. */
async function rowsNamed(
  overlaid: OverlaidTable,
  keys: readonly Key[],
  base: OverlayBase,
): Promise<(OverlaidRow | undefined)[]> {
  const { table } = overlaid;
  const known = table.looseKey ? [...overlaid.named] : [];
  const all = [...known.map(({ key }) => key), ...keys];
  const firsts = table.looseKey ? await base.sameKeys(table, all) : all.map((_, i) => i);
  const fresh = firsts.flatMap((first, i) => (first === i && i >= known.length ? [i] : []));
  const read = await base.readRows(
    table,
    fresh.map((i) => all[i] ?? []),
  );
  const rows = new Map<number | undefined, OverlaidRow>(known.entries());
  for (const [at, i] of fresh.entries()) rows.set(i, overlaid.add(all[i] ?? [], read[at] ?? null));
  return firsts.slice(known.length).map((first) => rows.get(first));
}

/** Rows as writes leave them, each with what is put over its table. */
type ChangedRows = Map<OverlaidRow, { overlaid: OverlaidTable; after: RowText }>;

/** Goes through writes, in order, without changing anything yet. */
class Rehearsal {
  readonly #tables: ReadonlyMap<string, OverlaidTable>;
  readonly #base: OverlayBase;
  /** By table and text: rows as PostgreSQL stores them; null for those that it refuses. */
  readonly #stored = new Map<string, RowText>();
  readonly #same = new Map<string, boolean>();
  /** Rows that PostgreSQL has to be asked about. */
  #unknown = new Map<string, { table: Table; row: readonly TextValue[] }>();

  constructor(tables: ReadonlyMap<string, OverlaidTable>, base: OverlayBase) {
    this.#tables = tables;
    this.#base = base;
  }

  /** The rows that the writes change, as they leave them, and how many writes take effect. */
  async of(writes: readonly BufferedWrite[]): Promise<{ rows: ChangedRows; merged: number }> {
    // What only PostgreSQL can judge is taken for right at first. Where it was not, all that followed may be wrong as well.
    for (;;) {
      const round = await this.#round(writes);
      const right = await this.#learn();
      if (!round || !right) continue;
      for (const changed of round.rows.values())
        if (changed.after) changed.after = this.#known(changed.overlaid.table, changed.after);
      return round;
    }
  }

  async #round(writes: readonly BufferedWrite[]): Promise<{ rows: ChangedRows; merged: number } | undefined> {
    const rows: ChangedRows = new Map();
    let merged = 0;
    for (const [i, { write }] of writes.entries()) {
      if (i % 2_000 === 1_999) await setImmediate(); // many writes must not hold up everything else
      const applied = await this.#apply(write.mutations, rows);
      if (applied === undefined) return undefined;
      if (applied) merged += 1;
    }
    return { rows, merged };
  }

  /** Asks PostgreSQL about the rows that came up. Answers whether it takes them all. */
  async #learn(): Promise<boolean> {
    let right = true;
    for (const entries of Map.groupBy(this.#unknown, ([, { table }]) => table.id).values()) {
      const [first] = entries;
      if (!first) continue;
      const stored = await this.#base.storedRows(
        first[1].table,
        entries.map(([, { row }]) => row),
      );
      for (const [i, [name]] of entries.entries()) this.#stored.set(name, stored[i] ?? null);
      right &&= stored.every((row) => row !== undefined);
    }
    this.#unknown = new Map();
    return right;
  }

  /**
   * Applies one write to the rows. Answers false, and changes nothing, where main would refuse it; undefined where that
   * depends on a row that PostgreSQL has to store first.
   */
  async #apply(mutations: readonly Mutation[], rows: ChangedRows): Promise<boolean | undefined> {
    const scratch: ChangedRows = new Map();
    for (const mutation of mutations) {
      const overlaid = this.#tables.get(mutation.table);
      const target = overlaid?.find(JSON.stringify(mutation.key));
      if (!overlaid || !target) return false;
      const { table } = overlaid;
      const changed = scratch.get(target) ?? rows.get(target);
      const before = changed ? changed.after : target.row;
      for (const precondition of mutation.preconditions) {
        if (before && this.#isUnknown(table, before) && namesGenerated(table, precondition)) return undefined;
        if (!(await this.#holds(table, before, precondition))) return false;
      }
      const after = this.#mutated(table, before, mutation);
      if (after === undefined) return false;
      scratch.set(target, { overlaid, after });
    }
    for (const [target, changed] of scratch) rows.set(target, changed);
    return true;
  }

  /** The row after the mutation; undefined where it is an error. */
  #mutated(table: Table, before: RowText, mutation: Mutation): RowText | undefined {
    const { operation, columns, values, setColumns = [] } = mutation;
    switch (operation) {
      case "insert":
        return before ? undefined : this.#stores(table, mutation, patch(table, null, columns, values));
      case "update":
        return before ? this.#stores(table, mutation, patch(table, before, columns, values)) : undefined;
      case "upsert": {
        const proposed = this.#stores(table, mutation, patch(table, null, columns, values));
        if (!before || proposed === undefined) return proposed;
        const set = setColumns.map((name) => values[columns.indexOf(name)] ?? null);
        return this.#stores(table, mutation, patch(table, before, setColumns, set));
      }
      case "delete":
        return null;
    }
  }

  /** The row as PostgreSQL stores it, as far as that is known; undefined where it refuses it. */
  #stores(table: Table, { columns, values }: Mutation, row: readonly TextValue[]): RowText | undefined {
    if (!mayBeRefused(table, columns, values)) return row;
    const name = nameOf(table, row);
    const stored = this.#stored.get(name);
    if (stored === null) return undefined;
    if (!stored) this.#unknown.set(name, { table, row });
    return stored ?? row;
  }

  /** The row as PostgreSQL stores it, where it was asked about. */
  #known(table: Table, row: readonly TextValue[]): readonly TextValue[] {
    return (this.#stored.size > 0 && this.#stored.get(nameOf(table, row))) || row;
  }

  #isUnknown(table: Table, row: readonly TextValue[]): boolean {
    return this.#unknown.size > 0 && this.#unknown.has(nameOf(table, row));
  }

  async #holds(table: Table, row: RowText, precondition: Precondition): Promise<boolean> {
    if (precondition.kind === "row_exists") return precondition.exists === (row !== null);
    if (!row) return false;
    for (const [i, name] of precondition.columns.entries()) {
      const column = columnOf(table, name);
      const actual = row[table.columns.indexOf(column)] ?? null;
      const expected = precondition.values[i] ?? null;
      if (actual === expected) continue;
      if (actual === null || expected === null || !(await this.#sameValue(table, column, actual, expected)))
        return false;
    }
    return true;
  }

  async #sameValue(table: Table, column: Column, left: string, right: string): Promise<boolean> {
    if (!column.looseText) return false;
    const question = JSON.stringify([table.id, column.name, left, right]);
    const same = this.#same.get(question) ?? (await this.#base.sameValue(column, left, right));
    this.#same.set(question, same);
    return same;
  }
}

function nameOf(table: Table, row: readonly TextValue[]): string {
  return JSON.stringify([table.id, row]);
}

/** Whether memory cannot tell that PostgreSQL takes a row with these values. */
function mayBeRefused(table: Table, names: readonly string[], values: readonly TextValue[]): boolean {
  let known = judged.get(table);
  if (!known) {
    const generated = table.columns.some(({ generatedExpression }) => generatedExpression !== undefined);
    const unchecked = table.columns.filter(({ type }) => !isFullyChecked(type)).map(({ name }) => name);
    known = { generated, unchecked: new Set(unchecked) };
    judged.set(table, known);
  }
  const { generated, unchecked } = known;
  return generated || (unchecked.size > 0 && names.some((name, i) => values[i] !== null && unchecked.has(name)));
}

/** Of each table, what of its rows only PostgreSQL can judge. */
const judged = new WeakMap<Table, { generated: boolean; unchecked: ReadonlySet<string> }>();

function namesGenerated(table: Table, precondition: Precondition): boolean {
  return (
    precondition.kind === "columns_equal" &&
    precondition.columns.some((name) => columnOf(table, name).generatedExpression !== undefined)
  );
}

function patch(
  table: Table,
  before: RowText,
  names: readonly string[],
  values: readonly TextValue[],
): readonly TextValue[] {
  const given = new Map(names.map((name, i) => [name, values[i] ?? null]));
  return table.columns.map(({ name }, i) => given.get(name) ?? (given.has(name) ? null : (before?.[i] ?? null)));
}
