import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { insert } from "../../demo/mutations.ts";
import { double, text } from "../../demo/values.ts";
import { equals, type SiteCaller } from "../e2e/site-caller.ts";

/** Between two writes, milliseconds. */
const PACE_MS = 50;

export interface HealthyReport {
  /** Ids of the writes that were acknowledged. */
  writeIds: string[];
  /** Their rows, in order. */
  stations: string[];
  slowestMs: number;
  failures: string[];
}

/** A caller that does what callers do, one write and one read of it after the other, beside whatever others do. */
export class HealthyCaller implements AsyncDisposable {
  readonly report: HealthyReport = { writeIds: [], stations: [], slowestMs: 0, failures: [] };
  readonly #caller: SiteCaller;
  readonly #running: Promise<void>;
  #stopped = false;

  constructor(caller: SiteCaller) {
    this.#caller = caller;
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const begin = performance.now();
      try {
        await this.once();
      } catch (error) {
        this.report.failures.push(String(error));
      }
      this.report.slowestMs = Math.max(this.report.slowestMs, performance.now() - begin);
      await delay(PACE_MS);
    }
  }

  /** Writes one row and reads it back. */
  async once(): Promise<void> {
    const station = randomUUID();
    const values = { station: text(station), sampled_at: text("2026-11-20 04:30:00+00"), pwv_mm: double(1) };
    const { status } = await this.#caller.write([insert("weather_samples", values)]);
    this.report.writeIds.push(status?.writeId ?? "");
    this.report.stations.push(station);
    const { rows } = await this.#caller.query("weather_samples", { where: equals("station", text(station)) });
    if (rows.length !== 1) throw new Error(`${rows.length} rows instead of the one that was written`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }
}
