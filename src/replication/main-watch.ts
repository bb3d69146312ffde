import type pg from "pg";
import { sleep } from "../lib/abort.ts";
import type { Logger } from "../lib/logger.ts";
import { START } from "../position.ts";
import { messageOf } from "../postgres/sqlstate.ts";
import { dropIdle } from "../postgres/use-client.ts";
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
  /** Compares main's cursor with what it proves here; undefined at a main site. */
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

  async run(signal: AbortSignal): Promise<void> {
    const { pool, site, pollMs, timeoutMs, tracker, logger, changed } = this.#options;
    while (!signal.aborted) {
      const before = tracker?.proven ?? START;
      const localTimeline = tracker?.state.value?.timeline ?? 0;
      try {
        this.#state = await readMainState(pool, site, AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]));
        this.#at = new Date();
        // A standby may show a commit before main itself does. Only a main of a later timeline has lost what it showed.
        if (this.#state.timeline > localTimeline) tracker?.mainIsAt(this.#state.cursor, before);
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
