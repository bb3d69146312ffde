import type pg from "pg";
import type { BufferedWrites } from "../buffer/buffered-writes.ts";
import { ledgerIds, ledgerRowOf, settle } from "../buffer/settle.ts";
import { aborted, Deadline, sleep } from "../lib/abort.ts";
import { failpoint } from "../lib/failpoint.ts";
import { Latest } from "../lib/latest.ts";
import type { Logger } from "../lib/logger.ts";
import { type Position, START } from "../position.ts";
import { parseLedgerRow, readLedger } from "../postgres/ledger.ts";
import { messageOf } from "../postgres/sqlstate.ts";
import { queryRows } from "../postgres/use-client.ts";
import { type LocalState, readCursor, readLocalState } from "./local-state.ts";
import { Part } from "./part.ts";

export interface LsnTrackerOptions {
  local: pg.Pool;
  site: string;
  /** The writes to prove; undefined at a main site. */
  writes: BufferedWrites | undefined;
  /** Time between looks while somebody waits, and while nobody does, milliseconds. */
  pollMs: number;
  idlePollMs: number;
  /** A look that is not answered in this time is given up, milliseconds. */
  timeoutMs: number;
  logger: Logger;
  /** Writes changed their state, or the part did. */
  changed: () => void;
}

const PROOF_PAGE = 5_000;

/**
 * Follows the local database: how far replay is, and which of the site's writes it shows. A write is REPLICATED on one
 * proof only: its ledger row is visible there (G8). LSNs and timelines say when looking is worth it, and wake waiting
 * reads; no write is forgotten because of them.
 */
export class LsnTracker {
  readonly part: Part;
  /** The newest look; undefined before the first one that succeeded. */
  readonly state = new Latest<LocalState | undefined>(undefined);
  readonly #options: LsnTrackerOptions;
  /** Readers that wait for replay: while there are any, the tracker looks often. */
  #waiting = 0;
  /** Those among them who wait for replay rather than for a proof. */
  #waitingForState = 0;
  #stateAt = Number.NEGATIVE_INFINITY;
  readonly #hurry = new Latest(0);
  #proven: Position = START;
  #decided: Position = START;
  /** The local database as it was when it showed more than main: what it shows since is no proof. */
  #divergedFrom: Pick<LocalState, "systemIdentifier" | "timeline"> | undefined;
  /** Moves when proofs are taken back, so that a look that began before does not prove anything any more. */
  #takenBack = 0;

  constructor(options: LsnTrackerOptions) {
    this.#options = options;
    this.part = new Part("RETRYING", "not connected yet", options.changed);
  }

  /** Every write of the site up to here is visible on the local database. */
  get proven(): Position {
    return this.#proven;
  }

  /** Main is known to have decided every write of the site up to here: it said so, or the replica has shown it. */
  get decided(): Position {
    return this.#decided > this.#proven ? this.#decided : this.#proven;
  }

