import { parseArgs } from "node:util";
import { type LocalCommand, optionsOf, type SiteCommand } from "./command.ts";
import { commands } from "./commands.ts";
import { exitCode } from "./exit-code.ts";
import { type OptionName, type OptionValues, optionTable } from "./options.ts";

/** What the command line asks for. `about` may name a command, or a group of them. */
export type Invocation =
  | { kind: "help"; about: string | undefined }
  | { kind: "version" }
  | { kind: "command"; command: LocalCommand | SiteCommand; operands: string[]; options: OptionValues };

/** The command line is not one of this program; `name` is that of the command, as far as it is known. */
export class InvocationError extends Error {
  override readonly name = "InvocationError";
  readonly command: string;
  readonly code: number;

  constructor(message: string, command: string | undefined, code: number = exitCode.usage) {
    super(message);
    this.command = command === undefined ? "opsdb" : `opsdb ${command}`;
    this.code = code;
  }
}

/** Throws InvocationError for anything that is no command. */
export function parseInvocation(args: readonly string[]): Invocation {
  const { values, positionals } = readArgs(args);
  const found = findCommand(positionals);
  if (values.help) return { kind: "help", about: found?.name ?? positionals[0] };
  if (values.version) return { kind: "version" };
  const command = found ?? refuse(positionals);
  const { name, operands: { least = 0, most = 0, usage = "" } = {}, usageCode } = command;
  const wrong = (message: string): never => {
    throw new InvocationError(message, name, usageCode);
  };
  const known = optionsOf(command);
  for (const option of Object.keys(values) as OptionName[])
    if (!known.includes(option)) wrong(`opsdb ${name} has no option --${option}`);
  const operands = positionals.slice(name.split(" ").length);
  if (command.operands === undefined && operands.length > 0)
    wrong(`opsdb ${name} takes no arguments, not ${JSON.stringify(operands[0])}`);
  if (operands.length < least) wrong(`something is missing: opsdb ${name} ${usage}`);
  if (command.operands?.most !== undefined && operands.length > most)
    wrong(`opsdb ${name} takes ${usage}, and not ${JSON.stringify(operands[most])} as well`);
  return { kind: "command", command, operands, options: values };
}

/** The words of the program's own, and the rest. */
function readArgs(args: readonly string[]): { values: OptionValues; positionals: string[] } {
  try {
    return parseArgs({ args: [...args], allowPositionals: true, options: optionTable });
  } catch (error) {
    const words = args.filter((arg) => !arg.startsWith("-"));
    const command = findCommand(words);
    const [first = ""] = (error instanceof Error ? error.message : String(error)).split(/\.(?:\s|$)/);
    throw new InvocationError(first, command?.name, command?.usageCode);
  }
}

function findCommand([first, second]: readonly string[]): LocalCommand | SiteCommand | undefined {
  return commands.find(({ name }) => name === `${first} ${second}`) ?? commands.find(({ name }) => name === first);
}

function refuse([first]: readonly string[]): never {
  if (first === undefined) throw new InvocationError("no command is given", undefined);
  const group = commands.filter(({ name }) => name.startsWith(`${first} `)).map(({ name }) => name);
  if (group.length > 0) throw new InvocationError(`opsdb ${first} is one of ${group.join(", ")}`, undefined);
  throw new InvocationError(`there is no command ${JSON.stringify(first)}`, undefined);
}
