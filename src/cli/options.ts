/** One option, as parseArgs and help know it. */
interface Option {
  type: "boolean" | "string";
  short?: string;
  /** It may be given several times. */
  multiple?: true;
  /** What stands for its value in help. */
  value?: string;
  meaning: string;
  /** All values that it takes, for completion. */
  values?: readonly string[];
}

/** Every option that some command takes. */
export const optionTable = {
  help: { type: "boolean", short: "h", meaning: "Show this text." },
  version: { type: "boolean", short: "V", meaning: "Show the version." },
  server: {
    type: "string",
    value: "HOST:PORT",
    meaning: "A server of the site. Default: OPSDB_SERVER, else 127.0.0.1:8080.",
  },
  json: { type: "boolean", meaning: "Print JSON, one answer, row or event a line." },
  timeout: { type: "string", value: "TIME", meaning: "Give up after this time, such as 500ms, 30s or 5m." },
  operator: { type: "string", value: "NAME", meaning: "Who does it; kept on record. Default: your user name." },
  reason: { type: "string", value: "TEXT", meaning: "Why; kept on record. Required." },
  site: {
    type: "string",
    value: "NAME",
    meaning: "At the main site: only writes of this site. Default: of all sites.",
  },
  all: { type: "boolean", meaning: "Also writes that were retried or discarded." },
  applied: {
    type: "boolean",
    meaning: "Tell writes once they are applied to the main database. Default: once they are replicated.",
  },
  rejected: { type: "boolean", meaning: "Only writes that were rejected." },
  after: { type: "string", value: "POSITION", meaning: "Go on after this position. Default: from now on." },
  limit: { type: "string", value: "N", meaning: "End after N of them. Default: no limit." },
  "write-id": {
    type: "string",
    value: "UUID",
    meaning: "The id that makes it one write, however often it is sent. Default: a new one.",
  },
  wait: {
    type: "string",
    value: "STATE",
    values: ["applied", "replicated"],
    meaning: "Answer once the write is applied on the main database, or replicated here. Default: once it is durable.",
  },
  atomic: { type: "boolean", meaning: "All of standard input is one write: all of it takes effect, or nothing." },
  batch: { type: "string", value: "N", meaning: "N values of standard input make one write. Default: 1." },
  columns: { type: "string", value: "A,B,...", meaning: "Columns to show, in this order. Default: all." },
  where: {
    type: "string",
    multiple: true,
    value: "CONDITION",
    meaning: "Only such rows: 'COLUMN OPERATOR VALUE'. Given several times, all must hold.",
  },
  order: { type: "string", value: "A,B desc,...", meaning: "The order of the rows. Default: none is promised." },
  consistency: {
    type: "string",
    value: "WHICH",
    values: ["merged", "local", "main"],
    meaning: "Read merged (with pending writes), local (the replica alone) or main. Default: merged.",
  },
  "max-age": {
    type: "string",
    value: "TIME",
    meaning: "A result that was read so long ago will do, such as 10s. Default: what is true now.",
  },
  count: { type: "boolean", meaning: "Count rows instead of showing them." },
  aggregate: {
    type: "string",
    multiple: true,
    value: "FUNCTION(COLUMN)",
    meaning: "count, count_distinct, sum, avg, min or max of a column, instead of rows.",
  },
  "group-by": { type: "string", value: "A,B,...", meaning: "One row for each combination of these columns." },
  sql: { type: "string", value: "SELECT", meaning: "A read-only SQL statement instead of a table." },
  param: { type: "string", multiple: true, value: "VALUE", meaning: "The next of $1, $2, ... in --sql." },
  format: {
    type: "string",
    value: "FORMAT",
    values: ["table", "json", "csv"],
    meaning: "Print a table, JSON lines or CSV. Default: table.",
  },
  names: { type: "boolean", meaning: "Only names, one a line." },
  lines: {
    type: "boolean",
    meaning: "One line a second instead of a full screen. Default where there is no terminal.",
  },
  "lag-warning": { type: "string", value: "SIZE", meaning: "Warn when the replica lags so far. Default: 64MB." },
  "lag-critical": { type: "string", value: "SIZE", meaning: "Critical when it lags so far. Default: 1GB." },
  "oldest-warning": {
    type: "string",
    value: "TIME",
    meaning: "Warn when a write waits so long for the main database. Default: 5m.",
  },
  "oldest-critical": { type: "string", value: "TIME", meaning: "Critical when one waits so long. Default: 6h." },
  "rejected-warning": {
    type: "string",
    value: "N",
    meaning: "Warn when so many rejected writes wait for a decision. Default: 1.",
  },
  "token-file": {
    type: "string",
    value: "FILE",
    meaning: "File with the access token. Default: OPSDB_TOKEN, else none.",
  },
  tls: { type: "boolean", meaning: "Connect with TLS. Default: OPSDB_TLS=true, else plaintext." },
  ca: {
    type: "string",
    value: "FILE",
    meaning: "Certificates to trust, PEM; says --tls as well. Default: OPSDB_CA, else the system's.",
  },
  cert: {
    type: "string",
    value: "FILE",
    meaning: "Certificate of this client, PEM, with --key. Default: OPSDB_CERT, else none.",
  },
  key: { type: "string", value: "FILE", meaning: "Its private key, PEM. Default: OPSDB_KEY, else none." },
  roles: { type: "string", value: "ROLE,...", meaning: "What it may do: some of read, write, admin, sql. Required." },
  tables: {
    type: "string",
    value: "TABLE,...",
    meaning: "Only these tables; * stands for any characters but the dot. Default: all.",
  },
  expires: {
    type: "string",
    value: "TIME",
    meaning: "When it ends: 90d, 12h or 2027-12-31. Default: when it is revoked.",
  },
  "calls-per-second": {
    type: "string",
    value: "N",
    meaning: "Most calls per second at each process. Default: TOKEN_CALLS_PER_SECOND.",
  },
  burst: { type: "string", value: "N", meaning: "Most calls at once. Default: as many as per second." },
  "message-bytes": { type: "string", value: "N", meaning: "Largest message, bytes. Default: MESSAGE_MAX_BYTES." },
  "print-roles": {
    type: "boolean",
    meaning: "Print the SQL that makes database roles with the least rights, and change nothing.",
  },
  "rejected-critical": { type: "string", value: "N", meaning: "Critical when so many do. Default: 100." },
} as const satisfies Record<string, Option>;

export type OptionName = keyof typeof optionTable;

/** What every command that calls a server takes, beside its own. */
export const connectionOptions: readonly OptionName[] = ["server", "token-file", "tls", "ca", "cert", "key"];

type ValueOf<T extends Option> = T["type"] extends "boolean"
  ? boolean
  : T extends { multiple: true }
    ? string[]
    : string;

/** The values of the options that were given. */
export type OptionValues = { [name in OptionName]?: ValueOf<(typeof optionTable)[name]> };

/** How an option is written: "-h, --help", "--server HOST:PORT". */
export function optionUsage(name: OptionName): string {
  const { short, value }: Option = optionTable[name];
  return `${short === undefined ? "" : `-${short}, `}--${name}${value === undefined ? "" : ` ${value}`}`;
}

/** All that completion has to know of an option. */
export function optionOf(name: OptionName): Option {
  return optionTable[name];
}
