import { afterAll, beforeAll, expect, test } from "vitest";
import { insert } from "../../demo/mutations.ts";
import { eventually } from "../support/eventually.ts";
import { sql } from "../support/sql.ts";
import type { SiteRole } from "../support/two-site.ts";
import { fuzzMethod, type MethodReport } from "./fuzz-method.ts";
import { FuzzSites, methods, roles } from "./fuzz-sites.ts";
import { HealthyCaller } from "./healthy-caller.ts";
import { CallSender } from "./send-call.ts";
import type { Holdings } from "./watched-process.ts";

/**
 * TEST_SEED=7 TEST_FUZZ_METHOD=Write TEST_FUZZ_CALLS=1 is one call of one method. TEST_FUZZ_MINUTES bounds a long run.
 */
const { TEST_SEED = "1", TEST_NIGHTLY, TEST_FUZZ_METHOD, TEST_FUZZ_CALLS, TEST_FUZZ_MINUTES } = process.env;
const seed = Number(TEST_SEED);
/** Of one method, both sites together. */
const calls = Number(TEST_FUZZ_CALLS ?? (TEST_NIGHTLY ? 100_000 : 400));
const minutes = Number(TEST_FUZZ_MINUTES ?? (TEST_NIGHTLY ? 60 : 5));
const chosen = methods.filter(({ name }) => TEST_FUZZ_METHOD === undefined || name === TEST_FUZZ_METHOD);

let fuzz: FuzzSites;
let healthy: Record<SiteRole, HealthyCaller>;
const senders: Partial<Record<SiteRole, CallSender>> = {};
const reports = new Map<string, MethodReport>();
const before: Partial<Record<SiteRole, Holdings>> = {};

beforeAll(async () => {
  fuzz = await FuzzSites.start();
});

afterAll(async () => {
  await fuzz?.[Symbol.asyncDispose]();
});

test("placeholder", { timeout: minutes * 60_000 + 120_000 }, async () => {
  const end = performance.now() + minutes * 60_000;
  healthy = {
    main: new HealthyCaller(fuzz.callers.main),
    secondary: new HealthyCaller(fuzz.callers.secondary),
  };
  for (const role of roles) senders[role] = new CallSender(fuzz.sites[role].grpc);
  for (const role of roles) console.log(role, await fuzz.holdings(role));
  for (const method of chosen) {
    const begin = performance.now();
    const both = await Promise.all(
      roles.map((role, i) =>
        fuzzMethod({
          method,
          sender: senders[role] as CallSender,
          dictionary: fuzz.dictionary,
          seed: seed + i * 1e8,
          count: Math.ceil(calls / 2),
          until: end,
        }),
      ),
    );
    fuzz.requireAlive();
    if (method.name === "PauseDrain")
      await fuzz.callers.secondary.admin.resumeDrain({ operator: "fuzz", reason: "done" });
    both.forEach((report, i) => {
      console.log(
        `${roles[i]} ${method.parent.typeName}/${method.name}: ${report.sent} in ${Math.round(performance.now() - begin)} ms`,
        JSON.stringify(Object.fromEntries(report.codes)),
        report.acknowledged.length,
      );
      for (const [kind, { count, cases }] of report.findings)
        console.log("   FINDING", count, kind, "\n      ", cases.join("\n       "));
      for (const line of fuzz.errors(roles[i] as SiteRole)) console.log("   LOG", roles[i], line.slice(0, 1500));
    });
  }
  for (const role of roles) {
    await healthy[role][Symbol.asyncDispose]();
    console.log(
      role,
      healthy[role].report.writeIds.length,
      healthy[role].report.slowestMs,
      healthy[role].report.failures,
    );
  }
  for (const role of roles) console.log(role, await fuzz.holdings(role));
});
