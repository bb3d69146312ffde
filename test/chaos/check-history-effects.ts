import { blameRow } from "./check-history-blame.ts";
import type { HistoryRecord, OrderedWrite } from "./check-history-record.ts";
import { type Violation, violation } from "./check-history-violation.ts";
import type { ClientWrite } from "./check-history-writes.ts";
import type { FinalEvent } from "./history.ts";
import { FIRST_KEY_OF_MAIN, type ModelEffect } from "./model.ts";

type Effect = FinalEvent["effects"][number];

/** Whether the applied writes, and no others, took effect on main: each once, whole, in the site's order. */
export function checkHistoryEffects(history: HistoryRecord): Violation[] {
  const effects = history.final.effects.filter(({ key }) => key < FIRST_KEY_OF_MAIN);
  const { owners, found } = matchEffects(history, effects);
  const unmatched = effects.filter((effect) => !owners.has(effect));
  return [
    ...found,
    ...unmatched.flatMap((effect) => checkUnmatched(history, effect)),
    ...checkRowOrder(effects, owners),
    ...checkTransactions(effects, owners),
  ];
}

/** Finds the effects of each applied write; answers whose effects they are, and where they are not what they must be. */
function matchEffects(
  { order, replay }: HistoryRecord,
  effects: readonly Effect[],
): { owners: Map<Effect, OrderedWrite>; found: Violation[] } {
  const open = new OpenEffects(effects);
  const owners = new Map<Effect, OrderedWrite>();
  const found: Violation[] = [];
  const late: { ordered: OrderedWrite; expected: ModelEffect; matched: number[] }[] = [];
  const matches = new Map<OrderedWrite, number[]>();
  const take = (ordered: OrderedWrite, same: readonly Effect[]): number => {
    for (const effect of same) owners.set(effect, ordered);
    return same.length;
  };
  for (const ordered of order) {
    const step = replay.steps[ordered.index - 1];
    if (!ordered.write || ordered.row.outcome !== "APPLIED" || step?.refusal !== undefined) continue;
    const matched: number[] = [];
    matches.set(ordered, matched);
    for (const expected of step?.effects ?? []) {
      const same = open.takeSame(expected);
      if (same.some(({ operation }) => operation !== expected.operation))
        found.push(
          of(ordered, "diverged", `on row ${expected.key} was no ${expected.operation}, which it is in that state`),
        );
      if (same.length === 0 && expected.operation === "DELETE") late.push({ ordered, expected, matched });
      else matched.push(take(ordered, same));
    }
  }
  // A row that had another value than in the model was deleted all the same; what is wrong with the value is found there.
  for (const { ordered, expected, matched } of late) matched.push(take(ordered, open.takeDelete(expected.key)));
  for (const [ordered, matched] of matches) {
    const missing = matched.filter((count) => count === 0).length;
    if (missing > 0 && missing === matched.length) found.push(of(ordered, "lost", "did not happen on main"));
    else if (missing > 0)
      found.push(of(ordered, "torn", `happened in part: ${missing} of ${matched.length} are missing`));
    if (matched.some((count) => count > 1)) found.push(of(ordered, "doubled", "happened more than once"));
  }
  return { owners, found };
}

function of({ row, write }: OrderedWrite, kind: Violation["kind"], what: string): Violation {
  const message = `what write ${row.writeId} at ${row.position} does ${what}, and the ledger has it as APPLIED`;
  return violation(kind, message, { writeIds: [row.writeId], events: write?.attempts ?? [] });
}

/** An effect that no applied write accounts for. */
function checkUnmatched(history: HistoryRecord, { operation, key, value }: Effect): Violation[] {
  const { orderOf, writes, replay } = history;
  if (operation !== "DELETE") {
    const blame = blameRow(history, key, value, `an ${operation} on main`);
    return blame ? [blame] : [];
  }
  const deleting = writes.all.filter(
    (write) => write.site === "secondary" && write.changes.some((c) => c.operation === "delete" && c.key === key),
  );
  const what = `${value} was deleted from row ${key} on main`;
  const report = (kind: Violation["kind"], why: string, { writeId, attempts }: ClientWrite): Violation[] => [
    violation(kind, `${what}, ${why}: write ${writeId}`, { writeIds: [writeId], events: attempts }),
  ];
  const outcome = (write: ClientWrite): string | undefined => orderOf.get(write)?.row.outcome;
  const wrongly = deleting.find((write) => {
    const ordered = orderOf.get(write);
    return ordered?.row.outcome === "APPLIED" && replay.steps[ordered.index - 1]?.refusal !== undefined;
  });
  if (wrongly) return []; // applied in a state in which it must not be, and reported as that
  const rejected = deleting.find((write) => outcome(write) === "REJECTED");
  if (rejected) return report("both", "and only a rejected write can have done it", rejected);
  const applied = deleting.find((write) => outcome(write) === "APPLIED");
  if (applied) return report("doubled", "more often than writes delete it", applied);
  const refused = deleting.find((write) => write.refused);
  if (refused) return report("refused-but-visible", "and only a refused write can have done it", refused);
  const [unknown] = deleting;
  if (unknown) return report("lost", "and the ledger does not know the write that can have done it", unknown);
  return [violation("invented", `${what}, which no write has asked for`)];
}

