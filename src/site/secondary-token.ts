import type { Lsn } from "../lsn.ts";
import type { Position } from "../position.ts";
import type { LsnTracker } from "../replication/lsn-tracker.ts";
import { encodeToken } from "../token.ts";

/** A token of a secondary site. An LSN says nothing without the timeline that it is of. */
export function secondaryToken(
  site: string,
  tracker: LsnTracker,
  position: Position | undefined,
  at: { lsn?: Lsn | undefined; timeline?: number | undefined } = {},
): Uint8Array {
  const { systemIdentifier, timeline } = tracker.state.value ?? { systemIdentifier: "", timeline: 0 };
  return encodeToken({
    site,
    systemIdentifier,
    timeline: at.timeline ?? timeline,
    position,
    lsn: at.timeline === undefined ? undefined : at.lsn,
  });
}
