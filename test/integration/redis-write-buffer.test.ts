import { Redis } from "ioredis";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { encodeWrite } from "../../src/buffer/entry-codec.ts";
import { neverTrimmed } from "../../src/buffer/never-trimmed.ts";
import { RedisWriteBuffer, type RedisWriteBufferOptions } from "../../src/buffer/redis-write-buffer.ts";
import { createLogger } from "../../src/lib/logger.ts";
import { formatPosition, type Position } from "../../src/position.ts";
import { temporaryDirectory } from "../scenarios/own-site.ts";
import { writeOf } from "../support/drain.ts";
import { eventually } from "../support/eventually.ts";
import { Link } from "../support/link.ts";
import { copyRedisFiles, type RedisServer, removeRedisFiles } from "../support/redis-server.ts";
import { startRedisServer } from "../support/services.ts";

vi.setConfig({ testTimeout: 90_000 });

const site = "buffer";
const stream = `opsdb:{${site}}:writes`;

let redis: RedisServer;
let running: AsyncDisposableStack;
const ends = new WeakMap<RedisWriteBuffer, () => Promise<void>>();

beforeEach(async () => {
  running = new AsyncDisposableStack();
  redis = running.use(await startRedisServer());
});

afterEach(async () => {
  await running.disposeAsync();
});

/** The buffer of one process of the site, as soon as it accepts writes. */
async function open(options: Partial<RedisWriteBufferOptions> = {}): Promise<RedisWriteBuffer> {
  const logger = createLogger({ level: "silent" });
  const limits = { maxWrites: 1_000_000, maxBytes: 2 ** 31 };
  const buffer = new RedisWriteBuffer(
    { url: redis.url, site, timeoutMs: 5_000, ...limits, allowUnsafe: false, logger, ...options },
    () => {},
  );
  const stop = new AbortController();
  const run = buffer.run(stop.signal, async () => await Promise.resolve(0n));
  const close = async (): Promise<void> => {
    stop.abort(new Error("its process ends"));
    await run;
    await buffer[Symbol.asyncDispose]();
  };
  running.defer(close);
  ends.set(buffer, close);
  await buffer.accepting.until((accepting) => accepting, AbortSignal.timeout(40_000));
  return buffer;
}

/** Its process ends. */
async function end(buffer: RedisWriteBuffer): Promise<void> {
  await ends.get(buffer)?.();
}

async function opened(options: Partial<RedisWriteBufferOptions> = {}): Promise<RedisWriteBuffer> {
  const buffer = await open(options);
  await ready(buffer);
  return buffer;
}

async function ready(buffer: RedisWriteBuffer): Promise<void> {
  await buffer.accepting.until((accepting) => accepting, AbortSignal.timeout(40_000));
  await buffer.complete.until((complete) => complete, AbortSignal.timeout(40_000));
}

const insert = (n: number) =>
  writeOf({ table: "public.log", operation: "insert", key: [`${n}`], columns: ["n"], values: [`${n}`] });

async function append(buffer: RedisWriteBuffer, count: number): Promise<Position[]> {
  const positions: Position[] = [];
  for (let n = 0; n < count; n++) positions.push((await buffer.append(insert(n))).position);
  return positions;
}

/** The tracker of its process has seen them on the replica, and they are trimmed. */
async function trim(buffer: RedisWriteBuffer, to: Position | undefined): Promise<void> {
  buffer.writes.prove(to ?? 0n);
  await buffer.trim(to ?? 0n);
}

/** Commands past the service. */
async function command<T>(run: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(redis.url, { lazyConnect: true, retryStrategy: () => null, enableAutoPipelining: true });
  client.on("error", () => {});
  try {
    await client.connect();
    return await run(client);
  } finally {
    client.disconnect();
  }
}

async function stored(): Promise<string[]> {
  return await command(async (client) => (await client.xrange(stream, "-", "+")).map(([id]) => id));
}

/** Puts so many writes into the stream. */
async function fill(count: number): Promise<void> {
  await command(async (client) => {
    for (let done = 0; done < count; done += 5_000)
      await Promise.all(
        Array.from({ length: Math.min(5_000, count - done) }, (_, i) => {
          const write = insert(done + i);
          return client.xadd(stream, "*", "i", write.writeId, "w", encodeWrite(write));
        }),
      );
  });
}

