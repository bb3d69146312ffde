import { Counter, Gauge, type Registry } from "prom-client";
import type { ResultCacheState } from "../query/result-cache.ts";
import type { PartStatus, ReplicationStatus, SequenceStatus } from "../replication/status.ts";
import type { Site } from "./site.ts";

const measures: { name: string; help: string; read: (status: ReplicationStatus) => number | undefined }[] = [
  {
    name: "opsdb_buffer_pending_writes",
    help: "Writes not yet known to be on the main database",
    read: (s) => s.buffer?.pendingWrites,
  },
  {
    name: "opsdb_buffer_overlay_writes",
    help: "Writes not yet proven on the local replica",
    read: (s) => s.buffer?.overlayWrites,
  },
  { name: "opsdb_buffer_retained_writes", help: "Writes in the stream", read: (s) => s.buffer?.retainedWrites },
  { name: "opsdb_buffer_bytes", help: "Bytes of the payloads in the stream", read: (s) => s.buffer?.bytes },
  { name: "opsdb_buffer_max_writes", help: "The most writes the buffer takes", read: (s) => s.buffer?.maxWrites },
  { name: "opsdb_buffer_max_bytes", help: "The most bytes the buffer takes", read: (s) => s.buffer?.maxBytes },
  {
    name: "opsdb_buffer_oldest_pending_seconds",
    help: "Age of the oldest pending write; 0 while none is pending",
    read: (s) => s.buffer && (s.buffer.oldestAt ? (Date.now() - s.buffer.oldestAt.getTime()) / 1_000 : 0),
  },
  {
    name: "opsdb_buffer_loss",
    help: "1 while Redis is known to have lost confirmed writes and nobody has acknowledged it",
    read: (s) => s.buffer && (s.buffer.loss ? 1 : 0),
  },
  {
    name: "opsdb_processor_applied_writes",
    help: "Writes applied since the process started",
    read: (s) => s.processor?.appliedWrites,
  },
  {
    name: "opsdb_processor_rejected_writes",
    help: "Writes that main refused since the process started",
    read: (s) => s.processor?.rejectedWrites,
  },
  {
    name: "opsdb_replica_lag_bytes",
    help: "Bytes of WAL between main's last known position and the local database",
    read: (s) => (s.local.lagBytes === undefined ? undefined : Number(s.local.lagBytes)),
  },
  {
    name: "opsdb_replica_replay_age_seconds",
    help: "Age of the newest replayed commit",
    read: (s) => (s.local.replayAgeMs === undefined ? undefined : s.local.replayAgeMs / 1_000),
  },
  { name: "opsdb_main_up", help: "1 while the main database answers", read: (s) => up(s.main.connection) },
  { name: "opsdb_local_up", help: "1 while the local database answers", read: (s) => up(s.local.connection) },
  {
    name: "opsdb_buffer_up",
    help: "1 while the buffer is connected and durable",
    read: (s) => s.buffer && up(s.buffer.connection),
  },
  {
    name: "opsdb_processor_up",
    help: "1 while the drain works or has nothing to do",
    read: (s) => s.processor && up(s.processor.state),
  },
  {
    name: "opsdb_processor_paused",
    help: "1 while an operator has paused the drain",
    read: (s) => s.processor && (s.processor.state.state === "PAUSED" ? 1 : 0),
  },
];

const counts: { name: string; help: string; read: (state: ResultCacheState) => number }[] = [
  {
    name: "opsdb_result_cache_hits_total",
    help: "Reads with a max_age that were answered with an earlier result",
    read: ({ hits }) => hits,
  },
  {
    name: "opsdb_result_cache_misses_total",
    help: "Reads with a max_age for which there was no earlier result",
    read: ({ misses }) => misses,
  },
  {
    name: "opsdb_result_cache_stored_bytes_total",
    help: "Bytes of results that were stored in Redis",
    read: ({ storedBytes }) => storedBytes,
  },
];

const stocks: { name: string; help: string; read: (stock: SequenceStatus) => number }[] = [
  {
    name: "opsdb_sequence_stock",
    help: "Values of the sequence that this site has leased from main and not used yet",
    read: ({ stock }) => stock,
  },
  {
    name: "opsdb_sequence_stock_target",
    help: "What the stock is filled up to while main answers",
    read: ({ target }) => target,
  },
];

/** Registers the site's state as gauges, read when they are asked for. What the site does not have is left out. */
export function siteMetrics(site: Site, registry: Registry): void {
  for (const { name, help, read } of measures) {
    if (read(site.status.value) === undefined && site.role === "main" && !/^opsdb_(main|local)_/.test(name)) continue;
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read(site.readStatus()) ?? Number.NaN); // what is not known now is no old value and no zero
      },
    });
  }
  if (site.resultCache.up !== undefined)
    new Gauge({
      name: "opsdb_result_cache_up",
      help: "1 while earlier results can be looked up in Redis",
      registers: [registry],
      collect() {
        this.set(site.resultCache.up ? 1 : 0);
      },
    });
  for (const { name, help, read } of counts)
    new Counter({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(read(site.resultCache));
      },
    });
  if (site.readStatus().sequences === undefined) return;
  for (const { name, help, read } of stocks)
    new Gauge({
      name,
      help,
      labelNames: ["sequence"],
      registers: [registry],
      collect() {
        this.reset(); // a sequence that is gone has no old value
        for (const stock of site.readStatus().sequences ?? []) this.set({ sequence: stock.name }, read(stock));
      },
    });
}

function up({ state }: PartStatus): number {
  return state === "RETRYING" ? 0 : 1;
}
