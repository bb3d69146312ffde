import { createClient } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../gen/ts/grpc/health/v1/health_pb.ts";
import { collect, StubServer } from "../../test/support/stub-server.ts";

const writing = "opsdb.v1.WriteService";

test("the log has one line for each change of health, with its reason and the time before", async () => {
  await using stub = await StubServer.open();
  const write = async (health: { serving: true } | { serving: false; reason: string }): Promise<void> => {
    stub.site.health.set({ ...stub.site.health.value, write: health });
    await new Promise(setImmediate);
  };
  await write({ serving: false, reason: "Redis is away" });
  await write({ serving: false, reason: "Redis is away for the second time" });
  await write({ serving: true });
  await write({ serving: true });
  const seconds = expect.any(Number);
  expect(changes(stub)).toEqual([
    {
      level: "warn",
      service: writing,
      reason: "Redis is away",
      afterSeconds: seconds,
      msg: "a service serves no more",
    },
    {
      level: "warn",
      service: `${writing}/headroom`,
      reason: "Redis is away",
      afterSeconds: seconds,
      msg: "a service serves no more",
    },
    { level: "info", service: writing, afterSeconds: seconds, msg: "a service serves" },
    { level: "info", service: `${writing}/headroom`, afterSeconds: seconds, msg: "a service serves" },
  ]);
});

test("the warning before writes are refused is logged under its own name", async () => {
  await using stub = await StubServer.open();
  stub.site.health.set({ ...stub.site.health.value, write: { serving: true, degraded: "the buffer is 93% full" } });
  await new Promise(setImmediate);
  expect(changes(stub)).toMatchObject([{ service: `${writing}/headroom`, reason: "the buffer is 93% full" }]);
});

test("what does not serve when the server starts is logged, and what serves is not", async () => {
  await using stub = await StubServer.open(undefined, (site) => {
    site.health.set({ ...site.health.value, query: { serving: false, reason: "not connected yet" } });
  });
  expect(changes(stub)).toMatchObject([
    { service: "opsdb.v1.QueryService", reason: "not connected yet", msg: "a service does not serve yet" },
  ]);
});

test("a stop logs no change of health: it has a line of its own", async () => {
  const stub = await StubServer.open();
  await stub[Symbol.asyncDispose]();
  expect(changes(stub)).toEqual([]);
});

test("a watch of a name that nobody knows goes on, and ends when the server stops", async () => {
  await using stub = await StubServer.open();
  const watched = createClient(Health, stub.connect()).watch({ service: "nobody" })[Symbol.asyncIterator]();
  expect((await watched.next()).value?.status).toBe(Status.SERVICE_UNKNOWN);
  const ended = collect({ [Symbol.asyncIterator]: () => watched }).catch((error: unknown) => String(error));
  await stub.server.close(0);
  expect(await ended).toContain("shutting down");
});

function changes({ logged }: StubServer): Record<string, unknown>[] {
  const lines = logged.map((line) => JSON.parse(line) as Record<string, unknown>);
  return lines.filter(({ service }) => service !== undefined).map(({ time: _, ...line }) => line);
}
