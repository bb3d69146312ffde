import { randomInt } from "node:crypto";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { startChaosParts } from "./chaos-sites.ts";
import { checkRun } from "./check-run.ts";
import type { FaultEvent } from "./history.ts";
import { readEvents } from "./recorder.ts";
import { runSeed, type SeedResult } from "./run-seed.ts";
import { runSeeds } from "./run-seeds.ts";
import { addUp, faultsIn, operationsIn, summarize, summaryText } from "./run-summary.ts";

const help = `Clients write and read at both sites while parts of them are killed, frozen, cut off and brought back; then it is
checked that nothing acknowledged was lost, doubled, reordered or forgotten.

usage: ./dev chaos [OPTIONS]

  --seed N        what is done and which faults happen when; of several runs the first (default: a random one)
  --seconds S     how long a run's clients work (default 30); healing and draining come on top
  --runs R        so many runs, with the seeds N, N+1, ... (default 1)
  --parallel P    so many runs at once, each on databases of its own (default 1)
  --clients C     3 to 50 (default 6); two of them at the main site, or one where there are fewer than five
  --keep DIR      keep histories and servers' logs of all runs in DIR (default: of failing runs, in .tmp/chaos)
  --check FILE    only check the history in FILE again
  --help          this text

Exits with 0 where nothing was wrong, with 1 where something was, and with 2 where the options are.

examples:
  ./dev chaos
  ./dev chaos --seed 7 --seconds 10
  ./dev chaos --seed 1 --runs 200 --parallel 2
  ./dev chaos --check .tmp/chaos/seed-7/history.jsonl
`;

process.exitCode = await chaos(process.argv.slice(2));

async function chaos(args: string[]): Promise<number> {
  let options: Options;
  try {
    options = readOptions(args);
  } catch (error) {
    console.error(`chaos: ${error instanceof Error ? error.message : error}. Try: ./dev chaos --help`);
    return 2;
  }
  if (options.help) {
    process.stdout.write(help);
    return 0;
  }
  if (options.check !== undefined) return checkAgain(options.check);
  return options.runs === 1 ? await oneRun(options) : await manyRuns(options);
}

type Options = ReturnType<typeof readOptions>;

function readOptions(args: string[]) {
  const { values } = parseArgs({
    args,
    options: {
      seed: { type: "string" },
      seconds: { type: "string", default: "30" },
      runs: { type: "string", default: "1" },
      parallel: { type: "string", default: "1" },
      clients: { type: "string", default: "6" },
      keep: { type: "string" },
      check: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  return {
    seed: whole("seed", values.seed ?? String(randomInt(1_000_000_000)), 0, 4_000_000_000),
    seconds: whole("seconds", values.seconds, 2, 86_400),
    runs: whole("runs", values.runs, 1, 1_000_000),
    parallel: whole("parallel", values.parallel, 1, 64),
    clients: whole("clients", values.clients, 3, 50),
    directory: resolve(values.keep ?? ".tmp/chaos"),
    keep: values.keep !== undefined,
    check: values.check,
    help: values.help,
  };
}

function whole(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new Error(`--${name} is a whole number from ${least} to ${most}, not ${JSON.stringify(text)}`);
}

async function oneRun(options: Options): Promise<number> {
  console.log(`seed ${options.seed}, ${options.seconds} s, ${options.clients} clients`);
  await using parts = await startChaosParts();
  const result = await runSeed(parts, { ...options, happened: (event) => console.log(faultLine(event)) });
  console.log(summaryText(result.summary));
  return verdict(result);
}

async function manyRuns(options: Options): Promise<number> {
  const { seed, runs, seconds, clients } = options;
  console.log(`seeds ${seed} to ${seed + runs - 1}, ${seconds} s each, ${clients} clients`);
  const seeds = Array.from({ length: runs }, (_, i) => seed + i);
  const results = await runSeeds({ ...options, seeds, done: (result) => console.log(resultLine(result)) });
  console.log(summaryText(addUp(results.map(({ summary }) => summary))));
  const failed = results.filter(({ violations }) => violations.length > 0);
  for (const result of failed) verdict(result);
  console.log(`${results.length} runs, ${failed.length} with violations`);
  return failed.length === 0 ? 0 : 1;
}

function checkAgain(path: string): number {
  const events = readEvents(path);
  console.log(summaryText(summarize(events)));
  return verdict({ violations: checkRun(events), history: undefined });
}

/** Says what was wrong, and answers the exit code. */
function verdict(result: Pick<SeedResult, "violations" | "history"> & { seed?: number }): number {
  const { violations, history, seed } = result;
  const of = seed === undefined ? "" : `seed ${seed}: `;
  console.log(`${of}${violations.length} violation${violations.length === 1 ? "" : "s"}`);
  for (const violation of violations.slice(0, 20)) console.log(`  ${violation}`);
  if (violations.length > 20) console.log(`  and ${violations.length - 20} more`);
  if (history !== undefined) console.log(`history: ${history}`);
  return violations.length === 0 ? 0 : 1;
}

function faultLine({ at, phase, name }: FaultEvent): string {
  return `${(at / 1_000).toFixed(1).padStart(6)} s  ${phase.padEnd(5)}  ${name}`;
}

function resultLine({ seed, summary, violations, history }: SeedResult): string {
  const drained = summary.drainedInMs === undefined ? "not drained" : `drained in ${summary.drainedInMs} ms`;
  const counts = `${operationsIn(summary)} operations, ${faultsIn(summary)} faults, ${summary.reads} merged reads`;
  return `seed ${seed}: ${violations.length} violations; ${counts}, ${drained}${history ? `; ${history}` : ""}`;
}
