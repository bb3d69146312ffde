import { sleep } from "../lib/abort.ts";
import type { Logger } from "../lib/logger.ts";
import type { KeptCopy } from "./kept-copy.ts";

export interface CopyKeeperOptions {
  /** Undefined: none is kept. */
  copy: KeptCopy | undefined;
  /** Of what, for the log. */
  what: string;
  logger: Logger;
  /** Between writings of the same text, milliseconds. */
  everyMs?: number;
}

/** Keeps a copy of the newest text. It is written again from time to time: Redis may have been emptied, or be an older one. */
export class CopyKeeper {
  readonly #options: CopyKeeperOptions;
  #text: string | undefined;
  /** What was written last; undefined: it may not be there any more. */
  #saved: string | undefined;

  constructor(options: CopyKeeperOptions) {
    this.#options = options;
  }

  /** Tried again with the next call where it fails. */
  async keep(text: string): Promise<void> {
    this.#text = text;
    if (text !== this.#saved) await this.#save(text);
  }

  /** Until the signal. `current`: whether the text is what its source has now; an older one is not written over a newer one. */
  async run(signal: AbortSignal, current: () => boolean): Promise<void> {
    const { everyMs = 60_000 } = this.#options;
    while (!signal.aborted) {
      await sleep(everyMs, signal).catch(() => {});
      if (!signal.aborted && this.#text !== undefined) await this.#save(this.#text, current());
    }
  }

  async #save(text: string, overwrite = true): Promise<void> {
    const { copy, logger, what } = this.#options;
    try {
      await copy?.save(text, overwrite);
      this.#saved = text;
    } catch (error) {
      this.#saved = undefined;
      logger.debug({ error }, `the copy of ${what} could not be kept`);
    }
  }
}
