import type { Event, Outcome, WriteEvent } from "./history.ts";

/** Everything that a run's file holds: the events of the history, and what is checked on its own. */
export type RecordedEvent = Exclude<Event, { kind: "write" }> | RecordedWrite | LookupEvent;

export interface RecordedWrite extends WriteEvent {
  /** What the answer was to wait for. */
  waitFor?: "APPLIED" | "REPLICATED";
  waitTimedOut?: boolean;
}

/** One call of GetWrite for a write that the client has sent before. */
export interface LookupEvent {
  kind: "lookup";
  client: string;
  site: "main" | "secondary";
  at: number;
  until: number;
  outcome: Outcome;
  error?: string;
  writeId: string;
  /** Whether an answer before the call had acknowledged the write. */
  acknowledged: boolean;
  state?: "ACCEPTED" | "APPLIED" | "REPLICATED" | "REJECTED";
}

/** What the checker of the history reads, in the order of `at`. */
export function historyOf(recorded: readonly RecordedEvent[]): Event[] {
  return recorded
    .filter((event): event is Exclude<RecordedEvent, LookupEvent> => event.kind !== "lookup")
    .sort((a, b) => a.at - b.at);
}
