import { rmSync } from "node:fs";
import { join } from "node:path";
import type { TwoSite } from "../support/two-site.ts";
import { checkRun } from "./check-run.ts";
import type { FaultEvent } from "./history.ts";
import { historyFile, runChaos } from "./run-chaos.ts";
import { type RunSummary, summarize } from "./run-summary.ts";

export interface SeedOptions {
  seed: number;
  seconds: number;
  clients: number;
  /** The run gets a directory in it. */
  directory: string;
  /** Whether the directory stays where nothing is wrong. */
  keep: boolean;
  happened?: (event: FaultEvent) => void;
}

export interface SeedResult {
  seed: number;
  summary: RunSummary;
  violations: string[];
  /** The run itself broke off: the parts are in no known state any more. */
  broken: boolean;
  /** File of the history, where it was kept. */
  history: string | undefined;
}

/** One run and its check. */
export async function runSeed(parts: TwoSite, options: SeedOptions): Promise<SeedResult> {
  const { seed } = options;
  const directory = join(options.directory, `seed-${seed}`);
  const history = join(directory, historyFile);
  rmSync(directory, { recursive: true, force: true });
  try {
    const events = await runChaos(parts, { ...options, directory });
    const violations = checkRun(events);
    const kept = options.keep || violations.length > 0;
    if (!kept) rmSync(directory, { recursive: true, force: true });
    return { seed, summary: summarize(events), violations, broken: false, history: kept ? history : undefined };
  } catch (error) {
    return brokenOff(options, error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
}

/** The result of a run that did not come to its end. */
export function brokenOff({ seed, directory }: SeedOptions, why: string): SeedResult {
  const history = join(directory, `seed-${seed}`, historyFile);
  return { seed, summary: summarize([]), violations: [`the run broke off: ${why}`], broken: true, history };
}
