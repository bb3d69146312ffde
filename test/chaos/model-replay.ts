import type { OrderedWrite } from "./check-history-record.ts";
import { decide, FIRST_KEY, FIRST_KEY_OF_MAIN, type ModelEffect } from "./model.ts";

/** What the model makes of one ledger row. */
export interface ModelStep {
  /** What the write does, or would have done, in the state before it; none where it is refused. */
  effects: readonly ModelEffect[];
  /** Why the model refuses the write in the state before it. */
  refusal: string | undefined;
}

/** States are numbered by the ledger rows that they contain: 0 is the empty table, n is after the n-th row of the order. */
interface Version {
  key: number;
  value: string;
  /** The first and the last state in which the row has the value. */
  from: number;
  to: number;
}

/**
 * The table of the secondary site's rows through the whole order of its writes, without ever holding a second state: per
 * row the states in which it had each value, and per state how many rows there were. As every value is written once, a
 * read is state n exactly where each of its rows has its value in n and n has as many rows.
 */
export class ModelReplay {
  readonly steps: ModelStep[] = [];
  /** The table after the last write. */
  readonly rows = new Map<number, string>();
  readonly last: number;
  readonly #versions = new Map<string, Version>();
  readonly #byKey = new Map<number, Version[]>();
  /** The states that have so many rows, ascending. */
  readonly #bySize = new Map<number, number[]>();

  constructor(order: readonly OrderedWrite[]) {
    this.last = order.length;
    let size = 0;
    this.#bySize.set(0, [0]);
    for (const [i, { write, row }] of order.entries()) {
      const decided = write ? decide(this.rows, write.changes) : { effects: [] };
      const step: ModelStep =
        "refusal" in decided ? { effects: [], refusal: decided.refusal } : { ...decided, refusal: undefined };
      this.steps.push(step);
      if (row.outcome === "APPLIED") size += this.#apply(i + 1, step.effects);
      const states = this.#bySize.get(size);
      if (states) states.push(i + 1);
      else this.#bySize.set(size, [i + 1]);
    }
  }

  /** The states in which the row has the value; undefined: in none. */
  version(key: number, value: string): Readonly<Version> | undefined {
    const version = this.#versions.get(value);
    return version?.key === key ? version : undefined;
  }

  /** The first state from `from` to `to` with so many rows that reads are held against. */
  firstOfSize(size: number, from: number, to: number): number | undefined {
    const states = this.#bySize.get(size) ?? [];
    const found = states[firstIndex(states.length, (i) => (states[i] ?? 0) >= from)];
    return found !== undefined && found <= to ? found : undefined;
  }

  /** The row's value in a state. */
  valueAt(key: number, state: number): string | undefined {
    const versions = this.#byKey.get(key) ?? [];
    const version = versions[firstIndex(versions.length, (i) => (versions[i]?.from ?? 0) > state) - 1];
    return version && version.to >= state ? version.value : undefined;
  }

  /** The rows that ever were. */
  keys(): Iterable<number> {
    return this.#byKey.keys();
  }

  /** The last of the states from this one on in which the row is as it is in this one. */
  unchangedUntil(key: number, state: number): number {
    const versions = this.#byKey.get(key) ?? [];
    const next = firstIndex(versions.length, (i) => (versions[i]?.from ?? 0) > state);
    const now = versions[next - 1];
    return now && now.to >= state ? now.to : (versions[next]?.from ?? this.last + 1) - 1;
  }

  /** Whether there is the row in all of these states. */
  presentWithin(key: number, from: number, to: number): boolean {
    let state = from;
    while (state <= to && this.valueAt(key, state) !== undefined) state = this.unchangedUntil(key, state) + 1;
    return state > to;
  }

  /** The state in which the row got what it has in the end; 0 where nobody has changed it. */
  lastChange(key: number): number {
    const version = this.#byKey.get(key)?.at(-1);
    if (!version) return 0;
    return version.to === this.last ? version.from : version.to + 1;
  }

  /** Answers by how much the number of rows that reads are held against has grown. */
  #apply(state: number, effects: readonly ModelEffect[]): number {
    const before = new Map(effects.map(({ key }) => [key, this.rows.get(key)]));
    for (const { operation, key, value } of effects)
      if (operation === "DELETE") this.rows.delete(key);
      else this.rows.set(key, value);
    let grown = 0;
    for (const [key, value] of before) {
      const now = this.rows.get(key);
      if (now === value) continue;
      const ended = value === undefined ? undefined : this.#versions.get(value);
      if (ended) ended.to = state - 1;
      if (now !== undefined) this.#begin({ key, value: now, from: state, to: this.last });
      if (isRead(key)) grown += Number(now !== undefined) - Number(value !== undefined);
    }
    return grown;
  }

  #begin(version: Version): void {
    this.#versions.set(version.value, version);
    const versions = this.#byKey.get(version.key);
    if (versions) versions.push(version);
    else this.#byKey.set(version.key, [version]);
  }
}

/** Rows that a read is held against: not those of poison, which a merged read shows until it is rejected, nor main's. */
export function isRead(key: number): boolean {
  return key >= FIRST_KEY && key < FIRST_KEY_OF_MAIN;
}

/** The first index for which it holds, where it holds for all that follow; the length where it holds for none. */
export function firstIndex(length: number, holds: (index: number) => boolean): number {
  let low = 0;
  for (let high = length; low < high; ) {
    const middle = (low + high) >>> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
