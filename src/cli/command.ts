import type { Client } from "@connectrpc/connect";
import type { AdminService } from "../../gen/ts/opsdb/v1/admin_service_pb.ts";
import type { WriteService } from "../../gen/ts/opsdb/v1/write_service_pb.ts";
import type { Environment } from "../config.ts";

/** Options that some command takes, as parseArgs knows them. */
export const optionTypes = {
  help: { type: "boolean", short: "h" },
  version: { type: "boolean", short: "V" },
  server: { type: "string" },
  json: { type: "boolean" },
  operator: { type: "string" },
  reason: { type: "string" },
  site: { type: "string" },
  all: { type: "boolean" },
  applied: { type: "boolean" },
  rejected: { type: "boolean" },
  after: { type: "string" },
  count: { type: "string" },
  "token-file": { type: "string" },
  tls: { type: "boolean" },
  ca: { type: "string" },
  cert: { type: "string" },
  key: { type: "string" },
  roles: { type: "string" },
  tables: { type: "string" },
  expires: { type: "string" },
  "calls-per-second": { type: "string" },
  burst: { type: "string" },
  "message-bytes": { type: "string" },
  "print-roles": { type: "boolean" },
} as const;

export type OptionName = keyof typeof optionTypes;

/** What every command that calls a server takes, beside its own. */
export const connectionOptions: readonly OptionName[] = ["server", "token-file", "tls", "ca", "cert", "key"];

/** What stands in help for each option. */
export const optionHelp: Record<OptionName, [usage: string, meaning: string]> = {
  help: ["-h, --help", "Show this text."],
  version: ["-V, --version", "Show the version."],
  server: ["--server HOST:PORT", "A server of the site. Default: OPSDB_SERVER, else 127.0.0.1:8080."],
  json: ["--json", "Print JSON, one answer or event a line."],
  operator: ["--operator NAME", "Who does it; kept on record. Default: your user name."],
  reason: ["--reason TEXT", "Why; kept on record. Required."],
  site: ["--site NAME", "At the main site: only writes of this site. Default: of all sites."],
  all: ["--all", "Also writes that were retried or discarded."],
  applied: ["--applied", "Tell writes once they are applied to the main database. Default: once they are replicated."],
  rejected: ["--rejected", "Only writes that were rejected."],
  after: ["--after POSITION", "Go on after this position. Default: from now on."],
  count: ["--count N", "End after N writes. Default: go on until Ctrl-C."],
  "token-file": ["--token-file FILE", "File with the access token. Default: OPSDB_TOKEN, else none."],
  tls: ["--tls", "Connect with TLS. Default: OPSDB_TLS=true, else plaintext."],
  ca: ["--ca FILE", "Certificates to trust, PEM; says --tls as well. Default: OPSDB_CA, else the system's."],
  cert: ["--cert FILE", "Certificate of this client, PEM, with --key. Default: OPSDB_CERT, else none."],
  key: ["--key FILE", "Its private key, PEM. Default: OPSDB_KEY, else none."],
  roles: ["--roles ROLE,...", "What it may do: some of read, write, admin, sql. Required."],
  tables: ["--tables TABLE,...", "Only these tables; * stands for any characters but the dot. Default: all."],
  expires: ["--expires TIME", "When it ends: 90d, 12h or 2027-12-31. Default: when it is revoked."],
  "calls-per-second": [
    "--calls-per-second N",
    "Most calls per second at each process. Default: TOKEN_CALLS_PER_SECOND.",
  ],
  burst: ["--burst N", "Most calls at once. Default: as many as per second."],
  "message-bytes": ["--message-bytes N", "Largest message, bytes. Default: MESSAGE_MAX_BYTES."],
  "print-roles": ["--print-roles", "Print the SQL that makes the roles with the least rights, and change nothing."],
};

/** The values of the options that were given. */
export type OptionValues = {
  [name in OptionName]?: (typeof optionTypes)[name]["type"] extends "boolean" ? boolean : string;
};

/** The command was not given as it should be; the message says what to do. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** What a command has to work with. */
export interface CommandCall {
  admin: Client<typeof AdminService>;
  writes: Client<typeof WriteService>;
  ids: readonly string[];
  options: OptionValues;
  motive: () => { operator: string; reason: string };
  /** Says what a call was refused with; answers the exit code. */
  fail: (error: unknown) => number;
}

/** A command that calls a site's server. */
export interface SiteCommand {
  name: string;
  /** What stands after its name besides options. */
  ids?: "one" | "several";
  summary: string;
  options: readonly OptionName[];
  examples: readonly string[];
  /** Resolves with the exit code. */
  run: (call: CommandCall) => Promise<number>;
}

/** A command that works on the main database, which the environment names. */
export interface MainCommand {
  name: string;
  /** What stands after its name besides options; exactly one. */
  operand?: string;
  summary: string;
  options: readonly OptionName[];
  examples: readonly string[];
  /** Resolves with the exit code. */
  runHere: (call: { operands: readonly string[]; options: OptionValues; env: Environment }) => Promise<number>;
}
