import type { RedisWriteBuffer } from "../buffer/redis-write-buffer.ts";
import { sleep } from "../lib/abort.ts";
import { Latest } from "../lib/latest.ts";
import type { PartStatus } from "../replication/status.ts";

/** An operator has stopped the drain. */
export interface Pause {
  operator: string;
  reason: string;
  since: Date;
}

/** Time between looks for what other processes of the site did, milliseconds. */
const LOOK_MS = 300;

/**
 * The pause of a site's drain: one key in the site's Redis, so that it holds for every process and over restarts. Each
 * process looks at it all the time. While Redis is away, what was seen last holds; before the first look nothing is
 * known, and nothing may be drained.
 */
export class DrainPause {
  readonly #buffer: RedisWriteBuffer;
  readonly #key: string;
  readonly #changed: () => void;
  readonly #state = new Latest<{ known: boolean; pause: Pause | undefined }>({ known: false, pause: undefined });

  constructor(buffer: RedisWriteBuffer, changed: () => void) {
    this.#buffer = buffer;
    this.#key = buffer.key("paused");
    this.#changed = changed;
  }

  /** The pause as it was seen last; undefined: none. */
  get now(): Pause | undefined {
    return this.#state.value.pause;
  }

  get known(): boolean {
    return this.#state.value.known;
  }

  /** Resolves when it is known that the drain is not paused. */
  async over(signal: AbortSignal): Promise<void> {
    await this.#state.until(({ known, pause }) => known && !pause, signal);
  }

  /** Resolves when it is known whether the drain is paused. */
  async seen(signal: AbortSignal): Promise<void> {
    await this.#state.until(({ known }) => known, signal);
  }

  /** Looks now. Rejects while Redis is away. */
  async look(): Promise<Pause | undefined> {
    const text = await this.#buffer.redis.get(this.#key);
    return this.#take(text === null ? undefined : parse(text));
  }

  /** Pauses the drain, unless it is paused already; answers the pause that holds. */
  async begin({ operator, reason, since }: Pause): Promise<Pause> {
    const text = JSON.stringify({ operator, reason, since: since.toISOString() });
    await this.#buffer.redis.set(this.#key, text, "NX");
    const pause = (await this.look()) ?? { operator, reason, since }; // somebody may have ended it already
    return pause;
  }

  async end(): Promise<void> {
    await this.#buffer.redis.del(this.#key);
    this.#take(undefined);
  }

  /** Follows the key until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#buffer.accepting.until((ready) => ready, signal).catch(() => {});
      if (signal.aborted) return;
      await this.look().catch(() => {}); // the next look is soon
      await sleep(LOOK_MS, signal).catch(() => {});
    }
  }

  #take(pause: Pause | undefined): Pause | undefined {
    const before = this.#state.value;
    if (before.known && before.pause?.since.getTime() === pause?.since.getTime()) return before.pause;
    this.#state.set({ known: true, pause });
    this.#changed();
    return pause;
  }
}

/** A pause as the state of the part that it stops. */
export function pausedStatus({ operator, reason, since }: Pause): PartStatus {
  return { state: "PAUSED", reason: `paused by ${operator}: ${reason}`, since };
}

/** Whatever stands under the key is a pause, also what somebody has set by hand. */
function parse(text: string): Pause {
  try {
    const { operator, reason, since } = JSON.parse(text) as Record<string, unknown>;
    const at = new Date(String(since));
    if (typeof operator === "string" && typeof reason === "string" && !Number.isNaN(at.getTime()))
      return { operator, reason, since: at };
  } catch {
    // Not this service's own text.
  }
  return { operator: "somebody", reason: text, since: new Date(0) };
}
