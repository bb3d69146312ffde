import { join } from "node:path";
import type { TwoSite } from "../support/two-site.ts";
import { ChaosCaller } from "./chaos-caller.ts";
import { ChaosClient } from "./chaos-client.ts";
import { type ChaosPlan, planChaos } from "./chaos-plan.ts";
import { ChaosSites } from "./chaos-sites.ts";
import { collectFinal } from "./collect-final.ts";
import type { FaultEvent, FinalEvent } from "./history.ts";
import { Nemesis } from "./nemesis.ts";
import { plannedOperations } from "./planned-operation.ts";
import type { RecordedEvent } from "./recorded-event.ts";
import { Recorder } from "./recorder.ts";
import { watchStatus } from "./watch-status.ts";

export interface ChaosOptions {
  seed: number;
  /** How long clients work and faults happen; healing and draining come on top. */
  seconds: number;
  /** At least 3: two of them, or one of three, are at the main site. */
  clients: number;
  /** Where the history and the servers' logs go. It is made. */
  directory: string;
  /** Gets each fault as it happens. */
  happened?: (event: FaultEvent) => void;
  /** Is called when everything has drained, before the databases are read. */
  drained?: (sites: ChaosSites) => Promise<void>;
}

/** File of the history in a run's directory. */
export const historyFile = "history.jsonl";

/** One run on parts that are all there and connected; in the end they are so again. Answers everything recorded. */
export async function runChaos(parts: TwoSite, options: ChaosOptions): Promise<RecordedEvent[]> {
  const plan = planChaos(options);
  parts.link.setRoundTrip(0);
  await using sites = await ChaosSites.start(parts, {
    name: `chaos_${options.seed}`,
    directory: options.directory,
    env: plan.env,
  });
  parts.link.setRoundTrip(plan.roundTripMs);
  using recorder = new Recorder(join(options.directory, historyFile));
  const final = await work(sites, plan, { ...options, recorder });
  recorder.record(final);
  return recorder.events;
}

async function work(
  sites: ChaosSites,
  plan: ChaosPlan,
  options: ChaosOptions & { recorder: Recorder },
): Promise<FinalEvent> {
  const { recorder } = options;
  using callers = new DisposableStack();
  const caller = (baseUrl: string): ChaosCaller => callers.use(new ChaosCaller(baseUrl));
  const watching = new AbortController();
  callers.defer(() => watching.abort());
  const { signal } = watching;
  const watched = Object.entries({ secondary: sites.secondary, second: sites.second }).map(([name, { baseUrl }]) =>
    watchStatus({ name, server: caller(baseUrl), recorder, signal }),
  );
  const clients = clientNames(options.clients).map(({ name, site }, index) => {
    const urls = site === "main" ? [sites.main.baseUrl] : [sites.secondary.baseUrl, sites.second.baseUrl];
    const operations = plannedOperations({ seed: plan.seed, client: name, index, site });
    return new ChaosClient({ name, site, servers: urls.map(caller), operations, recorder });
  });
  const nemesis = new Nemesis({
    sites,
    plan,
    now: () => recorder.now(),
    happened: (event) => {
      recorder.record(event);
      options.happened?.(event);
    },
  });
  await Promise.all([nemesis.run(), ...clients.map((client) => client.run(plan.ms))]);
  // Everything has healed, and nobody writes any more.
  const healedAt = recorder.now();
  const servers = [sites.secondary.baseUrl, sites.second.baseUrl].map(caller);
  const { roundTripMs } = plan;
  const drained = options.drained ?? (async () => {});
  const final = await collectFinal({ sites, servers, recorder, healedAt, roundTripMs, drained: () => drained(sites) });
  watching.abort();
  await Promise.all(watched);
  return final;
}

export function clientNames(count: number): { name: string; site: "main" | "secondary" }[] {
  const atMain = count > 4 ? 2 : 1;
  return Array.from({ length: count }, (_, i) =>
    i < count - atMain
      ? { name: `secondary-${i + 1}`, site: "secondary" as const }
      : { name: `main-${i + 1 - (count - atMain)}`, site: "main" as const },
  );
}
