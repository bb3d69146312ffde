import { random } from "../support/random.ts";
import type { Change } from "./history.ts";

export type Pick = (below: number) => number;

/** One write of the plan. The same write may be sent several times. */
export interface PlannedWrite {
  writeId: string;
  changes: Change[];
  /** Value of the column n for each change, where main is to refuse the write. */
  poison: number[] | undefined;
  waitFor?: "APPLIED" | "REPLICATED";
}

interface Call {
  /** Which of the site's servers is asked first. */
  through: number;
  /** Pause before it, milliseconds. */
  thinkMs: number;
}

export type PlannedOperation = Call &
  (
    | {
        kind: "write";
        write: PlannedWrite;
        /** How often it is sent again while its outcome is unknown, before it is given up. */
        retries: number;
        /** Sent twice on purpose, with one id: at the same time, or again after the answer, through another server. */
        twin: "none" | "concurrent" | "after";
      }
    /** Sends the client's write of so many writes ago again. */
    | { kind: "again"; back: number }
    | { kind: "read"; consistency: "merged" | "local" | "main"; withToken: boolean }
    /** Asks for the outcome of the client's write of so many writes ago. */
    | { kind: "lookup"; back: number }
  );

export interface OperationsOptions {
  seed: number;
  client: string;
  /** Number of the client. */
  index: number;
  site: "main" | "secondary";
}

const HOT = 6;
const SHARED = 60;
/** Each client has rows of its own as well, so that some inserts and updates meet what nobody else touches. */
const OWN = 30;

/** What one client does, one after the other and without end; the same for the same seed whatever the answers are. */
export function* plannedOperations(options: OperationsOptions): Generator<PlannedOperation> {
  const pick = random(Math.imul(options.seed, 0x9e3779b1) ^ Math.imul(options.index + 1, 0x85ebca6b));
  for (let number = 0; ; number++) {
    const call: Call = { through: pick(2), thinkMs: 10 + pick(90) };
    yield {
      ...call,
      ...(options.site === "main" ? atMain(pick, options, number) : atSecondary(pick, options, number)),
    };
  }
}

type Body<T = PlannedOperation> = T extends unknown ? Omit<T, keyof Call> : never;

function atSecondary(pick: Pick, options: OperationsOptions, number: number): Body {
  const kind = pick(100);
  if (kind < 30) return { kind: "read", consistency: "merged", withToken: pick(3) === 0 };
  if (kind < 33) return { kind: "read", consistency: "local", withToken: false };
  if (kind < 36) return { kind: "read", consistency: "main", withToken: false };
  if (kind < 40) return { kind: "lookup", back: pick(30) };
  if (kind < 45) return { kind: "again", back: pick(2) === 0 ? pick(3) : pick(200) };
  const twin = pick(20);
  return {
    kind: "write",
    write: pick(70) === 0 ? poisonWrite(pick, options, number) : plannedWrite(pick, options, number),
    retries: pick(4) === 0 ? 0 : 8,
    twin: twin === 0 ? "concurrent" : twin === 1 ? "after" : "none",
  };
}

function atMain(pick: Pick, options: OperationsOptions, number: number): Body {
  const kind = pick(100);
  if (kind < 30) return { kind: "read", consistency: "main", withToken: false };
  if (kind < 35) return { kind: "lookup", back: pick(30) };
  if (kind < 40) return { kind: "again", back: pick(60) };
  return {
    kind: "write",
    write: plannedWrite(pick, options, number),
    retries: pick(4) === 0 ? 0 : 8,
    twin: pick(15) === 0 ? "concurrent" : "none",
  };
}

function plannedWrite(pick: Pick, options: OperationsOptions, number: number): PlannedWrite {
  const value = (change: number): string => `${options.client}-${number}-${change}`;
  const changes = pick(3) === 0 ? severalChanges(pick, options, value) : [oneChange(pick, options, value(0))];
  const wait = pick(25);
  return {
    writeId: uuid(pick),
    changes,
    poison: undefined,
    ...(wait === 0 && { waitFor: "APPLIED" }),
    ...(wait === 1 && { waitFor: "REPLICATED" }),
  };
}

function oneChange(pick: Pick, options: OperationsOptions, value: string): Change {
  const operation = pick(8);
  // Most updates meet a row that exists, where many others write it too.
  const key = operation > 4 && options.site === "secondary" && pick(4) > 0 ? pick(HOT) : chooseKey(pick, options);
  switch (operation) {
    case 0:
      return { operation: "insert", key, value };
    case 1:
      return { operation: "delete", key };
    case 2:
    case 3:
    case 4:
      return { operation: "upsert", key, value };
    default:
      return { operation: "update", key, value };
  }
}

/** Mostly what goes through whatever the rows are: a refused change refuses all of them. */
function severalChanges(pick: Pick, options: OperationsOptions, value: (change: number) => string): Change[] {
  const changes: Change[] = [];
  const count = 2 + pick(4);
  while (changes.length < count) {
    const key = chooseKey(pick, options);
    const next = value(changes.length);
    switch (pick(8)) {
      case 0:
        changes.push({ operation: "delete", key });
        break;
      case 1:
        changes.push({ operation: "delete", key }, { operation: "insert", key, value: value(changes.length + 1) });
        break;
      case 2:
        changes.push({ operation: "upsert", key, value: next });
        changes.push({ operation: "update", key, value: value(changes.length) });
        break;
      case 3:
        changes.push({ operation: "update", key, value: next });
        break;
      default:
        changes.push({ operation: "upsert", key, value: next });
    }
  }
  return changes.slice(0, 5);
}

function chooseKey(pick: Pick, { site, index }: OperationsOptions): number {
  // The main site's rows are its own, so that what one site writes is never in the other's way.
  if (site === "main") return 1_000_000 + index * 1_000 + pick(12);
  const where = pick(10);
  if (where < 4) return pick(HOT);
  if (where < 8) return HOT + pick(SHARED);
  return 1_000 + index * 1_000 + pick(OWN);
}

/** Keys below 0 are in no other write, so that what is refused can never be mixed up with what is not. */
function poisonWrite(pick: Pick, options: OperationsOptions, number: number): PlannedWrite {
  const first = 1 + pick(1_000);
  const insert = pick(2) === 0;
  const changes = Array.from({ length: 2 + pick(3) }, (_, i): Change => {
    return { operation: insert ? "insert" : "upsert", key: -first - i, value: `${options.client}-${number}-${i}` };
  });
  // Two rows with one n; or one row, the last, that a trigger refuses, at once or at COMMIT.
  const kind = pick(3);
  const poison = changes.map((_, i) => (kind === 0 ? 7 : i === changes.length - 1 ? -kind : 100 + i));
  return { writeId: uuid(pick), changes, poison };
}

function uuid(pick: Pick): string {
  const hex = Array.from({ length: 32 }, () => pick(16).toString(16)).join("");
  const variant = "89ab"[pick(4)];
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20)}`;
}
