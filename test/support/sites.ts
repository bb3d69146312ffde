import { createHash, randomUUID } from "node:crypto";
import { type Config, readConfig } from "../../src/config.ts";
import { createLogger } from "../../src/lib/logger.ts";
import { textsOf } from "../../src/postgres/row-bytes.ts";
import type { QueryHeader, TableQuery } from "../../src/query/table-query.ts";
import { MainSite } from "../../src/site/main-site.ts";
import { SecondarySite } from "../../src/site/secondary-site.ts";
import type { Site, WriteAck, WriteOptions } from "../../src/site/site.ts";
import type { TextValue, Value } from "../../src/value.ts";
import type { Operation, RequestedMutation, RequestedWrite } from "../../src/write.ts";
import { wholeTable } from "./whole-table.ts";

/** A site in this process, its background work running. */
export interface RunningSite extends AsyncDisposable {
  readonly site: Site;
}

export interface SiteAddresses {
  site: string;
  mainUrl: string;
  localUrl: string;
  redisUrl: string;
}

/** Opens a site and waits until it can write and read, unless it is not to be `ready`. `settings` are environment variables on top of the usual ones. */
export async function openSite(
  type: "main" | "secondary",
  addresses: SiteAddresses,
  settings: Record<string, string> = {},
  ready = true,
): Promise<RunningSite> {
  const config = readConfig({ ...siteSettings(type, addresses), ...settings });
  const logger = createLogger({ level: (process.env.TEST_LOG_LEVEL ?? "silent") as "silent" });
  const site = create(config, logger);
  const stop = new AbortController();
  const running = site.run(stop.signal);
  if (ready) await site.health.until(({ write, query }) => write.serving && query.serving, AbortSignal.timeout(10_000));
  return {
    site,
    async [Symbol.asyncDispose]() {
      stop.abort(new Error("the site is closed"));
      await running;
      await site[Symbol.asyncDispose]();
    },
  };
}

/** The environment of a site in tests. */
export function siteSettings(type: "main" | "secondary", addresses: SiteAddresses): Record<string, string> {
  return {
    SITE_TYPE: type,
    SITE_NAME: addresses.site,
    ...databaseSettings("MAIN", addresses.mainUrl),
    ...databaseSettings("LOCAL", addresses.localUrl),
    REDIS_URL: addresses.redisUrl,
    TRACKER_IDLE_POLL_MS: "100",
    STATUS_POLL_MS: "100",
  };
}

function create(config: Config, logger: ReturnType<typeof createLogger>): Site {
  return config.site.type === "main" ? new MainSite(config, logger) : new SecondarySite(config, config.site, logger);
}

function databaseSettings(prefix: string, url: string): Record<string, string> {
  const { hostname, port, username, password, pathname } = new URL(url);
  return {
    [`${prefix}_DB_HOST`]: hostname,
    [`${prefix}_DB_PORT`]: port,
    [`${prefix}_DB_USER`]: decodeURIComponent(username),
    [`${prefix}_DB_PASSWORD`]: decodeURIComponent(password),
    [`${prefix}_DB_NAME`]: pathname.slice(1),
  };
}

/** Values as a client would send them: text for all types. */
export function values(given: Record<string, string | null>): Record<string, Value> {
  return Object.fromEntries(
    Object.entries(given).map(([name, value]): [string, Value] => [
      name,
      value === null ? { kind: "null" } : { kind: "string", value },
    ]),
  );
}

export function mutation(
  operation: Operation,
  table: string,
  { key = {}, set = {} }: { key?: Record<string, string>; set?: Record<string, string | null> },
): RequestedMutation {
  return { table, operation, key: values(key), values: values(set), preconditions: [] };
}

/** A request with an id of its own; its hash depends on the content, as the service makes it. */
export function request(...mutations: RequestedMutation[]): RequestedWrite {
  const payloadHash = createHash("sha256").update(JSON.stringify(mutations)).digest();
  return { writeId: randomUUID(), fresh: false, payloadHash, mutations };
}

export async function write(
  site: Site,
  requested: RequestedWrite,
  options: Partial<WriteOptions> = {},
): Promise<WriteAck> {
  return await site.write(requested, {
    mode: "critical",
    waitFor: "ACCEPTED",
    waitMs: 10_000,
    signal: new AbortController().signal,
    ...options,
  });
}

export interface QueryResult {
  header: QueryHeader;
  rows: TextValue[][];
}

/** The whole result; fails where the trailer is missing or counts other rows. */
export async function read(site: Site, query: Partial<TableQuery> & { table: string }): Promise<QueryResult> {
  const parts = site.query(wholeTable(query), { timeoutMs: 10_000, signal: new AbortController().signal });
  let header: QueryHeader | undefined;
  const rows: TextValue[][] = [];
  let trailer: number | undefined;
  for await (const part of parts) {
    if (part.kind === "header") header = part.header;
    else if (part.kind === "batch") rows.push(...part.rows.map((row) => textsOf(row).slice(0, header?.columns.length)));
    else trailer = part.rowCount;
  }
  if (!header || trailer !== rows.length) throw new Error("the result is incomplete");
  return { header, rows };
}

/** Resolves when the write, and so every write before it, is visible on the site's replica. */
export async function home(site: Site, { status }: WriteAck): Promise<void> {
  for await (const { state } of site.followWrite(status.writeId, AbortSignal.timeout(20_000)))
    if (state === "REJECTED") throw new Error(`write ${status.writeId} was rejected`);
}
