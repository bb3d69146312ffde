import { parseArgs } from "node:util";
import { ConfigError, type Environment, readConfig } from "../config.ts";
import { packageVersion } from "../package-version.ts";
import { rolesSql } from "../postgres/migrate.ts";
import {
  connectionOptions,
  type MainCommand,
  type OptionName,
  type OptionValues,
  optionHelp,
  optionTypes,
  type SiteCommand,
  UsageError,
} from "./command.ts";
import { describeEnvironment } from "./describe-environment.ts";
import { drainCommands } from "./drain-commands.ts";
import { exitCode } from "./exit-code.ts";
import { migrateMain } from "./migrate-main.ts";
import { tokenCommands } from "./token-commands.ts";
import { writeCommands } from "./write-commands.ts";

/** Runs one command and resolves with the exit code when it has ended. Errors go to stderr in one sentence. */
export async function runCommandLine(args: readonly string[], env: Environment): Promise<number> {
  let invocation: Invocation;
  try {
    invocation = parse(args);
  } catch (error) {
    console.error(`${messageOf(error)}. Try: opsdb --help`);
    return exitCode.usage;
  }
  try {
    return await run(invocation, env);
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`opsdb ${invocation.name}: ${error.message}. Try: opsdb ${invocation.name} --help`);
      return exitCode.usage;
    }
    console.error(error instanceof ConfigError ? error.message : `opsdb ${invocation.name}: ${messageOf(error)}`);
    return error instanceof ConfigError ? exitCode.configuration : exitCode.failure;
  }
}

/** What the command line asks for. `help` may name a command, or a group of them. */
type Invocation = { name: string } & (
  | { kind: "help"; about: string | undefined }
  | { kind: "version" | "serve" | "migrate" | "print-roles" }
  | { kind: "site"; command: SiteCommand; ids: string[]; options: OptionValues }
  | { kind: "main"; command: MainCommand; operands: string[]; options: OptionValues }
);

const serverCommands = ["serve", "migrate"] as const;
const siteCommands = [...drainCommands, ...writeCommands];

/** Throws for anything that is no command. */
function parse(args: readonly string[]): Invocation {
  const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options: optionTypes });
  const [first, second, ...rest] = positionals;
  const command = siteCommands.find(({ name }) => name === `${first} ${second}`);
  const onMain = tokenCommands.find(({ name }) => name === `${first} ${second}`);
  if (values.help) return { kind: "help", name: "help", about: (command ?? onMain)?.name ?? first };
  if (values.version) return { kind: "version", name: "version" };
  if (first === undefined) throw new Error("no command is given");
  if (command) {
    refuseOthers(values, command.name, [...command.options, ...connectionOptions]);
    if (command.ids === undefined && rest.length > 0) throw new Error(`opsdb ${command.name} takes no arguments`);
    if (command.ids !== undefined && rest.length === 0) throw new Error(`opsdb ${command.name} needs a write id`);
    if (command.ids === "one" && rest.length > 1) throw new Error(`opsdb ${command.name} takes one write id`);
    return { kind: "site", name: command.name, command, ids: rest, options: values };
  }
  if (onMain) {
    const { name, operand, options } = onMain;
    refuseOthers(values, name, options);
    if (operand === undefined && rest.length > 0) throw new Error(`opsdb ${name} takes no arguments`);
    if (operand !== undefined && rest.length !== 1) throw new Error(`opsdb ${name} takes one ${operand}`);
    return { kind: "main", name, command: onMain, operands: rest, options: values };
  }
  const kind = serverCommands.find((name) => name === first);
  if (kind === undefined) {
    const group = [...siteCommands, ...tokenCommands].filter(({ name }) => name.startsWith(`${first} `));
    if (group.length === 0) throw new Error(`there is no command ${JSON.stringify(first)}`);
    throw new Error(`opsdb ${first} is one of ${group.map(({ name }) => name).join(", ")}`);
  }
  if (second !== undefined) throw new Error(`${kind} takes no arguments; it is configured by the environment`);
  refuseOthers(values, kind, kind === "migrate" ? ["print-roles"] : []);
  return kind === "migrate" && values["print-roles"] ? { kind: "print-roles", name: kind } : { kind, name: kind };
}

