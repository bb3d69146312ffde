import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import type { RecordedEvent } from "./recorded-event.ts";

/** Keeps a run's events and writes each to a file as it happens, so that a run that breaks off leaves them too. */
export class Recorder implements Disposable {
  readonly events: RecordedEvent[] = [];
  readonly #file: number;
  readonly #start = performance.now();

  constructor(path: string) {
    this.#file = openSync(path, "w");
  }

  /** Milliseconds since the run began, on a clock that nobody sets. */
  now(): number {
    return Math.round((performance.now() - this.#start) * 1_000) / 1_000;
  }

  record(event: RecordedEvent): void {
    this.events.push(event);
    writeSync(this.#file, `${JSON.stringify(event)}\n`);
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
}

/** The events of a file that a recorder has written. */
export function readEvents(path: string): RecordedEvent[] {
  const lines = readFileSync(path, "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as RecordedEvent);
}
