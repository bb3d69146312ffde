import { type Command, optionsOf } from "./command.ts";
import { commandGroups, commands } from "./commands.ts";
import { describeEnvironment } from "./describe-environment.ts";
import { exitCodes } from "./exit-code.ts";
import { type OptionName, optionTable, optionUsage } from "./options.ts";

/** Help on a command or a group of commands of this name; on all of them where there is none. */
export function helpText(about: string | undefined): string {
  const command = commands.find(({ name }) => name === about);
  if (command) return commandHelp(command);
  const group = commands.filter(({ name }) => name.startsWith(`${about} `));
  return group.length === 0 ? overview() : group.map(commandHelp).join("\n\n");
}

function commandHelp(command: Command): string {
  const { name, summary, details, operands, options, examples } = command;
  const own: readonly OptionName[] = [...options, "help"];
  const rest = optionsOf(command).filter((option) => !own.includes(option));
  const width = Math.max(...[...own, ...rest].map((option) => optionUsage(option).length));
  const listed = (title: string, names: readonly OptionName[]): string[] =>
    names.length === 0
      ? []
      : [
          `${title}:\n${aligned(
            names.map((each) => [optionUsage(each), optionTable[each].meaning]),
            width,
          )}`,
        ];
  return [
    summary,
    `Usage: opsdb ${name}${operands === undefined ? "" : ` ${operands.usage}`} [options]`,
    ...(details === undefined ? [] : [details]),
    ...listed("Options", own),
    ...listed("Connection", rest),
    `Examples:\n${examples.map((example) => `  ${example}`).join("\n")}`,
  ].join("\n\n");
}

function overview(): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  const groups = commandGroups.map(
    ([title, members]) => `${title}:\n${aligned(members.map(({ name, summary }) => [name.padEnd(width), summary]))}`,
  );
  return `Write to and read from an observatory's PostgreSQL from any of its sites, over gRPC.

Usage: opsdb <command> [options]

${groups.join("\n\n")}

Options of all:
${aligned((["help", "version"] as const).map((option) => [optionUsage(option), optionTable[option].meaning]))}

Examples:
  opsdb tables --server chile:8080
  export OPSDB_SERVER=chile:8080
  opsdb write insert weather_samples station=cerro sampled_at=now pwv_mm=0.42
  opsdb query weather_samples --where "pwv_mm < 0.5" --order "sampled_at desc" --limit 10
  opsdb watch
  opsdb writes retry --help

Exit codes: ${exitCodes}

Configuration of serve and migrate by the environment; in brackets what holds where a variable is not set.

${describeEnvironment()}`;
}

function aligned(
  rows: readonly (readonly [string, string])[],
  width = Math.max(...rows.map(([left]) => left.length)),
): string {
  return rows.map(([left, right]) => `  ${left.padEnd(width)}   ${right}`).join("\n");
}