function refuseOthers(values: OptionValues, command: string, allowed: readonly OptionName[]): void {
  for (const name of Object.keys(values) as OptionName[])
    if (!allowed.includes(name)) throw new Error(`opsdb ${command} has no option --${name}`);
}

async function run(invocation: Invocation, env: Environment): Promise<number> {
  switch (invocation.kind) {
    case "serve": {
      const config = readConfig(env);
      // Loaded here, so that help and migrate start without the server's packages.
      const { serve } = await import("../main.ts");
      return await serve(config);
    }
    case "migrate":
      await migrateMain(env);
      return exitCode.ok;
    case "print-roles":
      process.stdout.write(rolesSql());
      return exitCode.ok;
    case "site": {
      const { runSiteCommand } = await import("./run-site-command.ts");
      return await runSiteCommand(invocation.command, { ...invocation, env });
    }
    case "main":
      return await invocation.command.runHere({ ...invocation, env });
    case "version":
      console.log(packageVersion());
      return exitCode.ok;
    case "help":
      console.log(helpAbout(invocation.about) ?? help());
      return exitCode.ok;
  }
}

/** Help on a command or a group of commands of this name; undefined where there is none. */
function helpAbout(about: string | undefined): string | undefined {
  const all = [...siteCommands, ...tokenCommands];
  const command = all.find(({ name }) => name === about);
  if (command) return commandHelp(command);
  const group = all.filter(({ name }) => name.startsWith(`${about} `));
  return group.length === 0 ? undefined : group.map(commandHelp).join("\n\n");
}

function commandHelp(command: SiteCommand | MainCommand): string {
  const { name, summary, options, examples } = command;
  const { operand = "", ids } = { operand: "", ids: undefined, ...command };
  const usage = ids === undefined ? (operand === "" ? "" : ` ${operand}`) : ids === "one" ? " ID" : " ID...";
  const connection = "run" in command ? connectionOptions : [];
  const own = options.filter((option) => !connectionOptions.includes(option));
  const width = Math.max(...[...own, ...connection].map((option) => optionHelp[option][0].length));
  const lines = (listed: readonly OptionName[]): string =>
    listed.map((option) => `  ${optionHelp[option][0].padEnd(width)}   ${optionHelp[option][1]}`).join("\n");
  return `${summary}

Usage: opsdb ${name}${usage} [options]

Options:
${lines(own)}
${connection.length === 0 ? "" : `\nConnection:\n${lines(connection)}\n`}
Examples:
${examples.map((example) => `  ${example}`).join("\n")}`;
}

function help(): string {
  const width = Math.max(...siteCommands.map(({ name }) => name.length));
  const commandLine = (name: string, summary: string): string => `  ${name.padEnd(width)}   ${summary}`;
  return `Write to and read from an observatory's PostgreSQL from any of its sites, over gRPC.

Usage: opsdb <command> [options]

Commands:
${commandLine("serve", "Serve one site until SIGTERM or SIGINT.")}
${commandLine("migrate", "Bring the service's own tables on the main database up to date. Safe to run again and by two at once.")}

Commands for operators, to a site's server:
${siteCommands.map(({ name, summary }) => commandLine(name, summary)).join("\n")}

Commands for access tokens, on the main database:
${tokenCommands.map(({ name, summary }) => commandLine(name, summary)).join("\n")}

Options:
  -h, --help      Show this text, or that of the command.
  -V, --version   Show the version.
  --print-roles   Of migrate: print the SQL that makes database roles with the least rights, and change nothing.

Examples:
  MAIN_DB_HOST=db MAIN_DB_USER=opsdb MAIN_DB_NAME=observatory opsdb migrate
  SITE_TYPE=main SITE_NAME=cologne MAIN_DB_HOST=db MAIN_DB_USER=opsdb MAIN_DB_NAME=observatory opsdb serve
  node --env-file=.env src/cli.ts serve
  OPSDB_SERVER=chile:8080 opsdb drain show
  opsdb writes retry --help
  opsdb migrate --print-roles | psql observatory

Exit codes: 0 ok, 1 failure, 2 wrong usage, 3 refused by the service, 78 wrong configuration.

Configuration of serve and migrate by the environment; in brackets what holds where a variable is not set.

${describeEnvironment()}`;
}

function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") return error.errors.map(messageOf).join("; ");
  return error instanceof Error ? error.message : String(error);
}
