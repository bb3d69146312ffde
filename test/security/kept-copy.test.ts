import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import pg from "pg";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createLogger } from "../../src/lib/logger.ts";
import { CopyKeeper } from "../../src/security/copy-keeper.ts";
import { type KeptCopy, redisCopy } from "../../src/security/kept-copy.ts";
import { KeySetKeeper } from "../../src/security/key-set-keeper.ts";
import { TokenKeeper } from "../../src/security/token-keeper.ts";
import { eventually } from "../support/eventually.ts";
import { signingKey } from "../support/identity-provider.ts";
import { issueToken } from "../support/secured-site.ts";
import { createDatabase, type TestDatabase } from "../support/test-database.ts";

const logger = createLogger({ level: "silent" });
const long = 3_600_000;
let database: TestDatabase;
let redis: Redis;
let key: string;
let copy: KeptCopy;

beforeEach(async () => {
  database = await createDatabase();
  redis = new Redis(database.redisUrl);
  key = `opsdb:{${database.site}}:copy`;
  copy = redisCopy({ url: database.redisUrl, key, timeoutMs: 5_000 });
});

afterEach(async () => {
  redis.disconnect();
  await database[Symbol.asyncDispose]();
});

/** Runs what keeps the copy, and sees that it is there again after Redis was emptied, and after it was restored from an older state. */
async function staysKept(keeper: { run(signal: AbortSignal): Promise<void> }, expected: string): Promise<void> {
  const stop = new AbortController();
  const running = keeper.run(stop.signal);
  const isKept = (): Promise<unknown> =>
    eventually(
      () => redis.get(key),
      (text) => text?.includes(expected) === true,
    );
  try {
    await isKept();
    await redis.del(key);
    await isKept();
    await redis.set(key, "[]");
    await isKept();
  } finally {
    stop.abort(new Error("the test is over"));
    await running;
  }
}

test("the copy of the access tokens is kept also where nothing is new and Redis has lost or changed it", async () => {
  const token = await issueToken(database.primaryUrl, {});
  const pool = new pg.Pool({ connectionString: database.primaryUrl });
  const times = { pollMs: 20, timeoutMs: 5_000, keepCopyMs: 20 };
  const keeper = new TokenKeeper({ pool, copy, callsPerSecond: 0, logger, ...times });
  await staysKept(keeper, token.split("_")[1] ?? "").finally(() => pool.end());
});

test("the copy of a provider's keys is kept also where nothing is new and Redis has lost or changed it", async () => {
  const directory = mkdtempSync(join(tmpdir(), "keys-"));
  const source = join(directory, "keys.json");
  writeFileSync(source, JSON.stringify({ keys: [(await signingKey("kept")).jwk] }));
  const times = { refreshMs: long, timeoutMs: 5_000, keepCopyMs: 20 };
  const keeper = new KeySetKeeper({ source, copy, logger, changed: () => {}, ...times });
  await staysKept(keeper, "kept").finally(() => rmSync(directory, { recursive: true }));
});

test("while the source is away a lost copy is written again, and one that another process wrote stays", async () => {
  const keeper = new CopyKeeper({ copy, what: "the test", logger, everyMs: 20 });
  await keeper.keep("older");
  await redis.set(key, "newer");
  let looks = 0;
  const stop = new AbortController();
  const running = keeper.run(stop.signal, () => {
    looks += 1;
    return false;
  });
  await eventually(() => looks > 2); // by then one writing has ended
  expect(await redis.get(key)).toBe("newer");
  await redis.del(key);
  await eventually(
    () => redis.get(key),
    (text) => text === "older",
  );
  stop.abort(new Error("the test is over"));
  await running;
});
