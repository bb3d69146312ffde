import { setTimeout as delay } from "node:timers/promises";
import type { ChaosCaller } from "./chaos-caller.ts";
import type { StatusEvent } from "./history.ts";
import type { Recorder } from "./recorder.ts";

const EVERY_MS = 200;

export interface WatchStatusOptions {
  /** Name of the server in the record. */
  name: string;
  server: ChaosCaller;
  recorder: Recorder;
  signal: AbortSignal;
}

/** Records what WatchReplication of one server says, at most every 200 ms, until the signal; calls again whenever the stream breaks. */
export async function watchStatus({ name, server, recorder, signal }: WatchStatusOptions): Promise<void> {
  let due = 0;
  while (!signal.aborted) {
    try {
      for await (const status of server.statuses(signal)) {
        const at = recorder.now();
        if (at < due) continue;
        due = at + EVERY_MS;
        recorder.record({ kind: "status", at, server: name, ...status } satisfies StatusEvent);
      }
    } catch {
      // The server is away; the next call tells whether it is back.
    }
    await delay(EVERY_MS);
  }
}
