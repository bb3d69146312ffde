import type { Event } from "./history.ts";

/** Every kind of violation, with the promises that it breaks. */
const promises = {
  /** Acknowledged, or seen, and gone. */
  lost: "G1 G2",
  /** Took effect, or was decided, more than once. */
  doubled: "G2",
  /** Nobody wrote it. */
  invented: "G2",
  /** The service said that nothing was stored. */
  "refused-but-visible": "G2",
  /** Rejected, and took effect all the same. */
  both: "G2",
  "wrongly-rejected": "G2",
  "wrongly-applied": "G2",
  reordered: "G3",
  /** A part of a write without the rest. */
  torn: "G4",
  /** A merged read lacks what was acknowledged before it was called. */
  "stale-read": "G5",
  /** A merged read lacks what an earlier one of the same client had shown. */
  "read-went-back": "G5",
  /** A read shows what the table never was. */
  "inexact-read": "G6",
  /** In the end a table is not what the ledger makes of it. */
  diverged: "G2 G6",
  "not-drained": "G9",
  "silent-stall": "G9",
  /** An answer said more than the ledger says. */
  "state-went-back": "G1 G2",
} as const;

export type ViolationKind = keyof typeof promises;

export interface Violation {
  kind: ViolationKind;
  /** A sentence for people; begins with the promises that are broken. */
  message: string;
  /** Of the writes at fault. */
  writeIds: readonly string[];
  /** The operations and samples at fault. */
  events: readonly Event[];
}

export function violation(
  kind: ViolationKind,
  message: string,
  fault: { writeIds?: readonly string[]; events?: readonly Event[] } = {},
): Violation {
  return {
    kind,
    message: `${promises[kind]} ${kind}: ${message}`,
    writeIds: fault.writeIds ?? [],
    events: fault.events ?? [],
  };
}