/** Effects on one row follow the site's order, also within a transaction. */
function checkRowOrder(effects: readonly Effect[], owners: ReadonlyMap<Effect, OrderedWrite>): Violation[] {
  const last = new Map<number, OrderedWrite>();
  return effects.flatMap((effect) => {
    const owner = owners.get(effect);
    const before = last.get(effect.key);
    if (owner) last.set(effect.key, owner);
    return owner && before && before.index > owner.index ? [reordered(before, owner, `on row ${effect.key}`)] : [];
  });
}

/**
 * Transactions follow the site's order, and a write is in one of them. Within a transaction nobody can see an order of
 * different rows, and PostgreSQL chooses it.
 */
function checkTransactions(effects: readonly Effect[], owners: ReadonlyMap<Effect, OrderedWrite>): Violation[] {
  const found: Violation[] = [];
  const transactionOf = new Map<OrderedWrite, string>();
  /** The last write in the site's order of all transactions before the present one, and of the present one. */
  let before: OrderedWrite | undefined;
  let here: OrderedWrite | undefined;
  let present: string | undefined;
  for (const effect of effects) {
    const owner = owners.get(effect);
    const { transaction } = effect;
    if (!owner || transaction === undefined) continue;
    const other = transactionOf.get(owner);
    if (other !== undefined && other !== transaction)
      found.push(of(owner, "torn", `happened in transactions ${other} and ${transaction}`));
    transactionOf.set(owner, transaction);
    if (transaction !== present) {
      if (here && here.index > (before?.index ?? 0)) before = here;
      here = undefined;
      present = transaction;
    }
    if (before && before.index > owner.index) found.push(reordered(before, owner, "in an earlier transaction"));
    if (owner.index > (here?.index ?? 0)) here = owner;
  }
  return found;
}

function reordered(first: OrderedWrite, second: OrderedWrite, where: string): Violation {
  return violation(
    "reordered",
    `write ${first.row.writeId} at ${first.row.position} took effect before write ${second.row.writeId} at ${second.row.position}, ${where}`,
    {
      writeIds: [first.row.writeId, second.row.writeId],
      events: [...(first.write?.attempts ?? []), ...(second.write?.attempts ?? [])],
    },
  );
}

/** Effects that no write has been found for yet. */
class OpenEffects {
  readonly #byContent = new Map<string, Effect[]>();
  readonly #deletes = new Map<number, Set<Effect>>();

  constructor(effects: readonly Effect[]) {
    for (const effect of effects) {
      const content = contentOf(effect);
      const same = this.#byContent.get(content);
      if (same) same.push(effect);
      else this.#byContent.set(content, [effect]);
      if (effect.operation !== "DELETE") continue;
      const deletes = this.#deletes.get(effect.key);
      if (deletes) deletes.add(effect);
      else this.#deletes.set(effect.key, new Set([effect]));
    }
  }

  takeSame(expected: ModelEffect): readonly Effect[] {
    const content = contentOf(expected);
    const same = this.#byContent.get(content) ?? [];
    this.#byContent.delete(content);
    for (const effect of same) this.#deletes.get(effect.key)?.delete(effect);
    return same;
  }

  /** Takes the first open DELETE of the row, whatever its value was. */
  takeDelete(key: number): readonly Effect[] {
    const deletes = this.#deletes.get(key);
    const [first] = deletes ?? [];
    if (!first) return [];
    deletes?.delete(first);
    return [first];
  }
}

/** Whether an upsert was an INSERT or an UPDATE does not say whose effect it is. */
function contentOf({ operation, key, value }: ModelEffect): string {
  return JSON.stringify([operation === "DELETE", key, value]);
}
