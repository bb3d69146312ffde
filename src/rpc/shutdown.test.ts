import * as http2 from "node:http2";
import * as net from "node:net";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { ErrorInfoSchema } from "../../gen/ts/google/rpc/error_details_pb.ts";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../gen/ts/grpc/health/v1/health_pb.ts";
import { ReplicationService } from "../../gen/ts/opsdb/v1/replication_service_pb.ts";
import { WriteService } from "../../gen/ts/opsdb/v1/write_service_pb.ts";
import { acceptedAck, statusNamed } from "../../test/support/site-stub.ts";
import { StubServer } from "../../test/support/stub-server.ts";

const mutations = [{ table: "files", operation: { case: "insert" as const, value: {} } }];
const soon = (): AbortSignal => AbortSignal.timeout(10_000);

test("a stop ends watches with SHUTTING_DOWN and lets a running write finish", async () => {
  await using stub = await StubServer.open();
  const gate = Promise.withResolvers<void>();
  stub.site.onWrite = async (write) => {
    await gate.promise;
    return acceptedAck(write);
  };
  const write = stub.call(WriteService.method.write, { mutations });
  const watch = createClient(ReplicationService, stub.connect()).watchReplication({})[Symbol.asyncIterator]();
  const health = createClient(Health, stub.connect()).watch({ service: "" })[Symbol.asyncIterator]();
  await watch.next();
  expect((await health.next()).value?.status).toBe(Status.SERVING);
  await stub.site.open.until((open) => open === 1, soon());

  const closed = stub.server.close(10_000);
  const ended = ConnectError.from(await watch.next().catch((error: unknown) => error));
  expect([ended.code, ended.findDetails(ErrorInfoSchema)[0]?.reason]).toEqual([Code.Unavailable, "SHUTTING_DOWN"]);
  expect((await health.next()).value?.status).toBe(Status.NOT_SERVING);
  await expect(health.next()).rejects.toMatchObject({ code: Code.Unavailable });
  gate.resolve();
  expect((await write).status?.site).toBe("stub");
  await closed;
  await expect(fetch(stub.url)).rejects.toThrow();
});

test("what has not finished in the time given is cut", async () => {
  await using stub = await StubServer.open();
  stub.site.onWrite = (_write, { signal }) =>
    new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("cut"))));
  const write = stub.call(WriteService.method.write, { mutations }).catch((error: unknown) => error);
  await stub.site.open.until((open) => open === 1, soon());
  await stub.server.close(1);
  expect(await write).toBeInstanceOf(Error);
  await stub.site.open.until((open) => open === 0, soon());
});

test("a stop does not wait for a client that keeps its connection after the last call", async () => {
  await using stub = await StubServer.open();
  const { watchReplication } = createClient(ReplicationService, stub.connect());
  for (let n = 0; n < 2; n++)
    for await (const { event } of watchReplication({ heartbeat: { nanos: 200_000_000 } }))
      if (event.case === "heartbeat") break;
  await stub.site.open.until((open) => open === 0, soon());
  const closed = stub.server.close(60_000).then(() => "closed");
  const late = new Promise((resolve) => setTimeout(resolve, 20_000, "still open").unref());
  expect(await Promise.race([closed, late])).toBe("closed");
});

test("a watcher that stops reading and then goes away leaves nothing behind", async () => {
  await using stub = await StubServer.open();
  const client = http2.connect(stub.url).on("error", () => {});
  const headers = { ":method": "POST", ":path": "/opsdb.v1.ReplicationService/WatchReplication" };
  const call = client.request({ ...headers, "content-type": "application/grpc", te: "trailers" }).on("error", () => {});
  call.end(Buffer.from([0, 0, 0, 0, 5, 0x12, 3, ...Buffer.from("F/F")])); // lsn = "F/F"; nothing is ever read
  await stub.site.open.until((open) => open === 1, soon());
  for (let i = 0; i < 50; i += 1) {
    stub.site.status.set(statusNamed(`${i}`.repeat(100_000)));
    await new Promise((resolve) => setImmediate(resolve));
  }
  client.destroy();
  await stub.site.open.until((open) => open === 0, soon());
  expect(stub.logged).toEqual([]);
});

test("a client that freezes is found by a ping, and its calls end", async () => {
  await using stub = await StubServer.open({ everyMs: 50, timeoutMs: 50 });
  const link = await FreezingLink.open(stub.port);
  const client = http2.connect(`http://127.0.0.1:${link.port}`).on("error", () => {});
  const headers = { ":method": "POST", ":path": "/opsdb.v1.ReplicationService/WatchReplication" };
  const call = client.request({ ...headers, "content-type": "application/grpc", te: "trailers" }).on("error", () => {});
  call.end(Buffer.from([0, 0, 0, 0, 5, 0x12, 3, ...Buffer.from("F/F")]));
  await stub.site.open.until((open) => open === 1, soon());
  link.freeze();
  await stub.site.open.until((open) => open === 0, soon());
  client.destroy();
  link.close();
});

/** Passes bytes between one client and a server until it freezes: then both sides stay connected and hear nothing. */
class FreezingLink {
  readonly #sockets: net.Socket[] = [];
  readonly #server: net.Server;

  static async open(to: number): Promise<FreezingLink> {
    const link = new FreezingLink(to);
    await new Promise<void>((resolve) => link.#server.listen(0, "127.0.0.1", resolve));
    return link;
  }

  private constructor(to: number) {
    this.#server = net.createServer((near) => {
      const far = net.connect(to, "127.0.0.1");
      for (const socket of [near, far]) this.#sockets.push(socket.on("error", () => {}));
      near.pipe(far).pipe(near);
    });
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  freeze(): void {
    for (const socket of this.#sockets) socket.unpipe().pause();
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}
