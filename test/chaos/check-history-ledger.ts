import type { HistoryRecord, OrderedWrite } from "./check-history-record.ts";
import { type Violation, violation } from "./check-history-violation.ts";
import type { ClientWrite } from "./check-history-writes.ts";

/** These reject a write for its id, whatever the rows are. */
const identityReasons: ReadonlySet<string | null> = new Set(["WRITE_ID_REUSED"]);

/** Whether the ledger has decided every acknowledged write, once, as the model does, and nothing else. */
export function checkHistoryLedger(history: HistoryRecord): Violation[] {
  const { writes, order } = history;
  return [
    ...writes.all.filter(({ site }) => site === "secondary").flatMap((write) => checkWrite(history, write)),
    ...order.flatMap((ordered) => checkRow(history, ordered)),
  ];
}

function checkWrite({ orderOf }: HistoryRecord, write: ClientWrite): Violation[] {
  const found: Violation[] = [];
  const { writeId, attempts, acknowledgedAt } = write;
  const outcome = orderOf.get(write)?.row.outcome;
  const fault = { writeIds: [writeId], events: attempts };
  if (acknowledgedAt < Number.POSITIVE_INFINITY && outcome === undefined)
    found.push(violation("lost", `write ${writeId} was acknowledged, and the ledger does not know it`, fault));
  const applied = attempts.find(
    (attempt) => attempt.outcome === "ok" && (attempt.state === "APPLIED" || attempt.state === "REPLICATED"),
  );
  if (applied && outcome !== "APPLIED")
    found.push(
      violation(
        "state-went-back",
        `write ${writeId} was answered ${applied.state}, and in the ledger it is ${outcome ?? "missing"}`,
        fault,
      ),
    );
  if (outcome === "APPLIED" && attempts.some((attempt) => attempt.outcome === "ok" && attempt.state === "REJECTED"))
    found.push(violation("both", `write ${writeId} was answered REJECTED, and the ledger has it as APPLIED`, fault));
  return found;
}

function checkRow({ replay, orderOf }: HistoryRecord, ordered: OrderedWrite): Violation[] {
  const { row, write, index } = ordered;
  const { writeId, outcome, reason } = row;
  if (!write)
    return [
      violation("invented", `the ledger has write ${writeId} at ${row.position}, which no client has used`, {
        writeIds: [writeId],
      }),
    ];
  const fault = { writeIds: [writeId], events: write.attempts };
  const first = orderOf.get(write);
  if (first !== ordered)
    return [
      violation(
        "doubled",
        `the ledger has write ${writeId} twice, at ${first?.row.position} and at ${row.position}`,
        fault,
      ),
    ];
  const refusal = replay.steps[index - 1]?.refusal;
  if (outcome === "REJECTED") {
    if (refusal !== undefined || write.poison || identityReasons.has(reason)) return [];
    const why = `write ${writeId} at ${row.position} was rejected with ${reason}, and nothing is wrong with it there`;
    return [violation("wrongly-rejected", why, fault)];
  }
  const found: Violation[] = [];
  if (write.refused)
    found.push(
      violation(
        "refused-but-visible",
        `write ${writeId} was refused in every attempt, and the ledger has it as APPLIED`,
        fault,
      ),
    );
  if (write.poison || refusal !== undefined)
    found.push(
      violation(
        "wrongly-applied",
        `write ${writeId} at ${row.position} was applied although ${refusal ?? "main refuses it"}`,
        fault,
      ),
    );
  return found;
}
