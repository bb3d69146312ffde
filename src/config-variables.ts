import { securityVariables } from "./config-security-variables.ts";

/** How the text of a variable is read. */
export type VariableKind =
  | { type: "text" }
  | { type: "secret" }
  | { type: "flag" }
  | { type: "integer"; min: number; max: number }
  | { type: "choice"; values: readonly string[] }
  | { type: "pattern"; pattern: RegExp; rule: string }
  | { type: "address" }
  | { type: "redis_url" };

/** One environment variable: everything that help text, `.env.example` and the reader know of it. */
export interface Variable {
  name: string;
  kind: VariableKind;
  /** Text that is read where the variable is not set. */
  default?: string;
  /** What help text says instead of the default. */
  note?: string;
  example: string;
  group:
    | "Site"
    | "Databases"
    | "Buffer"
    | "Processor and tracking"
    | "SQL queries"
    | "Result cache"
    | "Limits and timeouts"
    | "Server"
    | "Security";
  description: string;
}

/** Every variable that the service reads, in the order in which people meet them. */
export const variables: readonly Variable[] = [
  {
    name: "SITE_TYPE",
    kind: { type: "choice", values: ["main", "secondary"] },
    note: "required",
    example: "secondary",
    group: "Site",
    description: "main: writes go straight to the main database. secondary: writes go through the durable buffer.",
  },
  {
    name: "SITE_NAME",
    kind: {
      type: "pattern",
      pattern: /^[a-z0-9][a-z0-9_-]{0,62}$/,
      rule: "1 to 63 of a-z, 0-9, _ and -, starting with a letter or a digit",
    },
    note: "required",
    example: "chile",
    group: "Site",
    description: "Name of this site, unique among the sites of one main database. It never changes.",
  },
  ...database("MAIN", "the main database", "db.main.example.org", "10"),
  ...database("LOCAL", "the site's local database", "127.0.0.1", "20"),
  {
    name: "REDIS_URL",
    kind: { type: "redis_url" },
    note: "required at a secondary site",
    example: "redis://127.0.0.1:6379/0",
    group: "Buffer",
    description:
      "Redis 7.0 or newer that holds the buffer: appendonly yes, appendfsync always, maxmemory-policy noeviction. At the main site it keeps results alone.",
  },
  {
    ...integer("BUFFER_MAX_WRITES", 1_000_000, [1, 1_000_000_000]),
    group: "Buffer",
    description: "Most writes in the buffer; further ones are refused.",
  },
  {
    ...integer("BUFFER_MAX_BYTES", 1024 ** 3, [1024, Number.MAX_SAFE_INTEGER]),
    group: "Buffer",
    description: "Most bytes in the buffer; further writes are refused.",
  },
  {
    ...integer("BUFFER_RETENTION", 600, [0, 31_536_000]),
    group: "Buffer",
    description: "Seconds for which a write is kept after its proof on the replica, in case main fails over.",
  },
  {
    name: "BUFFER_ALLOW_UNSAFE",
    kind: { type: "flag" },
    default: "false",
    example: "false",
    group: "Buffer",
    description: "Development only: accept writes although Redis does not promise durability.",
  },
  {
    ...integer("SEQUENCE_BLOCK", 10_000, [1, 10_000_000]),
    group: "Buffer",
    description:
      "Values of each sequence that are leased from main, for keys of rows that are written while it is away.",
  },
  {
    ...integer("PROCESSOR_BATCH_WRITES", 500, [1, 100_000]),
    group: "Processor and tracking",
    description: "Most writes in one transaction on main.",
  },
  {
    ...integer("PROCESSOR_BATCH_BYTES", 1024 ** 2, [1024, 1024 ** 3]),
    group: "Processor and tracking",
    description: "Most bytes in one transaction on main; a larger write goes alone.",
  },
  {
    ...integer("PROCESSOR_IN_FLIGHT", 16, [1, 1024]),
    group: "Processor and tracking",
    description: "Transactions on their way to main at once.",
  },
  {
    ...integer("PROCESSOR_LEASE_MS", 5_000, [100, 3_600_000]),
    group: "Processor and tracking",
    description: "How long a processor that falls silent keeps its lease.",
  },
  {
    ...integer("TRACKER_POLL_MS", 10, [1, 60_000]),
    group: "Processor and tracking",
    description: "Time between looks at the replay LSN while something waits for it.",
  },
  {
    ...integer("TRACKER_IDLE_POLL_MS", 1_000, [1, 60_000]),
    group: "Processor and tracking",
    description: "Time between looks at the replay LSN while nothing waits for it.",
  },
  {
    ...integer("STATUS_POLL_MS", 1_000, [10, 60_000]),
    group: "Processor and tracking",
    description: "Time between looks at the state of replication.",
  },
  {
    name: "SQL_QUERIES",
    kind: { type: "choice", values: ["on", "off"] },
    default: "off",
    example: "on",
    group: "SQL queries",
    description: "on: Query takes read-only SQL statements as well.",
  },
  {
    name: "SQL_ROLE",
    kind: { type: "text" },
    note: "none: the user of the connection",
    example: "opsdb_reader",
    group: "SQL queries",
    description:
      "Role of the databases with whose rights these statements run; the service's user must be a member of it.",
  },
  {
    ...integer("SQL_MAX_ROWS", 10_000_000, [1, Number.MAX_SAFE_INTEGER]),
    group: "SQL queries",
    description: "Most rows of one result; a larger one is an error.",
  },
  {
    ...integer("SQL_MAX_BYTES", 4 * 1024 ** 3, [1024, Number.MAX_SAFE_INTEGER]),
    group: "SQL queries",
    description: "Most bytes of the values, as text, of one result; a larger one is an error.",
  },
  {
    ...integer("SQL_MAX_TEMP_BYTES", 1024 ** 3, [1024 ** 2, 1024 ** 4]),
    group: "SQL queries",
    description: "Most bytes of temporary files of one statement, where the service's user may set temp_file_limit.",
  },
  {
    ...integer("RESULT_CACHE_BYTES", 32 * 1024 ** 2, [0, 1024 ** 4]),
    group: "Result cache",
    description: "Most bytes of results kept in Redis, for queries with a max_age; 0: none are kept.",
  },
  {
    ...integer("RESULT_CACHE_ENTRY_BYTES", 256 * 1024, [1024, 16 * 1024 ** 2]),
    group: "Result cache",
    description: "Most bytes of one result; a larger one is not kept.",
  },
  {
    ...integer("RESULT_CACHE_TIMEOUT_MS", 100, [1, 60_000]),
    group: "Result cache",
    description: "How long a query waits for Redis to answer before it is read from the database.",
  },
  {
    ...integer("MAIN_TIMEOUT_MS", 5_000, [100, 3_600_000]),
    group: "Limits and timeouts",
    description: "How long a statement on main may stay unanswered before its connection is given up.",
  },
  {
    ...integer("LOCAL_TIMEOUT_MS", 5_000, [100, 3_600_000]),
    group: "Limits and timeouts",
    description: "How long a statement of the service itself on the local database may stay unanswered.",
  },
  {
    ...integer("REDIS_TIMEOUT_MS", 500, [10, 60_000]),
    group: "Limits and timeouts",
    description: "How long a Redis command may stay unanswered.",
  },
  {
    ...integer("CATALOG_REFRESH_MS", 5_000, [100, 3_600_000]),
    group: "Limits and timeouts",
    description: "Time between looks for changes of the schema.",
  },
  {
    ...integer("MESSAGE_MAX_BYTES", 4 * 1024 ** 2, [1024, 1024 ** 3]),
    group: "Limits and timeouts",
    description: "Largest message of a client.",
  },
  {
    ...integer("SHUTDOWN_GRACE_MS", 10_000, [0, 3_600_000]),
    group: "Limits and timeouts",
    description: "Time that running calls have to end after SIGTERM.",
  },
  {
    name: "LISTEN_ADDRESS",
    kind: { type: "address" },
    default: "127.0.0.1:8080",
    example: "0.0.0.0:8080",
    group: "Server",
    description: "host:port to listen on; IPv6 as [::1]:8080; with port 0 the system chooses one.",
  },
  {
    name: "LOG_LEVEL",
    kind: { type: "choice", values: ["trace", "debug", "info", "warn", "error", "fatal", "silent"] },
    default: "info",
    example: "info",
    group: "Server",
    description: "Least important log lines that are written.",
  },
  ...securityVariables,
];

