import { type LocalCommand, UsageError } from "./command.ts";
import { bashCompletion } from "./completion-bash.ts";
import { fishCompletion } from "./completion-fish.ts";
import { zshCompletion } from "./completion-zsh.ts";
import { exitCode } from "./exit-code.ts";

const shells = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion };

export const completionCommand: LocalCommand = {
  name: "completion",
  operands: { usage: "bash|zsh|fish", least: 1, most: 1, complete: [Object.keys(shells)] },
  summary: "Print what makes your shell complete commands, options, tables and columns.",
  details: "Tables and columns are those of the server that --server or OPSDB_SERVER names, where it answers in time.",
  options: [],
  examples: [
    `eval "$(opsdb completion bash)"                                  # in ~/.bashrc`,
    `eval "$(opsdb completion zsh)"                                   # in ~/.zshrc, after compinit`,
    "opsdb completion fish > ~/.config/fish/completions/opsdb.fish",
  ],
  async runHere({ operands: [shell = ""], commands }) {
    const script = Object.entries(shells).find(([name]) => name === shell)?.[1];
    if (script === undefined)
      throw new UsageError(`the shell is one of ${Object.keys(shells).join(", ")}, not ${shell}`);
    console.log(script(commands));
    return exitCode.ok;
  },
};
