import { readFile } from "node:fs/promises";
import { createLocalJWKSet, type JSONWebKeySet, type JWTVerifyGetKey } from "jose";
import { aborted, Deadline, sleep } from "../lib/abort.ts";
import type { Logger } from "../lib/logger.ts";
import { messageOf } from "../postgres/sqlstate.ts";
import { CopyKeeper } from "./copy-keeper.ts";
import type { KeptCopy } from "./kept-copy.ts";

export interface KeySetKeeperOptions {
  /** URL or path. */
  source: string;
  copy: KeptCopy | undefined;
  refreshMs: number;
  timeoutMs: number;
  logger: Logger;
  /** Between writings of the copy where nothing is new, milliseconds; a minute where it is left out. */
  keepCopyMs?: number;
  /** The keys are others from now on. */
  changed: () => void;
}

/** Between readings for the sake of a token that does not fit, milliseconds: anybody can make one. */
export const COOLDOWN_MS = 5_000;
/** After a reading that failed, milliseconds. */
const RETRY_MS = 5_000;
/** No identity provider has keys of this size, bytes. */
const MAX_BYTES = 1024 * 1024;

/** The keys of an identity provider. While it is away, the last ones hold, over a restart too. */
export class KeySetKeeper {
  readonly #options: KeySetKeeperOptions;
  #text: string | undefined;
  #keys: JWTVerifyGetKey | undefined;
  readonly #copy: CopyKeeper;
  #problem: string | undefined = "not read yet";
  #reading: Promise<void> | undefined;
  #renewedAt = Number.NEGATIVE_INFINITY;

  constructor(options: KeySetKeeperOptions) {
    this.#options = options;
    const { copy, logger, keepCopyMs: everyMs } = options;
    this.#copy = new CopyKeeper({
      copy,
      what: "the identity provider's keys",
      logger,
      ...(everyMs === undefined ? {} : { everyMs }),
    });
  }

  /** Undefined: none were read yet. */
  get keys(): JWTVerifyGetKey | undefined {
    return this.#keys;
  }

  /** Whether the provider answered the last time. */
  get current(): boolean {
    return this.#problem === undefined;
  }

  /**
   * Reads the keys again for the sake of a token that does not fit them. Answers whether that was done; if not, it was done for
   * another token a moment ago, and this one's key may be newer still.
   */
  async renew(): Promise<boolean> {
    if (!this.#reading) {
      const now = performance.now();
      if (now - this.#renewedAt <= COOLDOWN_MS) return false;
      this.#renewedAt = now;
    }
    await this.#read();
    return true;
  }

  async run(signal: AbortSignal): Promise<void> {
    const copy = Promise.all([this.#loadCopy(), this.#copy.run(signal, () => this.#problem === undefined)]);
    while (!signal.aborted) {
      await aborted(signal, this.#read()).catch(() => {});
      await sleep(this.current ? this.#options.refreshMs : RETRY_MS, signal).catch(() => {});
    }
    await Promise.all([copy, this.#reading]);
  }

  #read(): Promise<void> {
    this.#reading ??= this.#readOnce().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #readOnce(): Promise<void> {
    const { source, logger, timeoutMs } = this.#options;
    try {
      using deadline = new Deadline(timeoutMs);
      this.#learn(await (isUrl(source) ? fetchText(source, deadline.signal) : readFile(source, "utf8")));
      if (this.#problem !== undefined) logger.info({ source }, "the identity provider's keys were read");
      this.#problem = undefined;
    } catch (error) {
      const problem = messageOf(error);
      if (problem !== this.#problem)
        logger.warn({ source, error }, "the identity provider's keys cannot be read; those known until now hold");
      this.#problem = problem;
    }
    if (this.#text !== undefined) await this.#copy.keep(this.#text);
  }

  #learn(text: string): void {
    if (text === this.#text) return;
    this.#keys = createLocalJWKSet(JSON.parse(text) as JSONWebKeySet); // throws for what is no key set
    this.#text = text;
    this.#options.changed();
  }

  async #loadCopy(): Promise<void> {
    try {
      const text = await this.#options.copy?.load();
      if (text !== undefined && this.#text === undefined) this.#learn(text);
    } catch (error) {
      this.#options.logger.warn({ error }, "the copy of the identity provider's keys cannot be read");
    }
  }
}

async function fetchText(url: string, signal: AbortSignal): Promise<string> {
  const response = await fetch(url, { signal, redirect: "error", headers: { accept: "application/json" } });
  if (!response.ok) throw new Error(`${url} answers with status ${response.status}`);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > MAX_BYTES) throw new Error(`${url} answers with more than ${MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function isUrl(source: string): boolean {
  return /^https?:\/\//.test(source);
}
