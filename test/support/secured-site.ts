import type { Interceptor, Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { Registry } from "prom-client";
import { readConfig } from "../../src/config.ts";
import { createLogger } from "../../src/lib/logger.ts";
import { insertAccessToken, type NewAccessToken } from "../../src/postgres/access-tokens.ts";
import { createServer, defaultLimits } from "../../src/rpc/server.ts";
import { newBearerToken } from "../../src/security/bearer-token.ts";
import { Door } from "../../src/security/door.ts";
import type { Site } from "../../src/site/site.ts";
import { eventually } from "./eventually.ts";
import { openSite, siteSettings } from "./sites.ts";
import { sql } from "./sql.ts";
import type { TestDatabase } from "./test-database.ts";

/** A site with its door, over the network, in this process. */
export interface SecuredSite extends AsyncDisposable {
  readonly site: Site;
  readonly baseUrl: string;
  readonly logged: string[];
  /** A gRPC connection of its own that shows this token. */
  connect(token: string | undefined): Transport;
  /** Resolves when the site knows the token. */
  knows(token: string): Promise<void>;
}

/** Serves a site of the database with AUTH=on. `settings` are environment variables on top of the usual ones. */
export async function serveSecured(
  type: "main" | "secondary",
  database: TestDatabase,
  settings: Record<string, string> = {},
  ready = true,
): Promise<SecuredSite> {
  const { site: name, primaryUrl: mainUrl, redisUrl } = database;
  const addresses = {
    site: name,
    mainUrl,
    localUrl: type === "main" ? mainUrl : database.standbyUrl,
    redisUrl,
  };
  const all = { AUTH: "on", TOKEN_POLL_MS: "50", ...settings };
  const config = readConfig({ ...siteSettings(type, addresses), ...all });
  const logged: string[] = [];
  const logger = createLogger({ level: "info", destination: { write: (line) => void logged.push(line) } });
  const stack = new AsyncDisposableStack();
  const { site } = stack.use(await openSite(type, addresses, all, ready));
  const door = stack.use(new Door(config, logger));
  const registry = new Registry();
  const { authenticator } = door;
  const security = { certificates: undefined, authenticator, access: config.security.access };
  const server = createServer({ site, limits: defaultLimits, logger, registry, security });
  const stop = new AbortController();
  const keeping = door.run(stop.signal, () => {});
  stack.defer(async () => {
    stop.abort(new Error("the site is closed"));
    await keeping;
  });
  stack.defer(() => server.close(0));
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const baseUrl = `http://127.0.0.1:${port}`;
  return {
    site,
    baseUrl,
    logged,
    connect(token) {
      const sessionManager = new Http2SessionManager(baseUrl);
      stack.defer(() => sessionManager.abort());
      const interceptors = token === undefined ? [] : [bearer(token)];
      return createGrpcTransport({ baseUrl, sessionManager, interceptors, defaultTimeoutMs: 20_000 });
    },
    async knows(token) {
      await eventually(() => authenticator?.authenticate(`Bearer ${token}`), Boolean, {
        what: "that the token is known",
      });
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

export type TokenInit = Partial<Omit<NewAccessToken, "id" | "hash">> & { revoked?: boolean };

/** Makes a token on the main database. */
export async function issueToken(mainUrl: string, init: TokenInit): Promise<string> {
  const { id, text, hash } = newBearerToken();
  const { revoked, ...given } = init;
  const statement = insertAccessToken({
    name: "test",
    roles: ["read"],
    tables: [],
    calls_per_second: null,
    burst: null,
    message_bytes: null,
    created_by: "test",
    expires_at: null,
    ...given,
    id,
    hash: hash.toString("hex"),
  });
  await sql(mainUrl, statement.text, statement.values);
  if (revoked) await revokeToken(mainUrl, text);
  return text;
}

export async function revokeToken(mainUrl: string, token: string): Promise<void> {
  await sql(mainUrl, "update opsdb.access_token set revoked_at = now() where id = $1", [token.split("_")[1]]);
}

export function bearer(token: string): Interceptor {
  return (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
}
