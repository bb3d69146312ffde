import { setTimeout as delay } from "node:timers/promises";
import type { ChaosCaller } from "./chaos-caller.ts";
import type { StatusEvent } from "./history.ts";
import type { Recorder } from "./recorder.ts";

const EVERY_MS = 200;

/** Records what WatchReplication says, at most every 200 ms, until the signal; calls again whenever the stream breaks. */
export async function watchStatus(server: ChaosCaller, recorder: Recorder, signal: AbortSignal): Promise<void> {
  let due = 0;
  while (!signal.aborted) {
    try {
      for await (const status of server.statuses(signal)) {
        const at = recorder.now();
        if (at < due) continue;
        due = at + EVERY_MS;
        recorder.record({ kind: "status", at, ...status } satisfies StatusEvent);
      }
    } catch {
      // The server is away; the next call tells whether it is back.
    }
    await delay(EVERY_MS);
  }
}
