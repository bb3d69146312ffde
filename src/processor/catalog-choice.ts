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

/** Writes as statements. */
export interface Effects {
  statements: readonly EffectStatement[];
  /** Main's own catalog made them, as it was after the writes: what main says of them is the last word. */
  byMain: boolean;
}

/**
 * The catalog by which writes become statements: the site's, or main's own where that does not fit. The site's follows
 * the replica and may be older than a write. So only main's may speak against one, and only as it was after the write.
 */
export class CatalogChoice {
  readonly #options: CatalogChoiceOptions;
  #main: { catalog: Catalog; covers: Position; until: number } | undefined;
  /** The site's catalog that main's schema turned out not to be. */
  #outdated: Catalog | undefined;

  constructor(options: CatalogChoiceOptions) {
    this.#options = options;
  }

  /** The statements of the entries; or what the newest catalog known says against them. */
  effects(entries: readonly BufferedWrite[]): Effects | OpsDbError {
    const local = this.#options.local();
    if (!local) throw new Error("the catalog has not been read yet");
    if (local !== this.#outdated) {
      const statements = effectsBy(local, entries);
      if (!(statements instanceof OpsDbError)) return { statements, byMain: false };
      if (!this.#main) return statements;
    }
    if (!this.#main) return new OpsDbError("TABLE_NOT_FOUND", "main's schema is another one than the site knows");
    const statements = effectsBy(this.#main.catalog, entries);
    const last = entries.at(-1);
    if (statements instanceof OpsDbError) return statements;
    return { statements, byMain: last !== undefined && this.decides(last) };
  }

  /** Main has refused statements because its schema is another one: its own catalog makes the next ones. */
  outdated(): void {
    this.#outdated = this.#options.local();
    this.#main = undefined;
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
