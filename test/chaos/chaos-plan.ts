import { random } from "../support/random.ts";
import { faults, type Part } from "./faults.ts";
import type { Pick } from "./planned-operation.ts";

export interface PlannedFault {
  name: string;
  /** Milliseconds from the beginning of the run. */
  at: number;
  ms: number;
}

/** Everything that a run's seed decides, but for the operations: see plannedOperations. */
export interface ChaosPlan {
  seed: number;
  /** How long clients work and faults happen, milliseconds. */
  ms: number;
  roundTripMs: number;
  /** Configuration of the servers. */
  env: Record<string, string>;
  /** In the order of their beginning. */
  faults: PlannedFault[];
}

export function planChaos({ seed, seconds }: { seed: number; seconds: number }): ChaosPlan {
  const pick = random(seed);
  const ms = seconds * 1_000;
  const roundTripMs = [0, 20, 220][pick(3)] ?? 0;
  // Sometimes the buffer is so small that it fills up in a long fault.
  const env = { BUFFER_MAX_WRITES: pick(3) === 0 ? "20" : "1000000" };
  return { seed, ms, roundTripMs, env, faults: planFaults(pick, ms) };
}

/** One fault after the other, and beside them at times a second one at another part. */
function planFaults(pick: Pick, ms: number): PlannedFault[] {
  const planned: PlannedFault[] = [];
  const names = new Bag(pick);
  for (let at = 500 + pick(500); at < ms - 1_000; ) {
    const fault = planFault(pick, names, { at, ms, beside: [] });
    planned.push(fault);
    at = fault.at + fault.ms + 200 + pick(1_200);
  }
  for (let at = 1_500 + pick(3_000); at < ms - 1_000; ) {
    const until = at + 3_500;
    const beside = planned.filter((other) => other.at < until + 1_000 && other.at + other.ms + 1_000 > at);
    const fault = planFault(pick, names, { at, ms, beside });
    planned.push(fault);
    at = fault.at + fault.ms + 800 + pick(4_000);
  }
  return planned.sort((a, b) => a.at - b.at);
}

function planFault(pick: Pick, names: Bag, slot: { at: number; ms: number; beside: PlannedFault[] }): PlannedFault {
  const taken = new Set<Part>(slot.beside.flatMap(({ name }) => faults[name]?.parts ?? []));
  const name = names.take((it) => !faults[it]?.parts.some((part) => taken.has(part)));
  const wanted = Math.max(faults[name]?.leastMs ?? 0, 300 + pick(3_200));
  return { name, at: slot.at, ms: Math.min(wanted, Math.max(500, slot.ms - slot.at)) };
}

/** Deals every fault once before any comes again. */
class Bag {
  readonly #pick: Pick;
  #left: string[] = [];

  constructor(pick: Pick) {
    this.#pick = pick;
  }

  take(fits: (name: string) => boolean): string {
    if (!this.#left.some(fits)) this.#left.push(...Object.keys(faults));
    const fitting = this.#left.filter(fits);
    const name = fitting[this.#pick(fitting.length)];
    if (name === undefined) throw new Error("no fault fits beside the others");
    this.#left.splice(this.#left.indexOf(name), 1);
    return name;
  }
}
