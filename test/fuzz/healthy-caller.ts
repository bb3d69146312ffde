import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { insert } from "../../demo/mutations.ts";
import { double, text } from "../../demo/values.ts";
import { equals, type SiteCaller } from "../e2e/site-caller.ts";

/** Between two writes, and before a call is made again, milliseconds. */
const PACE_MS = 50;
/** How often a call that is answered UNAVAILABLE is made again. */
const MOST_RETRIES = 40;

export interface HealthyReport {
  /** Ids of the writes that were acknowledged. */
  writeIds: string[];
  /** Answers UNAVAILABLE, each of which a later attempt made up for. */
  retries: number;
  slowestMs: number;
  failures: string[];
}

/**
 * A caller that does what callers do, one write and one read of it after the other, beside whatever others do. Like every
 * client it makes a call again that is UNAVAILABLE, a write with the same id.
 */
export class HealthyCaller implements AsyncDisposable {
  readonly report: HealthyReport = { writeIds: [], retries: 0, slowestMs: 0, failures: [] };
  readonly #caller: SiteCaller;
  readonly #running: Promise<void>;
  #stopped = false;

  constructor(caller: SiteCaller) {
    this.#caller = caller;
    this.#running = this.#run();
  }

  /** Writes one row and reads it back. */
  async once(): Promise<void> {
    const writeId = randomUUID();
    const station = text(writeId);
    const values = { station, sampled_at: text("2026-11-20 04:30:00+00"), pwv_mm: double(1) };
    await this.#available(() => this.#caller.write([insert("weather_samples", values)], { writeId }));
    this.report.writeIds.push(writeId);
    const where = equals("station", station);
    const { rows } = await this.#available(() => this.#caller.query("weather_samples", { where }));
    if (rows.length !== 1) throw new Error(`${rows.length} rows instead of the one that was written`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const begin = performance.now();
      try {
        await this.once();
      } catch (error) {
        this.report.failures.push(String(error));
      }
      this.report.slowestMs = Math.max(this.report.slowestMs, Math.round(performance.now() - begin));
      await delay(PACE_MS);
    }
  }

  async #available<T>(call: () => Promise<T>): Promise<T> {
    for (let left = MOST_RETRIES; ; left--) {
      try {
        return await call();
      } catch (error) {
        if (ConnectError.from(error).code !== Code.Unavailable || left === 0) throw error;
        this.report.retries += 1;
        await delay(PACE_MS);
      }
    }
  }
}
