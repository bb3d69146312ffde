import * as http2 from "node:http2";
import * as net from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { type ServiceError, status } from "@grpc/grpc-js";
import { expect, test, vi } from "vitest";
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

test("a call that was on its way when the connection was told to go is answered, not refused", async () => {
  await using stub = await StubServer.open();
  const link = await FreezingLink.open(stub.port);
  const client = http2.connect(`http://127.0.0.1:${link.port}`).on("error", () => {});
  expect(await writeOver(client)).toBe("0");
  link.holdAnswers();
  const closed = stub.server.close(10_000);
  const answer = writeOver(client); // this client has not heard of the stop
  await vi.waitUntil(() => stub.site.writes.length === 2, { timeout: 10_000 });
  link.releaseAnswers();
  expect(await answer).toBe("0");
  await closed;
  client.destroy();
  link.close();
});

test("a stop under load: calls are answered or end with UNAVAILABLE, and with nothing else", async () => {
  await using stub = await StubServer.open();
  let answered = 0;
  stub.site.onWrite = async (write) => {
    await new Promise((resolve) => setImmediate(resolve));
    return acceptedAck(write);
  };
  const client = stub.grpcJs();
  const codes = new Set<unknown>();
  const callers = Array.from({ length: 40 }, async () => {
    for (let refusals = 0; refusals < 5; ) {
      try {
        await stub.call(WriteService.method.write, { mutations }, undefined, client);
        answered += 1;
      } catch (error) {
        refusals += 1;
        codes.add((error as ServiceError).code);
      }
    }
  });
  await vi.waitUntil(() => answered > 200, { timeout: 10_000 });
  const closed = stub.server.close(10_000);
  await Promise.all(callers);
  await closed;
  expect([...codes]).toEqual([status.UNAVAILABLE]);
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

/** One write over a connection; answers its gRPC status, or the error that its stream ended with. */
function writeOver(client: http2.ClientHttp2Session): Promise<unknown> {
  const headers = { ":method": "POST", ":path": "/opsdb.v1.WriteService/Write" };
  const call = client.request({ ...headers, "content-type": "application/grpc", te: "trailers" });
  const { input } = WriteService.method.write;
  const message = toBinary(input, create(input, { mutations }));
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  call.end(Buffer.concat([prefix, message]));
  return new Promise((resolve) => {
    call
      .on("error", resolve)
      .on("trailers", (trailers) => resolve(trailers["grpc-status"]))
      .resume();
  });
}

/** Passes bytes between one client and a server until it freezes: then both sides stay connected and hear nothing. */
class FreezingLink {
  readonly #sockets: net.Socket[] = [];
  readonly #answers: { near: net.Socket; far: net.Socket }[] = [];
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
      this.#answers.push({ near, far });
    });
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  freeze(): void {
    for (const socket of this.#sockets) socket.unpipe().pause();
  }

  /** What the server says does not arrive until it is released. */
  holdAnswers(): void {
    for (const { near, far } of this.#answers) far.unpipe(near).pause();
  }

  releaseAnswers(): void {
    for (const { near, far } of this.#answers) far.pipe(near);
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}
