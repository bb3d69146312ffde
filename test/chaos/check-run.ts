import { checkAnswers } from "./check-answers.ts";
import { checkHistory } from "./check-history.ts";
import { historyOf, type RecordedEvent } from "./recorded-event.ts";

/** Everything that is wrong in a run, as text. */
export function checkRun(events: readonly RecordedEvent[]): string[] {
  return [...checkHistory(historyOf(events)).map(({ message }) => message), ...checkAnswers(events)];
}
