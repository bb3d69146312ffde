import type pg from "pg";
import { sleep } from "../lib/abort.ts";
import type { Logger } from "../lib/logger.ts";
import { messageOf } from "../postgres/sqlstate.ts";
import { type MainState, readMainState } from "./main-state.ts";
import { Part } from "./part.ts";
import type { MainStatus } from "./status.ts";

/** Looks at the main database from time to time, over the link where there is one. */
export class MainWatch {
  readonly part: Part;
  readonly #pool: pg.Pool;
  readonly #pollMs: number;
  readonly #timeoutMs: number;
  readonly #logger: Logger;
  readonly #changed: () => void;
  #state: MainState | undefined;
  #at: Date | undefined;

  constructor(options: { pool: pg.Pool; pollMs: number; timeoutMs: number; logger: Logger; changed: () => void }) {
    this.#pool = options.pool;
    this.#pollMs = options.pollMs;
    this.#timeoutMs = options.timeoutMs;
    this.#logger = options.logger;
    this.#changed = options.changed;
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
    while (!signal.aborted) {
      try {
        this.#state = await readMainState(this.#pool, AbortSignal.any([signal, AbortSignal.timeout(this.#timeoutMs)]));
        this.#at = new Date();
        if (this.part.status.state !== "RUNNING") this.#logger.info({}, "the main database answers");
        this.part.set("RUNNING");
        this.#changed();
      } catch (error) {
        if (signal.aborted) return;
        if (this.part.status.state === "RUNNING") this.#logger.warn({ error }, "the main database does not answer");
        this.part.set("RETRYING", messageOf(error), this.#pollMs);
      }
      await sleep(this.#pollMs, signal).catch(() => {});
    }
  }
}
