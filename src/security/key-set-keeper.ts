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

/** Between readings for the sake of a key that is not known, milliseconds: anybody can name one. */
const COOLDOWN_MS = 5_000;
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
  #readAt = Number.NEGATIVE_INFINITY;

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

  /** Reads the keys again for a token whose key is not among them, unless that was done a moment ago. */
  async renew(): Promise<void> {
    if (performance.now() - this.#readAt > COOLDOWN_MS) await this.#read();
    else await this.#reading;
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
    this.#readAt = performance.now();
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
  const text = await response.text();
  if (text.length > MAX_BYTES) throw new Error(`${url} answers with more than ${MAX_BYTES} bytes`);
  return text;
}

function isUrl(source: string): boolean {
  return /^https?:\/\//.test(source);
}
