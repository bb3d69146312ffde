import type { LsnTracker } from "./lsn-tracker.ts";
import type { LocalStatus, MainStatus } from "./status.ts";

/** The local database as the tracker saw it last, with its distance from what is known of main. */
export function localStatus(tracker: LsnTracker, main: MainStatus): LocalStatus {
  const state = tracker.state.value;
  if (!state) return { connection: tracker.part.status, inRecovery: false, replayPaused: false };
  const comparable = main.lsn !== undefined && main.timeline === state.timeline;
  const lag = comparable && main.lsn !== undefined && main.lsn > state.lsn ? main.lsn - state.lsn : 0n;
  return {
    connection: tracker.part.status,
    inRecovery: state.inRecovery,
    lsn: state.lsn,
    timeline: state.timeline,
    ...(comparable ? { lagBytes: lag } : {}),
    ...(state.replayAgeMs === undefined ? {} : { replayAgeMs: state.replayAgeMs }),
    ...(state.receiverState === undefined ? {} : { receiverState: state.receiverState }),
    replayPaused: state.replayPaused,
  };
}