function files(): string {
  if (redis.directory === undefined) throw new Error("the files of a Redis in a container cannot be reached");
  return redis.directory;
}

/** A link of its own, for one process. */
async function link(roundTripMs = 0): Promise<{ through: Link; url: string }> {
  const through = running.use(new Link({ roundTripMs }));
  const { host, port } = await through.forward(redis);
  return { through, url: `redis://${host}:${port}` };
}

test("G1: what another process trimmed while this one was away is no loss, also after a restart of Redis: no alarm, and nothing is written again", async () => {
  const drainer = await opened();
  const { through, url } = await link();
  const away = await opened({ url });
  const positions = await append(drainer, 5);
  expect(await away.catchUp(AbortSignal.timeout(5_000))).toBe(true);
  through.cut();
  await away.accepting.until((accepting) => !accepting, AbortSignal.timeout(10_000));
  await trim(drainer, positions[2]);
  await redis.kill();
  await redis.start();
  through.heal();
  await Promise.all([drainer, away].map(ready));

  expect([drainer.loss, away.loss]).toEqual([undefined, undefined]);
  expect(await stored()).toEqual(positions.slice(3).map(formatPosition));
  // It has no proof of its own yet, so they stay where reads find them.
  expect(away.writes.unproven).toBe(5);
  await trim(away, positions[4]);
  expect(away.writes.size).toBe(0);
});

test("G1: also where everything was trimmed, and where this process had not read all of it", async () => {
  const drainer = await opened();
  const { through, url } = await link();
  const away = await opened({ url });
  const read = await append(drainer, 2);
  expect(await away.catchUp(AbortSignal.timeout(5_000))).toBe(true);
  through.cut();
  await away.accepting.until((accepting) => !accepting, AbortSignal.timeout(10_000));
  const missed = await append(drainer, 2);
  await trim(drainer, missed.at(-1));
  through.heal();
  await ready(away);

  expect([away.loss, await stored()]).toEqual([undefined, []]);
  expect(away.writes.after(0n).map(({ position }) => position)).toEqual(read);
  // Of these it will never know: a snapshot before them cannot be completed from its memory.
  expect(away.writes.forgottenTo).toBe(missed.at(-1));
});

test("G2: what was appended while the stream was still being read, and was trimmed by another process since, is not appended again", async () => {
  await fill(20_000);
  const drainer = await opened();
  const { through, url } = await link(40);
  const loading = await open({ url });
  const { position } = await loading.append(insert(-1));
  expect(loading.complete.value).toBe(false);
  through.cut();
  await loading.accepting.until((accepting) => !accepting, AbortSignal.timeout(10_000));
  expect(await drainer.catchUp(AbortSignal.timeout(5_000))).toBe(true);
  await trim(drainer, position);
  through.heal();
  await ready(loading);
  expect([await stored(), loading.loss]).toEqual([[], undefined]);
});

test("a process that begins knows how far the stream was trimmed before", async () => {
  const drainer = await opened();
  const positions = await append(drainer, 5);
  await trim(drainer, positions[2]);
  await redis.kill();
  await redis.start();
  const late = await opened();
  expect([late.writes.forgottenTo, late.writes.size]).toEqual([positions[2], 2]);
});

test("G1: an older copy of Redis has an older mark: what was trimmed since is not missed, what is missing is written again", async () => {
  const drainer = await opened();
  const other = await opened();
  const positions = await append(drainer, 6);
  await trim(drainer, positions[1]);
  const copy = temporaryDirectory();
  copyRedisFiles(files(), copy);
  positions.push(...(await append(drainer, 3)));
  expect(await other.catchUp(AbortSignal.timeout(5_000))).toBe(true);
  await trim(drainer, positions[6]);

  await end(drainer);
  await redis.kill();
  copyRedisFiles(copy, files());
  await redis.start();
  await ready(other);
  await eventually(stored, (ids) => ids.length === 7, { what: "that what was lost is written again" });
  expect(await stored()).toEqual(positions.slice(2).map(formatPosition));
  expect(other.loss?.message).toMatch(/came back without 3 writes/);
});

