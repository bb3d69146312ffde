import { test, vi } from "vitest";
import { WriteState } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { SiteCaller } from "../e2e/site-caller.ts";
import { eventually } from "../support/eventually.ts";
import { startTwoSite } from "../support/two-site.ts";
import { sample } from "./noted-samples.ts";

vi.setConfig({ testTimeout: 120_000 });

test("G9: a replica that receives nothing although main answers is named among what holds writes up, until it streams again", async () => {
  await using sites = await startTwoSite({ separateLinks: true });
  using site = new SiteCaller(sites.secondary);
  const named = async (): Promise<string[]> => (await site.admin.showDrain({})).holdups.map(({ reason }) => reason);
  const reason = "main answers, and the local database receives nothing from it: its receiver is stopped";

  sites.walLink.cut();
  const { status } = await site.write([sample("no stream", 1)], { waitFor: WriteState.APPLIED });
  await eventually(named, (reasons) => reasons.includes(reason), { what: "that the replica is named" });
  sites.walLink.heal();
  await site.home(status?.writeId);
  await eventually(named, (reasons) => reasons.length === 0, { what: "that nothing is named any more" });
});
