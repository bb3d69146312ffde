import { readSecurity, type SecurityConfig } from "./config-security.ts";
import { type Variable, variables } from "./config-variables.ts";

export interface DatabaseConfig {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string | undefined;
  readonly database: string;
  readonly pool: number;
}

export interface MainSiteConfig {
  readonly type: "main";
  readonly name: string;
  readonly redisUrl: string | undefined;
}

export interface SecondarySiteConfig {
  readonly type: "secondary";
  readonly name: string;
  readonly redisUrl: string;
  readonly buffer: {
    readonly maxWrites: number;
    readonly maxBytes: number;
    readonly retentionMs: number;
    readonly allowUnsafe: boolean;
  };
  readonly sequenceBlock: number;
  readonly processor: {
    readonly batchWrites: number;
    readonly batchBytes: number;
    readonly inFlight: number;
    readonly leaseMs: number;
  };
}

/** The whole configuration of one process. What only one kind of site has is inside `site`. */
export interface Config {
  readonly site: MainSiteConfig | SecondarySiteConfig;
  readonly main: DatabaseConfig;
  readonly local: DatabaseConfig;
  readonly listen: { readonly host: string; readonly port: number };
  readonly logLevel: "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "silent";
  readonly tracker: { readonly pollMs: number; readonly idlePollMs: number };
  readonly sql: {
    readonly enabled: boolean;
    readonly role: string | undefined;
    readonly maxRows: number;
    readonly maxBytes: number;
    readonly maxTempBytes: number;
  };
  readonly statusPollMs: number;
  readonly catalogRefreshMs: number;
  readonly mainTimeoutMs: number;
  readonly localTimeoutMs: number;
  readonly redisTimeoutMs: number;
  readonly resultCache: { readonly bytes: number; readonly entryBytes: number; readonly timeoutMs: number };
  readonly messageMaxBytes: number;
  readonly shutdownGraceMs: number;
  readonly security: SecurityConfig;
}

export type Environment = Readonly<Record<string, string | undefined>>;

export interface ConfigProblem {
  variable: string;
  problem: string;
  example: string;
}

/** The environment is not a configuration; lists everything that is wrong with it. Never holds a secret. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    const lines = problems.map((p) => `  ${p.variable}: ${p.problem} (example: ${p.variable}=${p.example})`);
    super(
      `the configuration has ${problems.length === 1 ? "a problem" : `${problems.length} problems`}:\n${lines.join("\n")}`,
    );
    this.problems = problems;
  }
}

/** Reads the whole configuration. Throws one ConfigError with every problem. An empty variable counts as not set. */
export function readConfig(env: Environment): Config {
  const reader = new Reader(env);
  const type = reader.text("SITE_TYPE");
  const name = reader.text("SITE_NAME");
  const main = reader.database("MAIN", undefined);
  const listen = parseAddress(reader.text("LISTEN_ADDRESS"));
  const config: Config = {
    site: type === "main" ? mainSite(reader, name) : secondarySite(reader, name),
    main,
    local: reader.database("LOCAL", type === "main" ? main : undefined),
    listen: listen ?? { host: "", port: 0 },
    logLevel: reader.text("LOG_LEVEL") as Config["logLevel"],
    tracker: { pollMs: reader.integer("TRACKER_POLL_MS"), idlePollMs: reader.integer("TRACKER_IDLE_POLL_MS") },
    sql: {
      enabled: reader.text("SQL_QUERIES") === "on",
      role: reader.optional("SQL_ROLE"),
      maxRows: reader.integer("SQL_MAX_ROWS"),
      maxBytes: reader.integer("SQL_MAX_BYTES"),
      maxTempBytes: reader.integer("SQL_MAX_TEMP_BYTES"),
    },
    statusPollMs: reader.integer("STATUS_POLL_MS"),
    catalogRefreshMs: reader.integer("CATALOG_REFRESH_MS"),
    mainTimeoutMs: reader.integer("MAIN_TIMEOUT_MS"),
    localTimeoutMs: reader.integer("LOCAL_TIMEOUT_MS"),
    redisTimeoutMs: reader.integer("REDIS_TIMEOUT_MS"),
    resultCache: {
      bytes: reader.integer("RESULT_CACHE_BYTES"),
      entryBytes: reader.integer("RESULT_CACHE_ENTRY_BYTES"),
      timeoutMs: reader.integer("RESULT_CACHE_TIMEOUT_MS"),
    },
    messageMaxBytes: reader.integer("MESSAGE_MAX_BYTES"),
    shutdownGraceMs: reader.integer("SHUTDOWN_GRACE_MS"),
    security: readSecurity(reader, listen?.host ?? "localhost"),
  };
  reader.finish();
  return deepFreeze(config);
}

/** The main database alone, for commands that need nothing else. Throws ConfigError. */
export function readMainDatabase(env: Environment): DatabaseConfig {
  const reader = new Reader(env);
  const main = reader.database("MAIN", undefined);
  reader.finish();
  return deepFreeze(main);
}

