import { Latest } from "../lib/latest.ts";
import type { Lsn } from "../lsn.ts";
import type { Site } from "../site/site.ts";
import type { WriteStatus } from "../write.ts";

export type FollowedEvent = { kind: "write"; write: WriteStatus } | { kind: "lsn_replayed"; lsn: Lsn };

export interface FollowOptions {
  site: Pick<Site, "followWrite" | "waitForLsn">;
  writeId: string | undefined;
  lsn: Lsn | undefined;
}

/** Events that wait for their reader; at this many the sources wait too. */
const capacity = 16;

/** What one watcher follows: a write's states and an LSN, in the order in which they came, none left out. */
export class FollowedEvents {
  /** Changes with every event taken, added or failed. */
  readonly progress = new Latest<null>(null);
  /** Resolves when the sources have let go, which they do after the signal at the latest. */
  readonly ended: Promise<void>;
  readonly #queue: FollowedEvent[] = [];
  readonly #signal: AbortSignal;
  #running = 0;
  #failure: { error: unknown } | undefined;

  constructor({ site, writeId, lsn }: FollowOptions, signal: AbortSignal) {
    this.#signal = signal;
    const sources: Promise<void>[] = [];
    if (writeId !== undefined) sources.push(this.#run(() => this.#followWrite(site, writeId)));
    if (lsn !== undefined) sources.push(this.#run(() => this.#followLsn(site, lsn)));
    this.ended = Promise.all(sources).then(() => undefined);
  }

  /** The next event, if there is one. Throws what a source failed with once all events before it are taken. */
  take(): FollowedEvent | undefined {
    const event = this.#queue.shift();
    if (event !== undefined) this.progress.set(null);
    else if (this.#failure !== undefined) throw this.#failure.error;
    return event;
  }

  /** Nothing more will come. */
  get done(): boolean {
    return this.#running === 0 && this.#queue.length === 0;
  }

  async #run(source: () => Promise<void>): Promise<void> {
    this.#running += 1;
    try {
      await source();
    } catch (error) {
      this.#failure ??= { error };
    } finally {
      this.#running -= 1;
      this.progress.set(null);
    }
  }

  async #followWrite(site: FollowOptions["site"], writeId: string): Promise<void> {
    for await (const write of site.followWrite(writeId, this.#signal)) await this.#add({ kind: "write", write });
  }

  async #followLsn(site: FollowOptions["site"], lsn: Lsn): Promise<void> {
    await site.waitForLsn(lsn, this.#signal);
    await this.#add({ kind: "lsn_replayed", lsn });
  }

  async #add(event: FollowedEvent): Promise<void> {
    await this.progress.until(() => this.#queue.length < capacity, this.#signal);
    this.#queue.push(event);
    this.progress.set(null);
  }
}
