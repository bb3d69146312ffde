import { createServer } from "node:net";
import { Redis } from "ioredis";
import { expect, onTestFinished, test } from "vitest";
import { verifyDurability } from "./durability.ts";

const settings: Record<string, string> = {
  appendonly: "yes",
  appendfsync: "always",
  "maxmemory-policy": "noeviction",
};

/** As much of a Redis of that version as is asked for its settings and its version. */
async function redisOf(version: string): Promise<Redis> {
  const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`;
  const server = createServer((socket) => {
    socket.on("data", (data) => {
      const [, , command = "", , argument = "", , name = ""] = data.toString().split("\r\n");
      if (command.toLowerCase() === "config") socket.write(`*2\r\n${bulk(name)}${bulk(settings[name] ?? "")}`);
      else if (argument === "server") socket.write(bulk(`redis_version:${version}\r\nrun_id:abc\r\n`));
      else socket.write(bulk("abc")); // this server's file was rewritten before
    });
  });
  const port = await new Promise<number>((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      resolve(typeof address === "object" && address ? address.port : 0);
    });
  });
  const redis = new Redis(port, "127.0.0.1", { lazyConnect: true, enableReadyCheck: false, disableClientInfo: true });
  onTestFinished(() => {
    redis.disconnect();
    server.close();
  });
  await redis.connect();
  return redis;
}

test("G1: a Redis that does not keep how far a stream was trimmed is refused, with the version that does", async () => {
  const { signal } = new AbortController();
  await expect(verifyDurability(await redisOf("6.2.14"), "verified", signal)).rejects.toMatchObject({
    reason: "BUFFER_NOT_DURABLE",
    message: expect.stringMatching(/^Redis is 6\.2\.14, must be 7\.0 or newer/),
  });
  for (const version of ["7.0.15", "8.2.0", "10.0.0"])
    await verifyDurability(await redisOf(version), "verified", signal);
});
