import type { Change, Event, WriteEvent } from "./history.ts";

/** What clients asked for under one id with one content at one site, in however many calls. */
export interface ClientWrite {
  writeId: string;
  site: "main" | "secondary";
  changes: readonly Change[];
  poison: boolean;
  attempts: WriteEvent[];
  /** When it was called first, milliseconds. */
  calledAt: number;
  /** When the first answer came that acknowledged it, milliseconds; Infinity: never. Until then it may take effect. */
  acknowledgedAt: number;
  /** Every call was answered with "nothing was stored". */
  refused: boolean;
}

/** The writes of all clients, by id and by the values that they write. */
export class ClientWrites {
  readonly all: ClientWrite[] = [];
  readonly #byContent = new Map<string, ClientWrite>();
  readonly #byId = new Map<string, ClientWrite[]>();
  readonly #byValue = new Map<string, ClientWrite>();

  constructor(events: readonly Event[]) {
    for (const event of events) if (event.kind === "write") this.#add(event);
    for (const write of this.all)
      for (const change of write.changes)
        if (change.operation !== "delete" && (this.#byValue.get(change.value)?.refused ?? true))
          this.#byValue.set(change.value, write);
  }

  /** Those of a site with this id: more than one where the id was used for several contents. */
  withId(site: ClientWrite["site"], writeId: string): readonly ClientWrite[] {
    return (this.#byId.get(writeId) ?? []).filter((write) => write.site === site);
  }

  /** The write that asked for this value in this row. */
  ofRow(key: number, value: string): ClientWrite | undefined {
    const write = this.#byValue.get(value);
    const asked = write?.changes.some(
      (change) => change.operation !== "delete" && change.key === key && change.value === value,
    );
    return asked ? write : undefined;
  }

  #add(event: WriteEvent): void {
    const { site, writeId, changes, poison } = event;
    const content = JSON.stringify([site, writeId, changes]);
    let write = this.#byContent.get(content);
    if (!write) {
      write = {
        ...{ site, writeId, changes, poison, attempts: [] },
        calledAt: Number.POSITIVE_INFINITY,
        acknowledgedAt: Number.POSITIVE_INFINITY,
        refused: true,
      };
      this.#byContent.set(content, write);
      this.all.push(write);
      const sameId = this.#byId.get(writeId);
      if (sameId) sameId.push(write);
      else this.#byId.set(writeId, [write]);
    }
    write.attempts.push(event);
    write.calledAt = Math.min(write.calledAt, event.at);
    if (event.outcome === "ok") write.acknowledgedAt = Math.min(write.acknowledgedAt, event.until);
    if (event.outcome !== "failed") write.refused = false;
  }
}
