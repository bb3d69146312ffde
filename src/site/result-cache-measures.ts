import type { Measure } from "./measure.ts";

/** Reads that would do with an earlier result. */
export const resultCacheMeasures: readonly Measure[] = [
  {
    name: "opsdb_result_cache_up",
    help: "1 while earlier results can be looked up in Redis",
    type: "gauge",
    read: ({ resultCache: { up } }) => (up === undefined ? undefined : up ? 1 : 0),
  },
  {
    name: "opsdb_result_cache_hits_total",
    help: "Reads with a max_age that were answered with an earlier result",
    type: "counter",
    read: ({ resultCache }) => resultCache.hits,
  },
  {
    name: "opsdb_result_cache_misses_total",
    help: "Reads with a max_age for which there was no earlier result",
    type: "counter",
    read: ({ resultCache }) => resultCache.misses,
  },
  {
    name: "opsdb_result_cache_stored_bytes_total",
    help: "Bytes of results that were stored in Redis",
    type: "counter",
    read: ({ resultCache }) => resultCache.storedBytes,
  },
];
