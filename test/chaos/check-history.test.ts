import { expect, test } from "vitest";
import { checkHistory } from "./check-history.ts";
import { modelRun } from "./model-run.ts";

test("a run in which every promise was kept has no violation", () => {
  const seen = new Map<string, number>();
  const count = (what: string, n = 1): void => void seen.set(what, (seen.get(what) ?? 0) + n);
  for (let seed = 1; seed <= 400; seed++) {
    const events = modelRun({ seed, writes: 120, reads: 80 });
    expect(checkHistory(events), `seed ${seed}`).toEqual([]);
    for (const event of events) {
      if (event.kind === "write") count(`${event.site} write ${event.outcome}`);
      if (event.kind === "read" && event.outcome === "ok") count(`${event.site} read ${event.consistency}`);
      if (event.kind === "read" && event.bufferUnreachable) count("flagged read");
      if (event.kind === "final") for (const { outcome, reason } of event.ledger) count(`${outcome} ${reason}`);
      if (event.kind === "write" && event.state) count(`answered ${event.state}`);
      if (event.kind === "write" && event.duplicate) count("duplicate");
    }
  }
  console.log(Object.fromEntries([...seen].sort()));
});
