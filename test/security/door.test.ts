import { Redis } from "ioredis";
import { expect, test } from "vitest";
import { readConfig } from "../../src/config.ts";
import { createLogger } from "../../src/lib/logger.ts";
import type { AccessTokenRow } from "../../src/postgres/access-tokens.ts";
import { newBearerToken } from "../../src/security/bearer-token.ts";
import { Door } from "../../src/security/door.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/free-port.ts";
import { siteSettings } from "../support/sites.ts";
import { createDatabase } from "../support/test-database.ts";

/** A door whose site finds no database, open until it is disposed of. */
async function openDoor(type: "main" | "secondary", { site, redisUrl }: { site: string; redisUrl: string }) {
  const nowhere = `postgres://u:p@127.0.0.1:${await freePort()}/n`;
  const settings = siteSettings(type, { site, redisUrl, mainUrl: nowhere, localUrl: nowhere });
  const door = new Door(
    readConfig({ ...settings, AUTH: "on", TOKEN_POLL_MS: "50" }),
    createLogger({ level: "silent" }),
  );
  const stop = new AbortController();
  const running = door.run(stop.signal, () => {});
  return {
    authenticate: (token: string) => door.authenticator?.authenticate(`Bearer ${token}`),
    async [Symbol.asyncDispose]() {
      stop.abort(new Error("the test is over"));
      await running;
      await door[Symbol.asyncDispose]();
    },
  };
}

test("a main site takes no tokens from the Redis of its query results, a secondary site those of its kept copy", async () => {
  await using database = await createDatabase();
  const { id, hash, text } = newBearerToken();
  const row: AccessTokenRow = {
    id,
    name: "kept",
    hash: hash.toString("hex"),
    roles: ["admin"],
    tables: [],
    calls_per_second: null,
    burst: null,
    message_bytes: null,
    created_by: "test",
    created_at: 1,
    expires_at: null,
    revoked_at: null,
  };
  const redis = new Redis(database.redisUrl);
  await redis.set(`opsdb:{${database.site}}:access-tokens`, JSON.stringify([row]));
  redis.disconnect();
  await using main = await openDoor("main", database);
  await using secondary = await openDoor("secondary", database);
  await eventually(() => secondary.authenticate(text), Boolean, { what: "that the kept token is known" });
  expect(() => main.authenticate(text)).toThrow(expect.objectContaining({ reason: "ACCESS_TOKENS_UNAVAILABLE" }));
});
