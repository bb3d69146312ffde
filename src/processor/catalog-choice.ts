import type { BufferedWrites } from "../buffer/buffered-writes.ts";
import type { BufferedWrite } from "../buffer/write-buffer.ts";
import type { Catalog } from "../catalog/catalog.ts";
import { OpsDbError } from "../errors.ts";
import type { Position } from "../position.ts";
import { type EffectStatement, effectStatements, effectsOf } from "./effects.ts";

/** How long main's catalog may speak against a write, milliseconds: an operator may be mending what it lacks. */
const VALID_MS = 5_000;

export interface CatalogChoiceOptions {
  /** The site's catalog as it is now; undefined before it was read. */
  local: () => Catalog | undefined;
  /** Reads the main database's catalog. */
  readMain: () => Promise<Catalog>;
  writes: BufferedWrites;
}

/**
 * The catalog by which writes become statements: the site's, or main's own where that does not fit. The site's follows
 * the replica and may be older than a write. So only main's may speak against one, and only as it was after the write.
 */
export class CatalogChoice {
  readonly #options: CatalogChoiceOptions;
  #main: { catalog: Catalog; covers: Position; until: number } | undefined;

  constructor(options: CatalogChoiceOptions) {
    this.#options = options;
  }

  /** The statements of the entries; or what the newest catalog known says against them. */
  effects(entries: readonly BufferedWrite[]): EffectStatement[] | OpsDbError {
    const local = this.#options.local();
    if (!local) throw new Error("the catalog has not been read yet");
    const byLocal = effectsBy(local, entries);
    return byLocal instanceof OpsDbError && this.#main ? effectsBy(this.#main.catalog, entries) : byLocal;
  }

  /** Whether what `effects` says against the entry is main's word. If not, main has to be asked. */
  decides(entry: BufferedWrite): boolean {
    return this.#main !== undefined && entry.position <= this.#main.covers && performance.now() < this.#main.until;
  }

  /** Reads main's catalog, for all writes that are in the buffer by now. */
  async askMain(): Promise<void> {
    const covers = this.#options.writes.last; // before the catalog is read: it is not older than these
    const catalog = await this.#options.readMain();
    this.#main = { catalog, covers, until: performance.now() + VALID_MS };
  }
}

function effectsBy(catalog: Catalog, entries: readonly BufferedWrite[]): EffectStatement[] | OpsDbError {
  try {
    return effectStatements(catalog, effectsOf(entries));
  } catch (error) {
    if (error instanceof OpsDbError) return error;
    throw error;
  }
}