  /** Main says that it has decided every write up to here. */
  mainDecided(cursor: Position): void {
    if (cursor > this.#decided) this.#decided = cursor;
  }

  /**
   * Main, asked after it was known to have decided writes up to `before`, has its cursor here, and is not committing any
   * more of it: a standby may show that before main does. Where the cursor is earlier, main has failed over and lost
   * writes, which are open again. Where the local database still shows them, it cannot follow the new main and proves
   * nothing until another one, of a new timeline, is in its place.
   */
  mainIsAt(cursor: Position, before: Position): void {
    this.mainDecided(cursor);
    const { writes, logger, changed } = this.#options;
    if (!writes || cursor >= before || cursor >= this.decided) return;
    logger.error({}, "main has lost writes that it had decided: they are applied again");
    writes.reopen(cursor);
    if (cursor < this.#proven) {
      this.#takeBack(writes, cursor);
      this.#divergedFrom = this.state.value;
    }
    this.#decided = cursor;
    changed();
  }

  /** Looks again at once, and often for as long as writes are on their way. */
  hurry(): void {
    this.#hurry.set(this.#hurry.value + 1);
  }

  /** Resolves with the first state, present or later, that satisfies the predicate; looks often meanwhile. */
  async until(predicate: (state: LocalState) => boolean, signal: AbortSignal): Promise<LocalState> {
    using _attention = this.attend();
    this.#waitingForState += 1;
    const state = await this.state
      .until((seen) => seen !== undefined && predicate(seen), signal)
      .finally(() => {
        this.#waitingForState -= 1;
      });
    if (!state) throw new Error("the tracker stopped");
    return state;
  }

  /** Looks often until it is disposed of. */
  attend(): Disposable {
    this.#waiting += 1;
    this.hurry();
    return {
      [Symbol.dispose]: () => {
        this.#waiting -= 1;
      },
    };
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const seen = this.#hurry.version;
      try {
        const { local, site, timeoutMs } = this.#options;
        using deadline = new Deadline(timeoutMs);
        const timely = AbortSignal.any([signal, deadline.signal]);
        let cursor: Position;
        if (this.#wantsState()) {
          const state = await readLocalState(local, site, timely);
          this.#stateAt = performance.now();
          this.state.set(state);
          cursor = state.cursor;
        } else cursor = await readCursor(local, site, timely);
        if (this.#options.writes) await this.#prove(this.#options.writes, cursor, timely);
        this.part.set(
          "RUNNING",
          this.#divergedFrom ? "it shows what main has lost: make it again from the new main" : "",
        );
      } catch (error) {
        if (signal.aborted) return;
        if (this.part.status.reason !== messageOf(error))
          this.#options.logger.warn({ error }, "the local database cannot be followed");
        this.part.set("RETRYING", messageOf(error), this.#options.idlePollMs);
        await sleep(Math.min(this.#options.idlePollMs, 250), signal).catch(() => {});
        continue;
      }
      await this.#pause(seen, signal);
    }
  }

  /** The whole state costs the database more than the cursor, which is all that a proof needs. */
  #wantsState(): boolean {
    if (this.#divergedFrom) return true;
    return this.#waitingForState > 0 || performance.now() - this.#stateAt >= this.#options.idlePollMs;
  }

  /** Short while anyone waits or a write is applied but not yet proven; otherwise until the next hurry. */
  async #pause(seen: number, signal: AbortSignal): Promise<void> {
    const { pollMs, idlePollMs } = this.#options;
    if (this.#waiting > 0 || this.#someApplied()) return await sleep(pollMs, signal).catch(() => {});
    const idle = new AbortController();
    const timer = setTimeout(() => idle.abort(), idlePollMs);
    await aborted(AbortSignal.any([signal, idle.signal]), this.#hurry.changed(seen, idle.signal)).catch(() => {});
    clearTimeout(timer);
    idle.abort();
  }

  #someApplied(): boolean {
    if (this.#divergedFrom) return false; // none of them can be proven now
    const { writes } = this.#options;
    const next = writes?.firstAfter(this.#proven);
    return next !== undefined && next.state !== "ACCEPTED";
  }

  async #prove(writes: BufferedWrites, cursor: Position, signal: AbortSignal): Promise<void> {
    if (this.#diverged()) return;
    if (cursor < this.#proven) {
      this.#options.logger.error(
        {},
        "the local database shows less than before: it was made again, or main failed over; writes wait for their proof again",
      );
      this.#takeBack(writes, cursor);
    }
    const takenBack = this.#takenBack;
    for (;;) {
      const page = writes.unprovenUpTo(cursor, PROOF_PAGE);
      const last = page.at(-1);
      if (!last) break;
      const rows = await queryRows(this.#options.local, signal, readLedger(page.flatMap(ledgerIds)));
      if (takenBack !== this.#takenBack) return;
      const found = new Map(rows.map(parseLedgerRow).map((row) => [row.writeId, row]));
      let provenTo = this.#proven;
      let missing: string | undefined;
      const gone: string[] = [];
      for (const entry of page) {
        const row = ledgerRowOf(entry, found);
        if (row) {
          settle(writes, entry, row);
          if (entry.state === "APPLIED") entry.state = "REPLICATED";
        } else if (entry.position <= writes.trimmedTo) gone.push(entry.writeId);
        else {
          missing = entry.writeId;
          break;
        }
        provenTo = entry.position;
      }
      // Another process had its proof and trimmed them, and the drain has passed over what main lost of them since.
      if (gone.length > 0)
        this.#options.logger.error(
          { count: gone.length, writeIds: gone.slice(0, 10) },
          "main has lost writes that had left the buffer before",
        );
      failpoint("proof-seen");
      writes.prove(provenTo);
      this.#proven = provenTo;
      this.#options.changed();
      if (missing !== undefined) throw new Error(`the cursor has passed write ${missing}, which has no ledger row`);
    }
    if (cursor > this.#proven) this.#proven = cursor;
  }

  #takeBack(writes: BufferedWrites, cursor: Position): void {
    writes.unprove(cursor);
    this.#decided = this.decided; // main is not known to have lost it
    this.#proven = cursor;
    this.#takenBack += 1;
  }

  /** Whether the local database is still the one that showed more than main. */
  #diverged(): boolean {
    const [from, now] = [this.#divergedFrom, this.state.value];
    if (!from || !now) return false;
    if (from.systemIdentifier === now.systemIdentifier && now.timeline <= from.timeline) return true;
    this.#divergedFrom = undefined;
    return false;
  }
}
