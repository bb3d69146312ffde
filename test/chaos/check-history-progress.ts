import type { HistoryRecord } from "./check-history-record.ts";
import { type Violation, violation } from "./check-history-violation.ts";
import type { StatusEvent } from "./history.ts";

export interface ProgressLimits {
  /** How long the processor may say IDLE while writes are pending and none moves, milliseconds. */
  idleMs: number;
  /** How long it may go without moving in any states without a reason to wait (RUNNING, IDLE), milliseconds. */
  runningMs: number;
  /** After a silence of the site's status of this length nothing is known of the time between, milliseconds. */
  silenceMs: number;
}

export const progressLimits: ProgressLimits = { idleMs: 5_000, runningMs: 20_000, silenceMs: 2_000 };

/** Whether what did not move was in a named state with a reason, as the site's status said all along. */
export function checkHistoryProgress({ statuses }: HistoryRecord, limits: ProgressLimits): Violation[] {
  const servers = Map.groupBy(statuses, ({ server }) => server);
  return [
    ...statuses.flatMap(checkNamed),
    ...[...servers.values()].flatMap((samples) => [
      ...findStalls(samples, ["IDLE"], limits.idleMs, limits.silenceMs),
      ...findStalls(samples, ["IDLE", "RUNNING"], limits.runningMs, limits.silenceMs),
    ]),
  ];
}

function checkNamed(status: StatusEvent): Violation[] {
  return (["processor", "buffer", "main", "local"] as const).flatMap((part) => {
    const { state, reason } = status[part];
    if (state === "RUNNING" || state === "IDLE" || (state !== "" && reason !== "")) return [];
    const message = `at ${status.at} ms ${part} was "${state}" without a ${state === "" ? "name" : "reason"}`;
    return [violation("silent-stall", message, { events: [status] })];
  });
}

/** Stretches of samples in which writes are pending, the applied position stays, and the processor is in these states. */
function findStalls(
  samples: readonly StatusEvent[],
  states: readonly string[],
  longestMs: number,
  silenceMs: number,
): Violation[] {
  const found: Violation[] = [];
  let first: StatusEvent | undefined;
  let last: StatusEvent | undefined;
  const end = (): void => {
    if (!first || !last || last.at - first.at <= longestMs) return;
    found.push(
      violation(
        "silent-stall",
        `from ${first.at} to ${last.at} ms the processor said ${states.join(" or ")}, ${last.pendingWrites} writes were pending, and none moved on from "${first.appliedPosition}"`,
        { events: [first, last] },
      ),
    );
  };
  for (const sample of samples) {
    const still = sample.pendingWrites > 0 && states.includes(sample.processor.state);
    const goesOn = still && last && sample.appliedPosition === last.appliedPosition && sample.at - last.at <= silenceMs;
    if (!goesOn) {
      end();
      first = still ? sample : undefined;
    }
    last = still ? sample : undefined;
  }
  end();
  return found;
}
