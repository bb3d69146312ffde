import { userInfo } from "node:os";
import pg from "pg";
import { type Environment, readMainDatabase } from "../config.ts";
import {
  type AccessTokenRow,
  insertAccessToken,
  type NewAccessToken,
  revokeAccessToken,
  selectAccessTokens,
} from "../postgres/access-tokens.ts";
import type { Statement } from "../postgres/connection.ts";
import { sqlstateOf } from "../postgres/sqlstate.ts";
import { newBearerToken } from "../security/bearer-token.ts";
import { isRole, roles } from "../security/caller.ts";
import { type LocalCommand, UsageError } from "./command.ts";
import { exitCode } from "./exit-code.ts";
import { formatTable } from "./format-table.ts";
import { formatDate } from "./format-time.ts";
import type { OptionValues } from "./options.ts";

/** Commands for the access tokens. They work on the main database; every site hears of it by replication. */
export const tokenCommands: readonly LocalCommand[] = [
  {
    name: "tokens create",
    operands: { usage: "NAME", least: 1, most: 1 },
    summary: "Make an access token. It is printed this once; the database keeps its hash.",
    options: ["roles", "tables", "expires", "calls-per-second", "burst", "message-bytes", "json"],
    examples: [
      'opsdb tokens create "guiding camera" --roles write,read --tables "files,weather_*" --expires 365d > camera.token',
      'opsdb tokens create "night operators" --roles read,write,admin',
      'opsdb tokens create "prometheus" --roles read --expires 2027-12-31',
    ],
    async runHere({ operands, options, env }) {
      const { id, text, hash } = newBearerToken();
      const token: NewAccessToken = { id, hash: hash.toString("hex"), ...readToken(operands[0] ?? "", options) };
      await onMain(env, insertAccessToken(token));
      const { hash: _, ...told } = token;
      if (options.json) console.log(JSON.stringify({ ...told, token: text }));
      else console.log(text);
      console.error(`token ${id}, ${describe(token)}: keep it where only its owner can read it, it is not shown again`);
      return exitCode.ok;
    },
  },
  {
    name: "tokens list",
    summary: "List the access tokens, without their secrets.",
    options: ["all", "json"],
    examples: ["opsdb tokens list", "opsdb tokens list --all --json"],
    async runHere({ options, env }) {
      const [answer] = await onMain(env, selectAccessTokens());
      const all = JSON.parse(answer?.[0] ?? "[]") as AccessTokenRow[];
      const rows = all.filter((row) => options.all || stateOf(row) === "holds");
      if (options.json)
        for (const { hash, ...row } of rows) console.log(JSON.stringify({ ...row, state: stateOf(row) }));
      else if (rows.length === 0) console.log(options.all ? "there are no tokens" : "no token holds");
      else for (const line of tableOf(rows)) console.log(line);
      return exitCode.ok;
    },
  },
  {
    name: "tokens revoke",
    operands: { usage: "ID", least: 1, most: 1 },
    summary: "End an access token, at every site as soon as it has heard of it.",
    options: [],
    examples: ["opsdb tokens revoke 4f0qk2m9x7ab"],
    async runHere({ operands, env }) {
      const id = operands[0] ?? "";
      const [row] = await onMain(env, revokeAccessToken(id));
      if (row) console.log(`token ${id} (${row[0]}) is revoked since ${row[1]}`);
      else console.error(`opsdb tokens revoke: there is no token ${id}; see: opsdb tokens list --all`);
      return row ? exitCode.ok : exitCode.failure;
    },
  },
];

