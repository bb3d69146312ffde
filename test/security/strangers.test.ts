import { once } from "node:events";
import { type ClientHttp2Session, connect } from "node:http2";
import { createClient } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Health } from "../../gen/ts/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../gen/ts/grpc/reflection/v1/reflection_pb.ts";
import { type SecuredSite, serveSecured } from "../support/secured-site.ts";
import { createDatabase, type TestDatabase } from "../support/test-database.ts";

let database: TestDatabase;
let site: SecuredSite;
let session: ClientHttp2Session;

beforeAll(async () => {
  database = await createDatabase();
  site = await serveSecured("secondary", database, { REFLECTION_ACCESS: "open" });
  session = connect(site.baseUrl);
});

afterAll(async () => {
  session?.destroy();
  await site?.[Symbol.asyncDispose]();
  await database?.[Symbol.asyncDispose]();
});

const health = "/grpc.health.v1.Health/Check";
const reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const announced = Buffer.from([0, 0, 0x40, 0, 0]); // a message of 4 MiB

/** The gRPC status of a call that sends this and never ends; undefined: the server waits for more. */
function statusOf(path: string, bytes: Buffer): Promise<string | undefined> {
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.write(bytes);
  stream.resume();
  return new Promise((resolve) => {
    const heard = (headers: { "grpc-status"?: string }): void => {
      if (headers["grpc-status"] !== undefined) resolve(headers["grpc-status"]);
    };
    stream
      .on("response", heard)
      .on("trailers", heard)
      .on("error", () => {});
    stream.setTimeout(5_000, () => {
      resolve(undefined);
      stream.close();
    });
  });
}

test.each([
  ["health", health, 4 * 1024 + 100],
  ["reflection", reflection, 64 * 1024 + 100],
])(
  "whoever shows no token cannot make the server hold a large message for %s, and hears so",
  async (_, path, bytes) => {
    const resourceExhausted = "8";
    expect(await statusOf(path, Buffer.concat([announced, Buffer.alloc(bytes)]))).toBe(resourceExhausted);
  },
);

test("what health and reflection are asked fits without a token", async () => {
  const { check } = createClient(Health, site.connect(undefined));
  await check({ service: "opsdb.v1.ReplicationService" });
  const { serverReflectionInfo } = createClient(ServerReflection, site.connect(undefined));
  async function* ask() {
    for (let i = 0; i < 200; i++)
      yield { messageRequest: { case: "fileContainingSymbol" as const, value: "opsdb.v1.ReplicationService" } };
  }
  expect(await Array.fromAsync(serverReflectionInfo(ask()))).toHaveLength(200);
});

test("one connection carries no more than 1000 calls at once", async () => {
  const fresh = connect(site.baseUrl);
  const [settings] = await once(fresh, "remoteSettings");
  fresh.destroy();
  expect(settings).toMatchObject({ maxConcurrentStreams: 1000 });
});