test("G1: an older copy of Redis that still has what this process has trimmed does not keep it", async () => {
  const buffer = await opened();
  const positions = await append(buffer, 6);
  const copy = temporaryDirectory();
  copyRedisFiles(files(), copy);
  await trim(buffer, positions[2]);
  expect(buffer.writes.trimmedTo).toBe(positions[2]);
  await redis.kill();
  copyRedisFiles(copy, files());
  await redis.start();
  await eventually(stored, (ids) => ids.length === 3, { what: "that what was trimmed leaves once more" });
  expect(await stored()).toEqual(positions.slice(3).map(formatPosition));
  await ready(buffer);
  expect([buffer.loss, (await opened()).writes.trimmedTo]).toEqual([undefined, positions[2]]);
});

test("G1: a stream begins empty, also where the process or Redis ends on the way", async () => {
  await command((client) => client.call("ACL", "SETUSER", "default", "-xdel"));
  await opened();
  expect(await command((client) => client.exists(stream))).toBe(1);
  expect(await stored()).toEqual([]);
});

test("G1: what was left at the head of a stream that began does not hide how far it was trimmed", async () => {
  await command((client) => client.xadd(stream, "0-1", "m", "the stream begins"));
  const buffer = await opened();
  expect(await stored()).toEqual([]);
  const positions = await append(buffer, 3);
  await trim(buffer, positions[1]);
  expect((await opened()).writes.trimmedTo).toBe(positions[1]);
});

test("what another process trims while this one still reads the stream is noted as forgotten: no gap passes for whole", async () => {
  await fill(20_000);
  const drainer = await opened();
  const { url } = await link(40);
  const loading = await open({ url });
  await eventually(
    () => loading.writes.size,
    (size) => size > 0,
  );
  const middle = drainer.writes.after(0n)[17_999]?.position;
  await trim(drainer, middle);
  await ready(loading);
  // Otherwise it has missed nothing.
  expect(loading.writes.size).toBeLessThan(20_000);
  expect(loading.writes.forgottenTo).toBe(middle);
});

test("nothing has ever left a stream that just began; something has where it was trimmed, or begun behind what was given before", async () => {
  const buffer = await opened();
  const nothingLeft = () => neverTrimmed(buffer.redis, buffer.key("writes"));
  const [first] = await append(buffer, 2);
  expect(await nothingLeft()).toBe(true);
  await trim(buffer, first);
  expect(await nothingLeft()).toBe(false);
  await end(buffer);
  await command((client) => client.flushall());
  const late = await opened();
  await late.neverBelow(first ?? 0n);
  const { position } = await late.append(insert(0));
  expect(await neverTrimmed(late.redis, late.key("writes"))).toBe(false);
  expect(position).toBeGreaterThan(first ?? 0n);
});

/** How Redis loses what a process has not read yet, and how many of its 20,000 writes. */
const losses = [
  {
    what: "is emptied",
    copyAt: 20_000,
    gone: 20_000,
    lose: async () => void (await command((client) => client.flushall())),
  },
  {
    what: "comes back empty",
    copyAt: 20_000,
    gone: 20_000,
    lose: async () => {
      await redis.kill();
      removeRedisFiles(files());
      await redis.start();
    },
  },
  {
    what: "comes back as an older copy",
    copyAt: 12_000,
    gone: 8_000,
    lose: async (copy: string) => {
      await redis.kill();
      copyRedisFiles(copy, files());
      await redis.start();
    },
  },
];

