import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { statSync, truncateSync } from "node:fs";
import { Redis } from "ioredis";
import { beforeAll, describe, expect, test } from "vitest";
import { RedisWriteBuffer } from "../../src/buffer/redis-write-buffer.ts";
import { createLogger } from "../../src/lib/logger.ts";
import type { Write } from "../../src/write.ts";
import { eventually } from "../support/eventually.ts";
import { appendOnlyFile, copyRedisFiles, type RedisServer, startRedis } from "../support/redis-server.ts";
import { temporaryDirectory } from "./own-site.ts";

const nightly = process.env.TEST_NIGHTLY === "1";
/** Redis servers at once. */
const lanes = 4;
const site = "torn";
const stream = `opsdb:{${site}}:writes`;

/** A file of Redis after a kill, and where each of its last three commands ends. */
interface Torn {
  directory: string;
  /** Bytes before the first of the three. */
  from: number;
  /** Ends of the three. */
  ends: number[];
  /** Acknowledged before them. */
  before: string[];
  /** What the three wrote: an id for each that is a write of the service. */
  written: (string | undefined)[];
}

let torn: Torn;
let tornByOthers: Torn;

beforeAll(async () => {
  torn = await prepare([appendOne, appendOne, appendOne]);
  // Others who use the same Redis may leave transactions in the file, as a script with two commands does. Half of one
  // would swallow what is appended behind it.
  tornByOthers = await prepare([appendOne, otherTransaction, appendOne]);
});

describe.each([
  { what: "three writes", of: () => torn },
  { what: "a write, another client's transaction and a write", of: () => tornByOthers },
])("the append-only file is cut within its last commands: $what", ({ of }) => {
  test(`G1: at ${nightly ? "every byte" : "every command and between"}, Redis and the service start twice: what was acknowledged before the cut and after the first start is there, in order, whole and once`, {
    timeout: nightly ? 1_800_000 : 60_000,
  }, async () => {
    const cuts = cutsOf(of());
    const wrong: { cut: number; error: string }[] = [];
    await Promise.all(
      Array.from({ length: lanes }, async () => {
        for (let cut = cuts.pop(); cut !== undefined; cut = cuts.pop())
          await startTwice(of(), cut).catch((error: unknown) => wrong.push({ cut: cut ?? 0, error: String(error) }));
      }),
    );
    expect(wrong).toEqual([]);
  });
});

async function prepare(steps: ((buffer: RunningBuffer) => Promise<string | undefined>)[]): Promise<Torn> {
  const directory = temporaryDirectory();
  await using redis = await startRedis();
  const before: string[] = [];
  const written: (string | undefined)[] = [];
  const ends: number[] = [];
  let from = 0;
  {
    await using running = await runBuffer(redis);
    for (let n = 0; n < 3; n++) before.push(await appendOne(running));
    const size = (): number => statSync(appendOnlyFile(redis.directory ?? "")).size;
    from = size();
    for (const step of steps) {
      written.push(await step(running));
      ends.push(size());
    }
    await redis.kill();
  }
  copyRedisFiles(redis.directory ?? "", directory);
  return { directory, from, ends, before, written };
}

/** Every position, or a stride with the ends of all commands and what lies beside them. */
function cutsOf({ from, ends }: Torn): number[] {
  const end = ends.at(-1) ?? from;
  const all = Array.from({ length: end - from + 1 }, (_, i) => from + i);
  if (nightly) return all;
  const near = [from, ...ends].flatMap((each) => [each - 1, each, each + 1]);
  return all.filter((cut) => (cut - from) % 17 === 8 || near.includes(cut));
}

async function startTwice({ directory, ends, before, written }: Torn, cut: number): Promise<void> {
  const copy = temporaryDirectory();
  copyRedisFiles(directory, copy);
  truncateSync(appendOnlyFile(copy), cut);
  const expected = [...before, ...written.filter((id, i) => id !== undefined && (ends[i] ?? 0) <= cut)];
  await using redis = await startRedis({ directory: copy });
  {
    await using running = await runBuffer(redis);
    expect(running.ids()).toEqual(expected);
    for (let n = 0; n < 2; n++) expected.push(await appendOne(running));
    await redis.kill();
  }
  await redis.start();
  await using again = await runBuffer(redis);
  expect(again.ids()).toEqual(expected);
  expect(await storedIds(redis)).toEqual(expected);
  expected.push(await appendOne(again));
  expect(again.ids()).toEqual(expected);
}

interface RunningBuffer extends AsyncDisposable {
  buffer: RedisWriteBuffer;
  redis: RedisServer;
  /** What it has in memory, in order; fails where a payload is not whole. */
  ids(): string[];
}

/** The service's buffer as it is after its start: connected, verified, read to the tail. */
async function runBuffer(redis: RedisServer): Promise<RunningBuffer> {
  const stop = new AbortController();
  const buffer = new RedisWriteBuffer(
    {
      url: redis.url,
      site,
      timeoutMs: 5_000,
      maxWrites: 1_000,
      maxBytes: 2 ** 20,
      allowUnsafe: false,
      logger: createLogger({ level: "silent" }),
    },
    () => {},
  );
  const running = buffer.run(stop.signal, async () => await Promise.resolve(0n));
  await eventually(
    () => buffer.refusal?.message,
    (refusal) => refusal === undefined,
    { what: "that the buffer accepts writes" },
  );
  await buffer.complete.until((complete) => complete, AbortSignal.timeout(10_000));
  return {
    buffer,
    redis,
    ids: () => buffer.writes.after(0n).map(({ write }) => write.writeId),
    async [Symbol.asyncDispose]() {
      stop.abort(new Error("the buffer is closed"));
      await running;
      await buffer[Symbol.asyncDispose]();
    },
  };
}

async function appendOne({ buffer }: RunningBuffer): Promise<string> {
  const write: Write = {
    writeId: randomUUID(),
    payloadHash: Buffer.from("1"),
    mutations: [
      { table: "public.log", operation: "insert", key: ["1"], columns: ["n"], values: ["1"], preconditions: [] },
    ],
  };
  await buffer.append(write);
  return write.writeId;
}

async function otherTransaction({ redis }: RunningBuffer): Promise<undefined> {
  const client = new Redis(redis.url);
  client.on("error", () => {});
  await client.multi().set("a", "1").set("b", "2").exec();
  const closed = once(client, "close");
  client.disconnect();
  await closed;
}

/** What Redis itself has, past the service. */
async function storedIds(redis: RedisServer): Promise<(string | undefined)[]> {
  const client = new Redis(redis.url);
  client.on("error", () => {});
  try {
    return (await client.xrange(stream, "-", "+")).map(([, fields]) => fields[1]);
  } finally {
    client.disconnect();
  }
}
