import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { insert } from "../../demo/mutations.ts";
import { text } from "../../demo/values.ts";
import { WriteState } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { SiteCaller } from "../e2e/site-caller.ts";
import { eventually } from "../support/eventually.ts";
import { Compose, noCompose } from "./compose.ts";

const missing = noCompose();
const sample = (station: string) =>
  insert("weather_samples", { station: text(station), sampled_at: text("2026-04-02 03:04:05Z") });

describe.skipIf(missing !== undefined)(`compose.yaml${missing ? ` (skipped: ${missing})` : ""}`, () => {
  const compose = new Compose(`opsdb-test-${process.pid}`);
  let cologne: SiteCaller;
  let chile: SiteCaller;

  beforeAll(async () => {
    // As a newcomer does it; only that it goes on behind.
    await compose.do("up", "--detach", "--wait");
    cologne = new SiteCaller({ baseUrl: await compose.baseUrl("cologne-api") });
    chile = new SiteCaller({ baseUrl: await compose.baseUrl("chile-api") });
  }, 600_000);

  afterAll(async () => {
    cologne?.[Symbol.dispose]();
    chile?.[Symbol.dispose]();
    await compose[Symbol.asyncDispose]();
  }, 120_000);

  test("a write at either site is read at the other", async () => {
    await ready(cologne);
    await ready(chile);
    const atChile = await chile.write([sample("from-chile")], { waitFor: WriteState.REPLICATED });
    expect(atChile.status?.state).toBe(WriteState.REPLICATED);
    expect(await stations(cologne)).toEqual(["from-chile"]);
    const atCologne = await cologne.write([sample("from-cologne")]);
    const { rows } = await chile.query("weather_samples", { token: atCologne.token });
    expect(rows).toHaveLength(2);
  }, 60_000);

  test("while the link is cut chile writes and reads, also started again, and afterwards it all arrives", async () => {
    await compose.cutLink();
    const write = await chile.write([sample("in-the-cut")]);
    expect(write.status?.state).toBe(WriteState.ACCEPTED);
    expect(await stations(chile)).toContain("in-the-cut");
    await compose.docker("kill", compose.container("chile-redis"));
    await compose.docker("kill", compose.container("chile-api"));
    await compose.docker("start", compose.container("chile-redis"), compose.container("chile-api"));
    chile[Symbol.dispose]();
    chile = new SiteCaller({ baseUrl: await compose.baseUrl("chile-api") });
    await ready(chile);
    expect(await stations(chile)).toContain("in-the-cut");
    expect(await stations(cologne)).not.toContain("in-the-cut");
    await compose.healLink();
    await chile.home(write.status?.writeId);
    expect(await stations(cologne)).toContain("in-the-cut");
  }, 120_000);

  test("the service runs without rights on a file system that it cannot write to", async () => {
    expect(await compose.do("exec", "chile-api", "id", "-u")).toBe("1000");
    await expect(compose.do("exec", "chile-api", "touch", "/opt/opsdb/file")).rejects.toThrow("Read-only file system");
    await eventually(
      () => compose.do("exec", "chile-api", "opsdb", "drain", "show"),
      (said) => said.includes("nothing holds writes up"),
      { timeoutMs: 30_000, what: "that opsdb in the container finds nothing amiss" },
    );
  });

  test("SIGTERM reaches the service: it says so, is no longer healthy, and ends with 0", async () => {
    await compose.do("stop", "cologne-api");
    const state = await compose.docker("inspect", "--format", "{{.State.ExitCode}}", compose.container("cologne-api"));
    expect(state).toBe("0");
    expect(await compose.do("logs", "cologne-api")).toMatch(/"SIGTERM".*"stopping"[\s\S]*"stopped"/);
  });

  test("up again after down finds everything as it was", async () => {
    const before = await stations(chile);
    chile[Symbol.dispose]();
    cologne[Symbol.dispose]();
    await compose.do("down");
    await compose.do("up", "--detach", "--wait");
    chile = new SiteCaller({ baseUrl: await compose.baseUrl("chile-api") });
    await ready(chile);
    expect(await stations(chile)).toEqual(before);
    expect(await compose.do("logs", "migrate")).toContain("up to date");
  }, 300_000);
});

async function ready(site: SiteCaller): Promise<void> {
  const names = ["opsdb.v1.WriteService", "opsdb.v1.QueryService"];
  await eventually(
    () => Promise.all(names.map(async (service) => (await site.health.check({ service })).status)),
    (states) => states.every((state) => state === 1),
    { timeoutMs: 60_000, what: "that the site writes and reads" },
  );
}

async function stations(site: SiteCaller): Promise<unknown[]> {
  const { rows } = await site.query("weather_samples", { columns: ["station"] });
  return rows.map(({ station }) => station?.kind.value).sort();
}
