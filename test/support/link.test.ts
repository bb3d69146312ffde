import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { Link } from "./link.ts";
import type { Address } from "./postgres-pair.ts";

/** A server that sends back what it gets, and its address. */
async function echo(): Promise<Address & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.pipe(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    host: "127.0.0.1",
    port: address.port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function dial(address: Address): Promise<Socket> {
  const socket = connect(address);
  await once(socket, "connect");
  socket.on("error", () => {});
  return socket;
}

/** Resolves when the socket has closed, by an error too. */
function closed(socket: Socket): Promise<unknown> {
  return new Promise((resolve) => socket.once("close", resolve));
}

async function roundTrip(socket: Socket, text = "x"): Promise<number> {
  const begin = performance.now();
  socket.write(text);
  await once(socket, "data");
  return performance.now() - begin;
}

test("an answer takes the round trip, as set while running", async () => {
  await using target = await echo();
  await using link = new Link({ roundTripMs: 60 });
  const socket = await dial(await link.forward(target));
  // The handshake costs one more.
  expect(await roundTrip(socket)).toBeGreaterThan(110);
  expect(await roundTrip(socket)).toBeGreaterThan(58);
  link.setRoundTrip(0);
  expect(await roundTrip(socket)).toBeLessThan(40);
  socket.destroy();
});

test("bytes arrive complete and in order, and many at a time are under way", async () => {
  await using target = await echo();
  await using link = new Link({ roundTripMs: 40 });
  const socket = await dial(await link.forward(target));
  const sent = randomBytes(20_000_000);
  const begin = performance.now();
  socket.end(sent);
  const got: Buffer[] = [];
  for await (const chunk of socket) got.push(chunk as Buffer);
  expect(Buffer.concat(got).equals(sent)).toBe(true);
  expect(performance.now() - begin).toBeLessThan(3_000);
});

test("a cut by reset ends connections and refuses new ones until it heals", async () => {
  await using target = await echo();
  await using link = new Link();
  const address = await link.forward(target);
  const socket = await dial(address);
  await roundTrip(socket);
  link.cut({ mode: "reset" });
  await closed(socket);
  const refused = connect(address);
  await expect(once(refused, "end")).rejects.toThrow("ECONNRESET");
  link.heal();
  const again = await dial(address);
  await roundTrip(again);
  again.destroy();
});

test("in a black hole nothing arrives and nobody is told; healing resets what lost bytes", async () => {
  await using target = await echo();
  await using link = new Link();
  const address = await link.forward(target);
  const socket = await dial(address);
  await roundTrip(socket);
  link.cut({ mode: "blackhole" });
  const fresh = await dial(address);
  let events = 0;
  for (const it of [socket, fresh]) it.on("data", () => events++).on("close", () => events++);
  socket.write("lost");
  fresh.write("lost");
  await delay(50);
  expect(events).toBe(0);
  const ended = Promise.all([closed(socket), closed(fresh)]);
  link.heal();
  await ended;
  await expect.poll(() => link.status.connections).toBe(0);
  const again = await dial(address);
  await roundTrip(again);
  again.destroy();
});

test("a black hole in one direction lets the other through", async () => {
  const heard: string[] = [];
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      heard.push(String(bytes));
      socket.write("answer");
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  await using link = new Link();
  const socket = await dial(await link.forward({ host: "127.0.0.1", port: address.port }));
  await roundTrip(socket, "one");
  link.cut({ mode: "blackhole", direction: "from-main" });
  let answers = 0;
  socket.on("data", () => answers++);
  socket.write("two");
  await expect.poll(() => heard).toEqual(["one", "two"]);
  await delay(20);
  expect(answers).toBe(0);
  const ended = closed(socket);
  link.heal();
  await ended;
  server.close();
});

test("the answer to one COMMIT is lost, and its connection reset", async () => {
  await using target = await echo();
  await using link = new Link({ roundTripMs: 10 });
  const address = await link.forward(target);
  const socket = await dial(address);
  const dropped = link.dropNextCommitAnswer();
  const got: Buffer[] = [];
  socket.on("data", (bytes) => got.push(bytes));
  const ended = closed(socket);
  socket.write("before C\0\0\0\x0bCOM", "latin1");
  await delay(40);
  socket.write("MIT\0 after", "latin1");
  await Promise.all([dropped, ended]);
  expect(String(Buffer.concat(got))).not.toContain("after");
  const again = await dial(address);
  await roundTrip(again, "C\0\0\0\x0bCOMMIT\0");
  again.destroy();
});

test("where no COMMIT is answered in time, the wait for one to be lost fails, and the next answer passes", async () => {
  await using target = await echo();
  await using link = new Link();
  await expect(link.dropNextCommitAnswer(AbortSignal.timeout(20))).rejects.toThrow("no COMMIT");
  const socket = await dial(await link.forward(target));
  await roundTrip(socket, "C\0\0\0\x0bCOMMIT\0");
  socket.destroy();
});
