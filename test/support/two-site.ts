import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { migrate } from "../../src/postgres/migrate.ts";
import { ApiServer } from "./api-server.ts";
import { removeAtEnd } from "./janitor.ts";
import { Link } from "./link.ts";
import type { Address, PostgresPair, PostgresServer, StandbyServer } from "./postgres-pair.ts";
import type { RedisServer } from "./redis-server.ts";
import { startPair, startRedisServer } from "./services.ts";
import { sql } from "./sql.ts";

export type SiteRole = "main" | "secondary";

export interface TwoSiteOptions {
  /** Default 0. */
  roundTripMs?: number;
  /** Of the databases; Redis always has it. Default off. */
  fsync?: boolean;
  /** Whether the API servers are started. Default true. */
  servers?: boolean;
  /** Directory for the servers' logs. Default: a temporary one that is removed in the end. */
  logs?: string;
  logLevel?: string;
  /** More configuration, by environment names. */
  env?: Partial<Record<SiteRole, Record<string, string>>>;
  redis?: Record<string, string>;
  /**
   * Whether the WAL stream has a link of its own, and the local database an address that can be led elsewhere, as a
   * failover needs it. Default false: one link for all.
   */
  separateLinks?: boolean;
}

export const databaseName = "observatory";
export const secondarySiteName = "ccat";
const mainSiteName = "cologne";

/** Runs the migrations and loads the observatory schema. */
export async function prepareDatabase(url: string): Promise<void> {
  await migrate(url);
  await sql(url, readFileSync(join(import.meta.dirname, "observatory.sql"), "utf8"));
}

/**
 * Both sites on real parts: primary, standby and Redis, one API server for each site, and the link between the sites,
 * which the standby's WAL stream and all connections of the secondary site to the main database go through.
 */
export class TwoSite implements AsyncDisposable {
  readonly primary: PostgresServer;
  readonly standby: StandbyServer;
  readonly redis: RedisServer;
  readonly link: Link;
  /** What the standby's WAL stream goes through: the same as `link` unless they are separate. */
  readonly walLink: Link;
  /** One more standby; missing where the servers are containers. */
  readonly anotherStandby: PostgresPair["anotherStandby"];
  readonly main: ApiServer;
  readonly secondary: ApiServer;
  readonly logs: string;
  readonly #stack: AsyncDisposableStack;
  readonly #servers: ApiServer[] = [];
  readonly #environments: Record<SiteRole, Record<string, string>>;
  readonly #mainAddress: Address;
  readonly #local: LocalRoute | undefined;

