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
import { sql } from "../support/sql.ts";
import { createDatabase } from "../support/test-database.ts";

/** A door of a site, open until it is disposed of. */
async function openDoor(
  type: "main" | "secondary",
  { site, redisUrl, url }: Record<"site" | "redisUrl" | "url", string>,
) {
  const settings = siteSettings(type, { site, redisUrl, mainUrl: url, localUrl: url });
  const logged: string[] = [];
  const logger = createLogger({ level: "info", destination: { write: (line) => void logged.push(line) } });
  const door = new Door(readConfig({ ...settings, AUTH: "on", TOKEN_POLL_MS: "50" }), logger);
  const stop = new AbortController();
  const running = door.run(stop.signal, () => {});
  return {
    logged,
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
  const { site, redisUrl } = database;
  const nowhere = { site, redisUrl, url: `postgres://u:p@127.0.0.1:${await freePort()}/n` };
  await using main = await openDoor("main", nowhere);
  await using secondary = await openDoor("secondary", nowhere);
  await eventually(() => secondary.authenticate(text), Boolean, { what: "that the kept token is known" });
  expect(() => main.authenticate(text)).toThrow(expect.objectContaining({ reason: "ACCESS_TOKENS_UNAVAILABLE" }));
});

test("a token table that cannot be read is told in the log, also from the start, and again for another cause", async () => {
  await using database = await createDatabase();
  const change = (statement: string): Promise<unknown> => sql(database.primaryUrl, statement);
  await change("alter table opsdb.access_token rename to token_of_access");
  const { site, redisUrl, primaryUrl: url } = database;
  await using door = await openDoor("secondary", { site, redisUrl, url });
  const told = (): string[] => door.logged.filter((line) => line.includes("the access tokens cannot be read"));
  await eventually(told, ([first]) => first?.includes("access_token") === true);
  await change("alter table opsdb.token_of_access rename column hash to digest");
  await change("alter table opsdb.token_of_access rename to access_token");
  await eventually(told, ([, second]) => second?.includes("hash") === true);
  await change("alter table opsdb.access_token rename column digest to hash");
  await eventually(() => door.logged.some((line) => line.includes("the access tokens were read")));
  expect(told()).toHaveLength(2);
});