describe.each(losses)("Redis $what while a process still reads it", ({ copyAt, gone, lose }) => {
  test("G1: what the process has read is written again, and how much it had not read is told", async () => {
    // So that there is an epoch, and that the file need not be rewritten.
    await end(await opened());
    await fill(copyAt);
    const copy = temporaryDirectory();
    copyRedisFiles(files(), copy);
    await fill(20_000 - copyAt);
    // Over this link a page of a thousand takes its time.
    const { url } = await link(40);
    const buffer = await open({ url });
    await eventually(
      () => buffer.writes.size,
      (size) => size > 0,
    );
    const { position } = await buffer.append(insert(-1));
    expect(buffer.complete.value).toBe(false);
    await lose(copy);
    await eventually(() => buffer.loss, Boolean, { timeoutMs: 20_000, what: "that the loss is told" });
    await ready(buffer);

    const message = buffer.loss?.message ?? "";
    const [again, unread] = [/without (\d+) writes/, /at least (\d+) writes/].map((each) =>
      Number(each.exec(message)?.[1] ?? 0),
    );
    expect(unread).toBeGreaterThan(0);
    expect((again ?? 0) + (unread ?? 0)).toBe(gone);
    expect(buffer.writes.size).toBe(20_000 - (unread ?? 0) + 1);
    expect(buffer.writes.last).toBe(position);
    expect(await stored()).toHaveLength(buffer.writes.size);
  });
});

test("G1: the limit of writes holds while the stream is still being read: what is not read yet counts, and what was appended since", async () => {
  await fill(20_000);
  const { url } = await link(40);
  const buffer = await open({ url, maxWrites: 20_003 });
  await append(buffer, 3);
  await expect(buffer.append(insert(-1))).rejects.toMatchObject({ reason: "BUFFER_FULL" });
  // Also after it was looked at once more how much there is.
  await eventually(
    () => buffer.part.status.reason,
    (reason) => reason.endsWith("of 20003 writes"),
  );
  await expect(buffer.append(insert(-1))).rejects.toMatchObject({ reason: "BUFFER_FULL" });
  expect(buffer.complete.value).toBe(false);
  await ready(buffer);
  expect(buffer.writes.size).toBe(20_003);
});

test("G1: the limit of bytes holds while the stream is still being read: what is not read yet counts as much as what was", async () => {
  await fill(20_000);
  const { url } = await link(40);
  const bytes = 20_000 * encodeWrite(insert(10_000)).length;
  const buffer = await open({ url, maxBytes: Math.floor(bytes * 0.9) });
  await eventually(
    () => buffer.writes.size,
    (size) => size > 0,
  );
  await expect(buffer.append(insert(-1))).rejects.toMatchObject({ reason: "BUFFER_FULL" });
  expect(buffer.complete.value).toBe(false);
  await ready(buffer);
  expect(buffer.writes.size).toBe(20_000);
});

test("G1: 130,000 remembered writes that Redis has lost at once are written again", async () => {
  await fill(130_000);
  const buffer = await opened();
  const before = await stored();
  await command((client) => client.flushall());
  await eventually(() => buffer.loss, Boolean, { timeoutMs: 30_000, what: "that the loss is told" });
  await ready(buffer);
  expect(buffer.loss?.message).toMatch(/without 130000 writes/);
  expect(await stored()).toEqual(before);
});

test("G1 G9: a loss that Redis had no memory to note is told meanwhile, and noted once there is room", async () => {
  const buffer = await opened();
  const positions = await append(buffer, 20);
  await command(async (client) => {
    await client.config("SET", "maxmemory", "1");
    await client.flushall();
  });
  await eventually(() => buffer.loss, Boolean, { what: "that the loss is told" });
  const { message } = buffer.loss ?? {};
  expect(message).toMatch(/without 20 writes/);
  expect(await command((client) => client.exists(buffer.key("losses")))).toBe(0);
  expect(buffer.refusal).toBeDefined();

  await command((client) => client.config("SET", "maxmemory", "0"));
  await ready(buffer);
  expect(await stored()).toEqual(positions.map(formatPosition));
  expect(buffer.loss?.message).toBe(message);
  await eventually(
    () => command((client) => client.exists(buffer.key("losses"))),
    (there) => there === 1,
  );
  expect((await opened()).loss?.message).toBe(message);
});

test("G9: a second loss does not hide one that nobody has acknowledged yet, also after a restart", async () => {
  const buffer = await opened();
  await buffer.reportLoss("the first");
  const { at } = buffer.loss ?? {};
  await buffer.reportLoss("another");
  await buffer.reportLoss("the last");
  const told = { at, message: "the first -- and after that (3 losses in all): the last" };
  expect(buffer.loss).toEqual(told);
  expect((await opened()).loss).toEqual(told);
  await buffer.acknowledgeLoss();
  await buffer.reportLoss("a new one");
  expect(buffer.loss?.message).toBe("a new one");
});