  constructor(parts: {
    pair: PostgresPair;
    redis: RedisServer;
    link: Link;
    walLink: Link;
    mainThroughLink: Address;
    local: LocalRoute | undefined;
    logs: string;
    stack: AsyncDisposableStack;
    options: TwoSiteOptions;
  }) {
    const { pair, redis, link, logs, stack, options } = parts;
    this.primary = pair.primary;
    this.standby = pair.standby;
    this.redis = redis;
    this.link = link;
    this.walLink = parts.walLink;
    this.anotherStandby = pair.anotherStandby;
    this.#mainAddress = parts.mainThroughLink;
    this.#local = parts.local;
    this.logs = logs;
    this.#stack = stack;
    const logLevel = options.logLevel ?? "info";
    this.#environments = {
      main: {
        SITE_TYPE: "main",
        SITE_NAME: mainSiteName,
        ...database("MAIN", pair.primary),
        ...database("LOCAL", pair.primary),
        LOG_LEVEL: logLevel,
        ...options.env?.main,
      },
      secondary: {
        SITE_TYPE: "secondary",
        SITE_NAME: secondarySiteName,
        ...database("MAIN", parts.mainThroughLink),
        ...database("LOCAL", parts.local?.address ?? pair.standby),
        REDIS_URL: redis.url,
        LOG_LEVEL: logLevel,
        ...options.env?.secondary,
      },
    };
    this.main = this.#server("main", "main");
    this.secondary = this.#server("secondary", "secondary");
  }

  /** URLs of the observatory's database. */
  get urls(): { main: string; secondary: string } {
    return { main: this.primary.urlOf(databaseName), secondary: this.standby.urlOf(databaseName) };
  }

  /** Leads the secondary site's connections to the main database to this server from now on. */
  mainIs(server: Address): void {
    this.link.retarget(this.#mainAddress, server);
  }

  /** Leads the secondary site's connections to its local database to this server from now on. */
  localIs(server: Address): void {
    if (!this.#local) throw new Error("the local database has a fixed address unless the links are separate");
    this.#local.link.retarget(this.#local.address, server);
  }

  /** One more API server of a site, not started yet, with further configuration. It ends with the rest. */
  anotherServer(role: SiteRole, name: string, env: Record<string, string> = {}): ApiServer {
    return this.#server(role, name, env);
  }

  /** Configuration of a site's server, by environment names. */
  environment(role: SiteRole): Record<string, string> {
    return { ...this.#environments[role] };
  }

  /** The servers end first, all at once, while what they need is still there. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.stop()));
    await this.#stack.disposeAsync();
  }

  #server(role: SiteRole, name: string, env: Record<string, string> = {}): ApiServer {
    const log = join(this.logs, `${name}.log`);
    return this.#stack.use(new ApiServer({ env: { ...this.#environments[role], ...env }, log }));
  }
}

/** Starts both sites. Resolves when every service can do its work, or, without servers, when the standby has the schema. */
export async function startTwoSite(options: TwoSiteOptions = {}): Promise<TwoSite> {
  const stack = new AsyncDisposableStack();
  try {
    return await assemble(stack, options);
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

async function assemble(stack: AsyncDisposableStack, options: TwoSiteOptions): Promise<TwoSite> {
  const logs =
    options.logs ?? stack.adopt(temporaryDirectory(), (path) => rmSync(path, { recursive: true, force: true }));
  mkdirSync(logs, { recursive: true });
  const link = stack.use(new Link());
  const walLink = options.separateLinks ? stack.use(new Link()) : link;
  const [pair, redis] = await Promise.all([
    startPair({
      fsync: options.fsync ?? false,
      standbyVia: (primary) => walLink.forward(primary),
    }).then((it) => stack.use(it)),
    startRedisServer({ config: options.redis ?? {} }).then((it) => stack.use(it)),
  ]);
  await sql(pair.primary.url, `create database ${databaseName}`);
  await prepareDatabase(pair.primary.urlOf(databaseName));
  await pair.standby.caughtUp();
  const mainThroughLink = await link.forward(pair.primary);
  const local = options.separateLinks ? await localRoute(stack.use(new Link()), pair.standby) : undefined;
  for (const each of [link, walLink]) each.setRoundTrip(options.roundTripMs ?? 0);
  const site = new TwoSite({ pair, redis, link, walLink, mainThroughLink, local, logs, stack, options });
  if (options.servers ?? true) {
    stack.use(site.main);
    stack.use(site.secondary);
    await Promise.all([site.main, site.secondary].map((server) => server.start().then(() => server.ready())));
  }
  return site;
}

/** The address of the local database, and what leads from there to a server. */
interface LocalRoute {
  link: Link;
  address: Address;
}

async function localRoute(link: Link, standby: Address): Promise<LocalRoute> {
  return { link, address: await link.forward(standby) };
}

function database(prefix: "MAIN" | "LOCAL", { host, port }: Address): Record<string, string> {
  return {
    [`${prefix}_DB_HOST`]: host,
    [`${prefix}_DB_PORT`]: String(port),
    [`${prefix}_DB_USER`]: "postgres",
    [`${prefix}_DB_PASSWORD`]: "postgres",
    [`${prefix}_DB_NAME`]: databaseName,
  };
}

function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), "opsdb-logs-"));
  removeAtEnd(path);
  return path;
}
