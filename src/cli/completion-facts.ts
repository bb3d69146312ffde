import { type Command, optionsOf } from "./command.ts";
import { type OptionName, optionOf, optionTable } from "./options.ts";

/** What completion of every shell is made from. */
export interface CompletionFacts {
  /** Options that take a value, as written: "--server". */
  valued: string[];
  /** Those whose values are known, with them. */
  choices: [option: string, values: readonly string[]][];
  /** First words, and second ones of commands of two words. */
  first: Map<string, string>;
  groups: Map<string, [word: string, summary: string][]>;
  commands: {
    name: string;
    options: [option: string, meaning: string][];
    operands: NonNullable<Command["operands"]>["complete"];
  }[];
}

export function completionFacts(commands: readonly Command[]): CompletionFacts {
  const names = Object.keys(optionTable) as OptionName[];
  const first = new Map<string, string>();
  const groups = new Map<string, [string, string][]>();
  for (const { name, summary } of commands) {
    const [word = "", second] = name.split(" ");
    if (second === undefined) first.set(word, summary);
    else {
      groups.set(word, [...(groups.get(word) ?? []), [second, summary]]);
      first.set(word, `${(groups.get(word) ?? []).map(([each]) => each).join(", ")}`);
    }
  }
  return {
    valued: names.filter((name) => optionOf(name).type === "string").map((name) => `--${name}`),
    choices: names.flatMap((name) => {
      const { values } = optionOf(name);
      return values === undefined ? [] : [[`--${name}`, values] as [string, readonly string[]]];
    }),
    first,
    groups,
    commands: commands.map((command) => ({
      name: command.name,
      options: [...optionsOf(command), "help" as const].map((option) => [`--${option}`, optionOf(option).meaning]),
      operands: command.operands?.complete,
    })),
  };
}
