import { random } from "../support/random.ts";

/** Choices that depend on a seed alone. */
export class Chance {
  /** A whole number from 0, below what is asked for. */
  readonly below: (limit: number) => number;

  constructor(seed: number) {
    this.below = random(seed);
    this.below(2); // neighbouring seeds begin alike
  }

  /** True once in so many times. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }

  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }

  of<T>(choices: readonly T[]): T {
    if (choices.length === 0) throw new RangeError("nothing to choose from");
    return choices[this.below(choices.length)] as T;
  }

  /** Some of them, in their order. */
  some<T>(all: readonly T[], least = 0): T[] {
    const chosen = all.filter(() => this.once(2));
    return chosen.length >= least ? chosen : all.slice(0, least);
  }

  /** So many of them, in any order. */
  draw<T>(all: readonly T[], count: number): T[] {
    const left = [...all];
    return Array.from({ length: Math.min(count, left.length) }, () => left.splice(this.below(left.length), 1)[0] as T);
  }
}
