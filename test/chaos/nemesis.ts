import { setTimeout as delay } from "node:timers/promises";
import type { ChaosPlan, PlannedFault } from "./chaos-plan.ts";
import type { ChaosSites } from "./chaos-sites.ts";
import { faults, type Part } from "./faults.ts";
import type { FaultEvent } from "./history.ts";

export interface NemesisOptions {
  sites: ChaosSites;
  plan: ChaosPlan;
  /** Milliseconds since the run began. */
  now: () => number;
  happened: (event: FaultEvent) => void;
}

/** Makes the faults of the plan, and heals them. Resolves when the last one has healed. */
export class Nemesis {
  readonly #options: NemesisOptions;
  /** What is under way at each part. A fault that took longer than planned holds up the next one at its part. */
  readonly #busy = new Map<Part, Promise<void>>();

  constructor(options: NemesisOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const { plan, now } = this.#options;
    const running: Promise<void>[] = [];
    for (const fault of plan.faults) {
      await delay(Math.max(0, fault.at - now()));
      const parts = faults[fault.name]?.parts ?? [];
      const before = parts.map((part) => this.#busy.get(part));
      const whole = Promise.all(before).then(() => this.#make(fault));
      for (const part of parts) this.#busy.set(part, whole);
      running.push(whole);
      whole.catch(() => {}); // it is thrown below
    }
    await Promise.all(running);
  }

  async #make({ name, ms }: PlannedFault): Promise<void> {
    const { sites, plan, now, happened } = this.#options;
    // Held up until after the end, it would find nobody at work any more.
    if (now() > plan.ms) return;
    const fault = faults[name];
    if (!fault) throw new Error(`there is no fault ${name}`);
    const tell = (phase: FaultEvent["phase"]): void => happened({ kind: "fault", at: now(), name, phase });
    tell("begin");
    const heal = await fault.begin(sites, plan.roundTripMs);
    await delay(ms);
    await heal();
    tell("end");
  }
}