/** The configuration for a log line: without passwords. */
export function describeConfig(config: Config): Record<string, unknown> {
  const database = ({ password, ...rest }: DatabaseConfig) => ({
    ...rest,
    password: password === undefined ? "none" : "set",
  });
  const { redisUrl, ...site } = config.site;
  return {
    ...config,
    site: redisUrl === undefined ? site : { ...site, redisUrl: withoutPassword(redisUrl) },
    main: database(config.main),
    local: database(config.local),
  };
}

function mainSite(reader: Reader, name: string): MainSiteConfig {
  return { type: "main", name, redisUrl: reader.optional("REDIS_URL") };
}

function secondarySite(reader: Reader, name: string): SecondarySiteConfig {
  return {
    type: "secondary",
    name,
    redisUrl: reader.text("REDIS_URL"),
    buffer: {
      maxWrites: reader.integer("BUFFER_MAX_WRITES"),
      maxBytes: reader.integer("BUFFER_MAX_BYTES"),
      retentionMs: reader.integer("BUFFER_RETENTION") * 1000,
      allowUnsafe: reader.text("BUFFER_ALLOW_UNSAFE") === "true",
    },
    sequenceBlock: reader.integer("SEQUENCE_BLOCK"),
    processor: {
      batchWrites: reader.integer("PROCESSOR_BATCH_WRITES"),
      batchBytes: reader.integer("PROCESSOR_BATCH_BYTES"),
      inFlight: reader.integer("PROCESSOR_IN_FLIGHT"),
      leaseMs: reader.integer("PROCESSOR_LEASE_MS"),
    },
  };
}

/** Collects problems instead of throwing at the first; what it returns after a problem is never used. */
class Reader {
  readonly #env: Environment;
  readonly #problems: ConfigProblem[] = [];

  constructor(env: Environment) {
    this.#env = env;
  }

  optional(name: string): string | undefined {
    const variable = find(name);
    const text = this.#env[name] || variable.default;
    if (text === undefined) return undefined;
    const problem = check(variable, text);
    if (problem !== undefined) this.#add(variable, problem);
    return text;
  }

  text(name: string): string {
    const text = this.optional(name);
    if (text === undefined) this.#add(find(name), "is not set");
    return text ?? "";
  }

  integer(name: string): number {
    return Number(this.text(name));
  }

  /** A variable that is not set is taken from the fallback. */
  database(prefix: "MAIN" | "LOCAL", fallback: DatabaseConfig | undefined): DatabaseConfig {
    const text = (part: string, otherwise: string | undefined) =>
      otherwise !== undefined && !this.#env[`${prefix}_DB_${part}`] ? otherwise : this.text(`${prefix}_DB_${part}`);
    return {
      host: text("HOST", fallback?.host),
      port: Number(text("PORT", fallback && String(fallback.port))),
      user: text("USER", fallback?.user),
      password: this.optional(`${prefix}_DB_PASSWORD`) ?? fallback?.password,
      database: text("NAME", fallback?.database),
      pool: this.integer(`${prefix}_DB_POOL`),
    };
  }

  problem(name: string, problem: string): void {
    this.#add(find(name), problem);
  }

  finish(): void {
    if (this.#problems.length > 0) throw new ConfigError(this.#problems);
  }

  #add(variable: Variable, problem: string): void {
    this.#problems.push({ variable: variable.name, problem, example: variable.example });
  }
}

function find(name: string): Variable {
  const variable = variables.find((v) => v.name === name);
  if (!variable) throw new Error(`bug: ${name} is not in the table of variables`);
  return variable;
}

function check({ kind }: Variable, text: string): string | undefined {
  switch (kind.type) {
    case "text":
    case "secret":
      return undefined;
    case "flag":
      return text === "true" || text === "false" ? undefined : `must be true or false, not ${JSON.stringify(text)}`;
    case "choice":
      return kind.values.includes(text)
        ? undefined
        : `must be one of ${kind.values.join(", ")}, not ${JSON.stringify(text)}`;
    case "pattern":
      return kind.pattern.test(text) ? undefined : `must be ${kind.rule}, not ${JSON.stringify(text)}`;
    case "integer": {
      const fits = /^\d{1,16}$/.test(text) && Number(text) >= kind.min && Number(text) <= kind.max;
      return fits ? undefined : `must be an integer from ${kind.min} to ${kind.max}, not ${JSON.stringify(text)}`;
    }
    case "address":
      return parseAddress(text) ? undefined : `must be host:port, not ${JSON.stringify(text)}`;
    case "redis_url":
      // The value is not repeated: it may hold a password.
      return isRedisUrl(text) ? undefined : "must be a redis:// or rediss:// URL";
  }
}

function parseAddress(text: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/i.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host !== undefined && port <= 65_535 ? { host, port } : undefined;
}

function isRedisUrl(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && ["redis:", "rediss:"].includes(url.protocol) && url.hostname !== "";
}

function withoutPassword(text: string): string {
  const url = new URL(text);
  if (url.password) url.password = "***";
  return url.href;
}

function deepFreeze<T extends object>(value: T): T {
  for (const inner of Object.values(value)) if (typeof inner === "object" && inner !== null) deepFreeze(inner);
  return Object.freeze(value);
}
