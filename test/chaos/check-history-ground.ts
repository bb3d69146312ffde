import type { Event, FinalEvent, ReadEvent, StatusEvent, WriteEvent } from "./history.ts";

type Effect = FinalEvent["effects"][number];
type LedgerRow = FinalEvent["ledger"][number];
type Row = [key: number, value: string];
interface Sent {
  write: WriteEvent;
  calledAt: number;
  /** Infinity: never. */
  acknowledgedAt: number;
  refused: boolean;
}

/** A record to plant in, and what is asked of it. */
export class Ground {
  readonly events: Event[];
  readonly pick: (below: number) => number;
  readonly final: FinalEvent;
  readonly writes: WriteEvent[];
  readonly reads: ReadEvent[];
  readonly #sent = new Map<string, Sent>();

  constructor(events: Event[], pick: (below: number) => number) {
    this.events = events;
    this.pick = pick;
    this.writes = events.filter((event) => event.kind === "write");
    this.reads = events.filter((event) => event.kind === "read").filter(({ outcome }) => outcome === "ok");
    const final = events.find((event) => event.kind === "final");
    if (!final) throw new Error("a record without an end");
    this.final = final;
    for (const write of this.writes) {
      const content = contentOf(write);
      const sent = this.#sent.get(content) ?? { write, calledAt: write.at, acknowledgedAt: Infinity, refused: true };
      sent.calledAt = Math.min(sent.calledAt, write.at);
      if (write.outcome === "ok") sent.acknowledgedAt = Math.min(sent.acknowledgedAt, write.until);
      if (write.outcome !== "failed") sent.refused = false;
      this.#sent.set(content, sent);
    }
  }

  any<T>(list: readonly T[]): T | undefined {
    return list[this.pick(list.length)];
  }

  /** What clients of the site have sent, each id with each of its contents once. */
  sent(site: WriteEvent["site"]): Sent[] {
    return [...this.#sent.values()].filter(({ write }) => write.site === site);
  }

  ledgerRow({ write }: Sent): LedgerRow | undefined {
    const used = this.sent("secondary").filter((sent) => sent.write.writeId === write.writeId);
    return used.length === 1 ? this.final.ledger.find(({ writeId }) => writeId === write.writeId) : undefined;
  }

  /** Writes of the secondary site with this outcome in the ledger. */
  decided(outcome: LedgerRow["outcome"]): { sent: Sent; row: LedgerRow }[] {
    return this.sent("secondary").flatMap((sent) => {
      const row = this.ledgerRow(sent);
      return row?.outcome === outcome ? [{ sent, row }] : [];
    });
  }

  /** The write that asked for a value. */
  owner(value: string): Sent | undefined {
    return [...this.#sent.values()].find(({ write }) => valuesOf(write).some((own) => own.value === value));
  }

  effectsOf(write: WriteEvent): Effect[] {
    const values = new Set(valuesOf(write).map(({ value }) => value));
    return this.final.effects.filter(({ operation, value }) => operation !== "DELETE" && values.has(value));
  }

  remove(effects: readonly Effect[]): boolean {
    const gone = new Set(effects);
    this.final.effects = this.final.effects.filter((effect) => !gone.has(effect));
    return gone.size > 0;
  }

  /** Whether some write, whatever became of it, removes the row. */
  everDeleted(key: number): boolean {
    return this.writes.some(({ changes }) => changes.some((c) => c.operation === "delete" && c.key === key));
  }

  /** What the row had before the write, by main's effects; undefined: there was none. */
  before(write: WriteEvent, key: number): string | undefined {
    const effects = this.final.effects.filter((effect) => effect.key === key);
    const own = new Set(valuesOf(write).map(({ value }) => value));
    const last = effects[effects.findIndex(({ value }) => own.has(value)) - 1];
    return last?.operation === "DELETE" ? undefined : last?.value;
  }

  /** Writes that leave values in several rows, with these, as they are in the rows given. */
  several(rows: readonly Row[], site: WriteEvent["site"]): { write: WriteEvent; rows: Row[] }[] {
    const shown = new Map(rows);
    return this.sent(site).flatMap(({ write }) => {
      const mine = [...lastValues(write)].filter(([key, value]) => key >= 0 && shown.get(key) === value);
      return mine.length > 1 ? [{ write, rows: mine }] : [];
    });
  }

  /** A row of the end that the last write to it has changed alone. */
  lastAlone(): Row | undefined {
    return this.any(
      this.final.main.filter(([key, value]) => {
        const owner = this.owner(value)?.write;
        return key < 1_000_000 && owner?.changes.every((change) => change.key === key);
      }),
    );
  }

  /** Pairs of a site's acknowledged writes of which the second was called when the first had been answered. */
  successive(site: WriteEvent["site"]): [Sent, Sent][] {
    const sent = this.sent(site).filter(({ acknowledgedAt }) => acknowledgedAt < Infinity);
    return sent.flatMap((first) =>
      sent.filter(({ calledAt }) => calledAt > first.acknowledgedAt).map((second): [Sent, Sent] => [first, second]),
    );
  }

  /** Adds samples half a second apart that say the same, after everything else. */
  sample(forMs: number, status: Partial<StatusEvent>): boolean {
    const at = this.final.at + 1;
    for (let ms = 0; ms <= forMs; ms += 500)
      this.events.push({ ...this.final.status, pendingWrites: 1, ...status, at: at + ms });
    return true;
  }
}

export function contentOf({ site, writeId, changes }: WriteEvent): string {
  return JSON.stringify([site, writeId, changes]);
}

export function valuesOf({ changes }: WriteEvent): { key: number; value: string }[] {
  return changes.flatMap((change) => (change.operation === "delete" ? [] : [change]));
}

/** What a write leaves in each of its rows. */
export function lastValues({ changes }: WriteEvent): Map<number, string> {
  const last = new Map(changes.map((change) => [change.key, change]));
  return new Map([...last].flatMap(([key, each]) => (each.operation === "delete" ? [] : [[key, each.value] as Row])));
}

export function put(rows: Row[], key: number, value: string | undefined): void {
  const at = rows.findIndex(([other]) => other === key);
  if (at >= 0) rows.splice(at, 1);
  if (value !== undefined) rows.push([key, value]);
}

export const isSites = ([key]: readonly [number, ...unknown[]]): boolean => key >= 0 && key < 1_000_000;

export const exact = (read: ReadEvent): boolean => read.consistency === "merged" && !read.bufferUnreachable;