function readToken(name: string, options: OptionValues): Omit<NewAccessToken, "id" | "hash"> {
  if (name.trim() === "") throw new UsageError("the token needs a name: say who will use it");
  const given = listOf(options.roles);
  const unknown = given.find((role) => !isRole(role));
  if (given.length === 0) throw new UsageError(`--roles is missing: some of ${roles.join(", ")}`);
  if (unknown !== undefined) throw new UsageError(`there is no role ${unknown}: some of ${roles.join(", ")}`);
  const tables = listOf(options.tables);
  const wide = given.find((role) => role === "admin" || role === "sql");
  if (tables.length > 0 && wide !== undefined)
    throw new UsageError(`the role ${wide} reaches all tables: leave out --tables, or ${wide}`);
  const perSecond = readCount(options, "calls-per-second");
  const burst = readCount(options, "burst");
  if (burst !== null && perSecond === null) throw new UsageError("--burst goes with --calls-per-second");
  return {
    name: name.trim(),
    roles: given,
    tables,
    calls_per_second: perSecond,
    burst,
    message_bytes: readCount(options, "message-bytes"),
    created_by: userName(),
    expires_at: readExpiry(options.expires),
  };
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return "a user without a name";
  }
}

function listOf(text: string | undefined): string[] {
  return [...new Set((text ?? "").split(",").map((part) => part.trim()))].filter((part) => part !== "");
}

function readCount(options: OptionValues, name: "calls-per-second" | "burst" | "message-bytes"): number | null {
  const text = options[name];
  if (text === undefined) return null;
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new UsageError(`--${name} is a number of at least 1, not ${text}`);
  return Number(text);
}

/** Seconds since 1970. */
function readExpiry(text: string | undefined): number | null {
  if (text === undefined) return null;
  const [, count, unit] = /^(\d{1,5})([dh])$/.exec(text) ?? [];
  const at =
    count !== undefined ? Date.now() + Number(count) * (unit === "d" ? 86_400_000 : 3_600_000) : Date.parse(text);
  if (Number.isNaN(at)) throw new UsageError(`--expires is a time like 90d, 12h or 2027-12-31, not ${text}`);
  if (at <= Date.now()) throw new UsageError(`--expires ${text} is over already`);
  return at / 1000;
}

function describe({ name, roles: given, tables, expires_at }: Omit<NewAccessToken, "id" | "hash">): string {
  const which = tables.length === 0 ? "all tables" : tables.join(", ");
  return `${JSON.stringify(name)}, ${given.join(", ")} on ${which}${expires_at === null ? "" : `, until ${formatDate(expires_at)}`}`;
}

function stateOf({
  revoked_at,
  expires_at,
}: Pick<AccessTokenRow, "revoked_at" | "expires_at">): "holds" | "revoked" | "expired" {
  if (revoked_at !== null) return "revoked";
  return expires_at !== null && expires_at * 1000 <= Date.now() ? "expired" : "holds";
}

function tableOf(rows: readonly AccessTokenRow[]): string[] {
  return formatTable(
    ["ID", "NAME", "ROLES", "TABLES", "LIMITS", "MADE", "UNTIL", "STATE"],
    rows.map((row) => ({
      cells: [
        row.id,
        row.name,
        row.roles.join(","),
        row.tables.length === 0 ? "all" : row.tables.join(","),
        [
          row.calls_per_second === null ? "" : `${row.calls_per_second}/s`,
          row.message_bytes === null ? "" : `${row.message_bytes} bytes`,
        ]
          .filter((limit) => limit !== "")
          .join(", ") || "none",
        `${formatDate(row.created_at)} by ${row.created_by}`,
        row.expires_at === null ? "it is revoked" : formatDate(row.expires_at),
        stateOf(row),
      ],
    })),
  );
}

/** One statement on the main database that the environment names. */
async function onMain(env: Environment, { text, values }: Statement): Promise<string[][]> {
  const { pool: _, password, ...address } = readMainDatabase(env);
  const client = new pg.Client({
    ...address,
    ...(password === undefined ? {} : { password }),
    connectionTimeoutMillis: 10_000,
    statement_timeout: 30_000,
  });
  client.on("error", () => {}); // the statement under way rejects with the cause
  await client.connect();
  try {
    return (await client.query<string[]>({ text, values: values ?? [], rowMode: "array" })).rows;
  } catch (error) {
    if (sqlstateOf(error) !== "42P01") throw error;
    throw new Error("the database has no table for tokens yet: run opsdb migrate", { cause: error });
  } finally {
    await client.end();
  }
}
