import type { LookupEvent, RecordedEvent, RecordedWrite } from "./recorded-event.ts";

/** Reasons that no fault excuses: a bug of the service, or a refusal of what the clients of the run never send. */
const inexcusable =
  /^(INTERNAL|INVALID_\w+|NOT_NULL_VIOLATION|CHECK_VIOLATION|MISSING_KEY|TABLE_NOT_FOUND|COLUMN_NOT_FOUND|NOT_WRITABLE|PRECONDITION_FAILED|WRITE_ID_REUSED|UNIQUE_VIOLATION|FOREIGN_KEY_VIOLATION|DATABASE_REFUSED|LOCAL_READ_ONLY|MESSAGE_TOO_LARGE|TOKEN_TIMELINE|Unimplemented: .*)$/;

/** What single answers show to be wrong; what they show together, and with the databases, is the history's checker's. */
export function checkAnswers(events: readonly RecordedEvent[]): string[] {
  return events.flatMap((event) => {
    if (event.kind !== "write" && event.kind !== "read" && event.kind !== "lookup") return [];
    const message = wrongWith(event);
    return message === undefined ? [] : [`answer: ${message}: ${JSON.stringify(event)}`];
  });
}

function wrongWith(event: Extract<RecordedEvent, { kind: "write" | "read" | "lookup" }>): string | undefined {
  if (event.error !== undefined && inexcusable.test(event.error)) return `no fault excuses ${event.error}`;
  if (event.kind === "lookup") return wrongWithLookup(event);
  if (event.kind === "write") return wrongWithWrite(event);
  return undefined;
}

function wrongWithLookup({ acknowledged, outcome, error, state }: LookupEvent): string | undefined {
  if (acknowledged && error === "WRITE_NOT_FOUND") return "an acknowledged write is not known";
  return outcome === "ok" && state === undefined ? "a lookup was answered without a state" : undefined;
}

function wrongWithWrite({ outcome, state, waitFor, waitTimedOut }: RecordedWrite): string | undefined {
  if (outcome !== "ok") return undefined;
  if (state === undefined) return "a write was acknowledged without a state";
  if (waitFor === undefined || waitTimedOut === true || state === "REJECTED" || state === "REPLICATED")
    return undefined;
  return state === waitFor ? undefined : `the answer was to wait for ${waitFor}, and did not say that it could not`;
}
