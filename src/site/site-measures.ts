import type pg from "pg";
import type { AppendMeasures } from "../buffer/append-measures.ts";
import type { Reason } from "../errors.ts";
import type { DrainMeasures } from "../processor/drain-measures.ts";

/** What one process of a site counts of its own work. The state of the site is in its status. */
export interface SiteMeasures {
  readonly pools: readonly NamedPool[];
  /** Undefined at a site without a buffer. */
  readonly buffer?: { readonly appended: AppendMeasures; refusing(): Reason | undefined };
  readonly drain?: DrainMeasures;
}

export interface NamedPool {
  /** "main", "local", or "probe": the local database's connections for following and checking. */
  readonly name: string;
  readonly pool: Pick<pg.Pool, "totalCount" | "idleCount" | "waitingCount" | "options">;
}
