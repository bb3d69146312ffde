import { type Labelled, type Measure, up } from "./measure.ts";
import type { Site } from "./site.ts";

/** Why the buffer may take no writes at all: the reasons of its refusals. */
const refusals = ["BUFFER_FULL", "BUFFER_NOT_DURABLE", "BUFFER_UNAVAILABLE"] as const;

/** The buffer of a secondary site. */
export const bufferMeasures: readonly Measure[] = [
  {
    name: "opsdb_buffer_up",
    help: "1 while the buffer is connected, durable and read",
    type: "gauge",
    read(site) {
      const { buffer } = site.readStatus();
      return buffer && up(buffer.connection);
    },
  },
  {
    name: "opsdb_buffer_pending_writes",
    help: "Writes not yet known to be on the main database",
    type: "gauge",
    read: (site) => site.readStatus().buffer?.pendingWrites,
  },
  {
    name: "opsdb_buffer_overlay_writes",
    help: "Writes not yet proven on the local replica: what is merged into reads",
    type: "gauge",
    read: (site) => site.readStatus().buffer?.overlayWrites,
  },
  {
    name: "opsdb_buffer_retained_writes",
    help: "Writes in the stream, with those that are kept in case main fails over",
    type: "gauge",
    read: (site) => site.readStatus().buffer?.retainedWrites,
  },
  {
    name: "opsdb_buffer_bytes",
    help: "Bytes of the payloads in the stream",
    type: "gauge",
    read: (site) => site.readStatus().buffer?.bytes,
  },
  {
    name: "opsdb_buffer_max_writes",
    help: "The most writes that the buffer takes",
    type: "gauge",
    read: (site) => site.readStatus().buffer?.maxWrites,
  },
  {
    name: "opsdb_buffer_max_bytes",
    help: "The most bytes that the buffer takes",
    type: "gauge",
    read: (site) => site.readStatus().buffer?.maxBytes,
  },
  {
    name: "opsdb_buffer_fill_ratio",
    help: "How full the buffer is, of the limit that is nearer: 1 is full",
    type: "gauge",
    read: fill,
  },
  {
    name: "opsdb_buffer_oldest_pending_seconds",
    help: "Age of the oldest pending write, in seconds; 0 while none is pending",
    type: "gauge",
    read(site) {
      const { buffer } = site.readStatus();
      return buffer && (buffer.oldestAt ? (Date.now() - buffer.oldestAt.getTime()) / 1_000 : 0);
    },
  },
  {
    name: "opsdb_buffer_loss",
    help: "1 while acknowledged writes are known to be lost and no operator has acknowledged it",
    type: "gauge",
    read(site) {
      const { buffer } = site.readStatus();
      return buffer && (buffer.loss ? 1 : 0);
    },
  },
  {
    name: "opsdb_buffer_refusing",
    help: "1 for the reason for which the buffer refuses every write just now",
    type: "gauge",
    labelNames: ["reason"],
    read(site): Labelled[] {
      const now = site.measures.buffer?.refusing();
      return refusals.map((reason) => ({ labels: { reason }, value: now === reason ? 1 : 0 }));
    },
  },
  {
    name: "opsdb_buffer_appended_writes_total",
    help: "Writes that this process has appended to the buffer and acknowledged",
    type: "counter",
    read: (site) => site.measures.buffer?.appended.writes,
  },
  {
    name: "opsdb_buffer_appended_bytes_total",
    help: "Bytes of the payloads that this process has appended",
    type: "counter",
    read: (site) => site.measures.buffer?.appended.bytes,
  },
];

/** The same as decides on refusing. What was not read yet counts with the bytes of what was. */
function fill(site: Site): number | undefined {
  const { buffer } = site.readStatus();
  return buffer && Math.max(buffer.retainedWrites / buffer.maxWrites, buffer.bytes / buffer.maxBytes);
}
