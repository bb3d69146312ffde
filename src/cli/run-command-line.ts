import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ConfigError, type Environment, readConfig } from "../config.ts";
import { describeEnvironment } from "./describe-environment.ts";
import { exitCode } from "./exit-code.ts";
import { migrateMain } from "./migrate-main.ts";

/** Runs one command and resolves with the exit code when it has ended. Errors go to stderr in one sentence. */
export async function runCommandLine(args: readonly string[], env: Environment): Promise<number> {
  let command: string;
  try {
    command = commandOf(args);
  } catch (error) {
    console.error(`${messageOf(error)}. Try: opsdb --help`);
    return exitCode.usage;
  }
  try {
    return await run(command, env);
  } catch (error) {
    console.error(error instanceof ConfigError ? error.message : `opsdb ${command}: ${messageOf(error)}`);
    return error instanceof ConfigError ? exitCode.configuration : exitCode.failure;
  }
}

const commands = ["serve", "migrate"];

/** The command's name, or "help" or "version". Throws for anything else. */
function commandOf(args: readonly string[]): string {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { help: { type: "boolean", short: "h" }, version: { type: "boolean", short: "V" } },
  });
  if (values.help) return "help";
  if (values.version) return "version";
  const [command, ...rest] = positionals;
  if (command === undefined) throw new Error("no command is given");
  if (!commands.includes(command)) throw new Error(`there is no command ${JSON.stringify(command)}`);
  if (rest.length > 0) throw new Error(`${command} takes no arguments; it is configured by the environment`);
  return command;
}

async function run(command: string, env: Environment): Promise<number> {
  switch (command) {
    case "serve": {
      const config = readConfig(env);
      // Loaded here, so that help and migrate start without the server's packages.
      const { serve } = await import("../main.ts");
      return await serve(config);
    }
    case "migrate":
      await migrateMain(env);
      return exitCode.ok;
    case "version":
      console.log(version());
      return exitCode.ok;
    default:
      console.log(help());
      return exitCode.ok;
  }
}

function help(): string {
  return `Write to and read from an observatory's PostgreSQL from any of its sites, over gRPC.

Usage: opsdb <command>

Commands:
  serve     Serve one site until SIGTERM or SIGINT.
  migrate   Bring the service's own tables on the main database up to date. Safe to run again and by two at once.

Options:
  -h, --help      Show this text.
  -V, --version   Show the version.

Examples:
  MAIN_DB_HOST=db MAIN_DB_USER=opsdb MAIN_DB_NAME=observatory opsdb migrate
  SITE_TYPE=main SITE_NAME=cologne MAIN_DB_HOST=db MAIN_DB_USER=opsdb MAIN_DB_NAME=observatory opsdb serve
  node --env-file=.env src/cli.ts serve

Exit codes: 0 ok, 1 failure, 2 wrong usage, 78 wrong configuration.

Configuration by the environment; in brackets what holds where a variable is not set.

${describeEnvironment()}`;
}

/** package.json is one level above src/, and two above dist/src/. */
function version(): string {
  for (const path of ["../../package.json", "../../../package.json"]) {
    try {
      const content: unknown = JSON.parse(readFileSync(join(import.meta.dirname, path), "utf8"));
      if (typeof content === "object" && content !== null && "version" in content) return String(content.version);
    } catch {
      // The other place has it.
    }
  }
  throw new Error("package.json was not found");
}

function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") return error.errors.map(messageOf).join("; ");
  return error instanceof Error ? error.message : String(error);
}
