import type { LocalCommand, SiteCommand } from "./command.ts";
import { completionCommand } from "./completion-command.ts";
import { drainCommands } from "./drain-commands.ts";
import { queryCommand } from "./query-command.ts";
import { serverCommands } from "./server-commands.ts";
import { statusCommand } from "./status-command.ts";
import { tablesCommand } from "./tables-command.ts";
import { tokenCommands } from "./token-commands.ts";
import { watchCommand } from "./watch-command.ts";
import { writeCommand } from "./write-command.ts";
import { writesCommands } from "./writes-commands.ts";

/** Every command, as help shows them. What can be called, help and completion come from this table. */
export const commandGroups: readonly (readonly [title: string, commands: readonly (LocalCommand | SiteCommand)[]])[] = [
  ["To run a site", serverCommands],
  ["To write and read, at a site's server", [writeCommand, queryCommand, tablesCommand]],
  ["To see how a site is", [statusCommand, watchCommand]],
  ["For operators", [...writesCommands, ...drainCommands]],
  ["For access tokens, on the main database that the environment names", tokenCommands],
  ["For your shell", [completionCommand]],
];

export const commands = commandGroups.flatMap(([, members]) => members);
