import { getHeapStatistics } from "node:v8";
import type { Labelled, Measure } from "./measure.ts";
import type { Site } from "./site.ts";
import type { NamedPool } from "./site-measures.ts";

/** The process itself, beside what prom-client collects of any. */
export const processMeasures: readonly Measure[] = [
  {
    name: "opsdb_pool_connections",
    help: "Open connections of a pool: of main, of local for reads, of probe for following and checking at the local database",
    type: "gauge",
    labelNames: ["pool"],
    read: (site) => ofPools(site, ({ totalCount }) => totalCount),
  },
  {
    name: "opsdb_pool_idle_connections",
    help: "Open connections of the pool that nobody uses",
    type: "gauge",
    labelNames: ["pool"],
    read: (site) => ofPools(site, ({ idleCount }) => idleCount),
  },
  {
    name: "opsdb_pool_waiting",
    help: "Callers that wait for a connection of the pool",
    type: "gauge",
    labelNames: ["pool"],
    read: (site) => ofPools(site, ({ waitingCount }) => waitingCount),
  },
  {
    name: "opsdb_pool_max_connections",
    help: "The most connections that the pool opens",
    type: "gauge",
    labelNames: ["pool"],
    read: (site) => ofPools(site, ({ options }) => options.max),
  },
  {
    name: "opsdb_heap_limit_bytes",
    help: "What the heap may grow to before the process ends, in bytes",
    type: "gauge",
    read: () => getHeapStatistics().heap_size_limit,
  },
];

function ofPools(site: Site, of: (pool: NamedPool["pool"]) => number | undefined): Labelled[] {
  return site.measures.pools.map(({ name, pool }) => ({ labels: { pool: name }, value: of(pool) }));
}