function database(prefix: "MAIN" | "LOCAL", what: string, host: string, pool: string): Variable[] {
  const note = (otherwise: string) => (prefix === "MAIN" ? otherwise : `${otherwise}; at the main site as MAIN_DB_*`);
  const group = "Databases";
  return [
    {
      name: `${prefix}_DB_HOST`,
      kind: { type: "text" },
      note: note("required"),
      example: host,
      group,
      description: `Host of ${what}.`,
    },
    {
      name: `${prefix}_DB_PORT`,
      kind: { type: "integer", min: 1, max: 65_535 },
      default: "5432",
      note: note("5432"),
      example: "5432",
      group,
      description: `Port of ${what}.`,
    },
    {
      name: `${prefix}_DB_USER`,
      kind: { type: "text" },
      note: note("required"),
      example: "opsdb",
      group,
      description: `User at ${what}.`,
    },
    {
      name: `${prefix}_DB_PASSWORD`,
      kind: { type: "secret" },
      note: note("none"),
      example: "",
      group,
      description: `Password at ${what}. It is never printed.`,
    },
    {
      name: `${prefix}_DB_NAME`,
      kind: { type: "text" },
      note: note("required"),
      example: "observatory",
      group,
      description: `Name of ${what}.`,
    },
    {
      ...integer(`${prefix}_DB_POOL`, Number(pool), [1, 1000]),
      group,
      description: `Most connections of one process to ${what}.`,
    },
  ];
}

function integer(name: string, value: number, [min, max]: [number, number]) {
  return { name, kind: { type: "integer", min, max }, default: String(value), example: String(value) } as const;
}
