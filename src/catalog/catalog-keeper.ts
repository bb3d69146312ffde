import type pg from "pg";
import { OpsDbError } from "../errors.ts";
import { aborted, sleep } from "../lib/abort.ts";
import { Latest } from "../lib/latest.ts";
import type { Logger } from "../lib/logger.ts";
import { messageOf } from "../postgres/sqlstate.ts";
import { useClient } from "../postgres/use-client.ts";
import type { Catalog } from "./catalog.ts";
import { deserializeCatalog, serializeCatalog } from "./create-catalog.ts";
import { loadCatalog } from "./load-catalog.ts";

/** Keeps a copy of the catalog where it can be read while the database is away. */
export interface CatalogCopy {
  load(): Promise<string | undefined>;
  save(text: string): Promise<void>;
}

/** Between attempts to read the catalog, or to keep a copy of it, milliseconds. */
const RETRY_MS = 250;

/** Keeps the catalog up to date with the database's schema. */
export class CatalogKeeper {
  readonly catalog = new Latest<Catalog | undefined>(undefined);
  readonly #pool: pg.Pool;
  readonly #copy: CatalogCopy | undefined;
  readonly #refreshMs: number;
  readonly #timeoutMs: number;
  readonly #logger: Logger;
  #problem = "not read yet";
  /** Fingerprint of the copy. */
  #copied: string | undefined;
  #refreshing: Promise<void> | undefined;
  #refreshedAt = Number.NEGATIVE_INFINITY;

  constructor(options: { pool: pg.Pool; copy?: CatalogCopy; refreshMs: number; timeoutMs: number; logger: Logger }) {
    this.#pool = options.pool;
    this.#copy = options.copy;
    this.#refreshMs = options.refreshMs;
    this.#timeoutMs = options.timeoutMs;
    this.#logger = options.logger;
  }

  /** The catalog as it is now. Throws CATALOG_UNAVAILABLE before the first one was read. */
  get(): Catalog {
    const catalog = this.catalog.value;
    if (catalog) return catalog;
    throw new OpsDbError("CATALOG_UNAVAILABLE", `the catalog cannot be read: ${this.#problem}`, {
      retryAfterMs: 1_000,
    });
  }

  /** Runs the work on the catalog, and once more on a newer one where it misses a table or column in it. */
  async using<T>(signal: AbortSignal, work: (catalog: Catalog) => T | Promise<T>): Promise<T> {
    try {
      return await work(this.get());
    } catch (error) {
      if (!(error instanceof OpsDbError) || !["TABLE_NOT_FOUND", "COLUMN_NOT_FOUND"].includes(error.reason))
        throw error;
      return await work(await this.newer(signal));
    }
  }

  /** Reads it again for somebody who missed something in it, at most ten times a second. */
  async newer(signal: AbortSignal): Promise<Catalog> {
    await sleep(Math.max(0, this.#refreshedAt + 100 - performance.now()), signal).catch(() => {});
    await aborted(signal, this.#refresh(AbortSignal.timeout(this.#timeoutMs))).catch(() => {});
    return this.get();
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#refresh(AbortSignal.any([signal, AbortSignal.timeout(this.#timeoutMs)]));
      if (!this.catalog.value) await this.#loadCopy();
      await this.#rest(signal);
    }
  }

  /** Until the next reading. What could not be kept yet is kept as soon as it can be: a restart may come before that. */
  async #rest(signal: AbortSignal): Promise<void> {
    const end = performance.now() + (this.catalog.value ? this.#refreshMs : RETRY_MS);
    for (let left = end - performance.now(); left > 0 && !signal.aborted; left = end - performance.now()) {
      const read = this.catalog.value;
      const isKept = !read || read.fingerprint === this.#copied;
      await sleep(isKept ? left : Math.min(left, RETRY_MS), signal).catch(() => {});
      if (read && !isKept) await this.#keepCopy(read);
    }
  }

  #refresh(signal: AbortSignal): Promise<void> {
    this.#refreshing ??= this.#read(signal).finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #read(signal: AbortSignal): Promise<void> {
    this.#refreshedAt = performance.now();
    try {
      const read = await useClient(this.#pool, signal, (client) => loadCatalog(client));
      if (read.fingerprint !== this.catalog.value?.fingerprint) {
        this.#logger.info({ tables: read.tables.length, fingerprint: read.fingerprint }, "the catalog was read");
        this.catalog.set(read);
      }
      if (this.#copied !== read.fingerprint) await this.#keepCopy(read);
    } catch (error) {
      this.#problem = messageOf(error);
    }
  }

  /** Tried again where it fails. */
  async #keepCopy(catalog: Catalog): Promise<void> {
    try {
      await this.#copy?.save(serializeCatalog(catalog));
      this.#copied = catalog.fingerprint;
    } catch (error) {
      this.#logger.debug({ error }, "the catalog's copy could not be kept");
    }
  }

  async #loadCopy(): Promise<void> {
    try {
      const text = await this.#copy?.load();
      if (text === undefined) return;
      this.catalog.set(deserializeCatalog(text));
      this.#logger.warn(
        { problem: this.#problem },
        "the local database is away; going on with the kept copy of the catalog",
      );
    } catch (error) {
      this.#problem = `${this.#problem}; no kept copy either: ${messageOf(error)}`;
    }
  }
}
