import { Histogram } from "prom-client";

/** What this process has appended to the buffer since it started. */
export class AppendMeasures {
  writes = 0;
  /** Of the payloads, as they stand in the stream. */
  bytes = 0;
  /** From the command to the acknowledgement: Redis's fsync and reading the entry back. */
  readonly seconds = new Histogram({
    name: "opsdb_buffer_append_seconds",
    help: "Time until an appended write is on Redis's disk and read back, in seconds",
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1],
    registers: [], // whoever serves metrics registers it
  });

  appended(bytes: number, startedAt: number): void {
    this.writes += 1;
    this.bytes += bytes;
    this.seconds.observe((performance.now() - startedAt) / 1_000);
  }
}
