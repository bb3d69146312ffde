import type pg from "pg";
import { sleep } from "../lib/abort.ts";
import type { Logger } from "../lib/logger.ts";
import { type Position, START } from "../position.ts";
import { messageOf } from "../postgres/sqlstate.ts";
import { dropIdle } from "../postgres/use-client.ts";
import { readCursor } from "./local-state.ts";
import type { LsnTracker } from "./lsn-tracker.ts";
import { type MainState, readMainState } from "./main-state.ts";
import { Part } from "./part.ts";
import type { MainStatus } from "./status.ts";

export interface MainWatchOptions {
  pool: pg.Pool;
  site: string;
  pollMs: number;
  /** A look that is not answered in this time is given up, milliseconds. */
  timeoutMs: number;
  /** Compares main's cursor with what it had decided; undefined at a main site. */
  tracker?: LsnTracker;
  logger: Logger;
  changed: () => void;
}

/** Looks at the main database from time to time, over the link where there is one. */
export class MainWatch {
  readonly part: Part;
  readonly #options: MainWatchOptions;
  #state: MainState | undefined;
  #at: Date | undefined;

  constructor(options: MainWatchOptions) {
    this.#options = options;
    this.part = new Part("RETRYING", "not connected yet", options.changed);
  }

  get status(): MainStatus {
    const state = this.#state;
    return {
      connection: this.part.status,
      ...(state === undefined ? {} : { lsn: state.lsn, timeline: state.timeline }),
      ...(this.#at === undefined ? {} : { lsnAt: this.#at }),
      standbys: state?.standbys ?? [],
      slots: state?.slots ?? [],
    };
  }

  /** The site's cursor on main at this moment; undefined where main does not answer, or did not when it was looked at last. */
  async askCursor(signal: AbortSignal): Promise<Position | undefined> {
    if (this.part.status.state !== "RUNNING") return undefined;
    const { pool, site, timeoutMs, tracker } = this.#options;
    try {
      const cursor = await readCursor(pool, site, AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]));
      tracker?.mainDecided(cursor);
      return cursor;
    } catch {
      return undefined;
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    const { pool, site, pollMs, timeoutMs, tracker, logger, changed } = this.#options;
    while (!signal.aborted) {
      const before = tracker?.decided ?? START;
      const localTimeline = tracker?.state.value?.timeline ?? 0;
      try {
        this.#state = await readMainState(pool, site, AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]));
        this.#at = new Date();
        // A standby may show a commit before main itself does: of what it shows only a main of a later timeline has lost
        // any. What the replica does not show is known from main's own word, and lost where main takes that back.
        const { cursor, timeline } = this.#state;
        if (timeline > localTimeline || (tracker?.proven ?? START) <= cursor) tracker?.mainIsAt(cursor, before);
        else tracker?.mainDecided(cursor);
        if (this.part.status.state !== "RUNNING") logger.info({}, "the main database answers");
        this.part.set("RUNNING");
        changed();
      } catch (error) {
        if (signal.aborted) return;
        if (this.part.status.state === "RUNNING") logger.warn({ error }, "the main database does not answer");
        this.part.set("RETRYING", messageOf(error), pollMs);
        await dropIdle(pool).catch(() => {});
      }
      await sleep(pollMs, signal).catch(() => {});
    }
  }
}