test("G9: processes that tell losses at once hide none of each other's, and acknowledging ends what was shown alone", async () => {
  const [one, other] = await Promise.all([opened(), opened()]);
  await one.reportLoss("of the one");
  await other.reportLoss("of the other");
  await eventually(
    () => [one, other].map(({ loss }) => loss?.message),
    (told) => told.every((message) => message === "of the one -- and after that: of the other"),
  );
  const shown = one.loss;
  await other.reportLoss("told meanwhile");
  await one.acknowledgeLoss(shown);
  for (const buffer of [one, other, await opened()])
    await eventually(
      () => buffer.loss?.message,
      (message) => message === "told meanwhile",
    );
  await other.acknowledgeLoss();
  expect((await opened()).loss).toBeUndefined();
});

test("G9: a loss that an older version has noted is told, and ends when it is acknowledged", async () => {
  const at = new Date("2026-01-02T03:04:05Z");
  await command((client) => client.set(`opsdb:{${site}}:loss`, JSON.stringify({ at, message: "of old" })));
  const buffer = await opened();
  expect(buffer.loss).toEqual({ at, message: "of old" });
  await buffer.reportLoss("a new one");
  expect(buffer.loss?.message).toBe("of old -- and after that: a new one");
  await buffer.acknowledgeLoss();
  expect((await opened()).loss).toBeUndefined();
});

test("G1 G9: a loss is noted before what shows it is gone: a process that ends in between hides none", async () => {
  const buffer = await opened();
  const noted = () => command((client) => client.hvals(`opsdb:{${site}}:losses`));
  await command((client) => client.call("ACL", "SETUSER", "default", "-xsetid"));
  await expect(buffer.neverBelow(2n ** 107n)).rejects.toThrow(/NOPERM/);
  expect(await noted()).toEqual([expect.stringContaining("the databases up to")]);
  await command((client) => client.call("ACL", "SETUSER", "default", "+xsetid"));
  await buffer.neverBelow(2n ** 107n);
  expect(await noted()).toHaveLength(1);
});

test("G1 G9: also a loss of writes that this process remembers, where later positions were given since", async () => {
  const { through, url } = await link();
  const buffer = await opened({ url });
  const positions = await append(buffer, 3);
  const copy = temporaryDirectory();
  copyRedisFiles(files(), copy);
  positions.push(...(await append(buffer, 3)));
  through.cut();
  await redis.kill();
  copyRedisFiles(copy, files());
  await redis.start();
  const between = formatPosition((positions[3] ?? 0n) + 1n);
  await command(async (client) => {
    await client.call("ACL", "SETUSER", "default", "-xsetid");
    const write = insert(7);
    await client.xadd(stream, between, "i", write.writeId, "w", encodeWrite(write));
  });
  through.heal();
  const noted = () => command((client) => client.hvals(`opsdb:{${site}}:losses`));
  await eventually(noted, (told) => told.length > 0, { what: "that the loss is noted" });
  expect(await stored()).toEqual([...positions.slice(0, 3).map(formatPosition), between]);
  await command((client) => client.call("ACL", "SETUSER", "default", "+xsetid"));
  await ready(buffer);
  expect(await noted()).toEqual([expect.stringMatching(/without 3 writes/)]);
  expect(buffer.writes.size).toBe(7);
});

test("G9: what this process remembers of an older copy is told once, as being written again", async () => {
  const buffer = await opened();
  const positions = await append(buffer, 3);
  const copy = temporaryDirectory();
  copyRedisFiles(files(), copy);
  positions.push(...(await append(buffer, 3)));
  await redis.kill();
  copyRedisFiles(copy, files());
  await redis.start();
  await eventually(() => buffer.loss, Boolean, { what: "that the loss is told" });
  expect(buffer.loss?.message).toMatch(/without 3 writes.* is writing them again/);
  await ready(buffer);
  expect(await stored()).toEqual(positions.map(formatPosition));
  expect(await command((client) => client.hlen(`opsdb:{${site}}:losses`))).toBe(1);
});
