import type { Command } from "./command.ts";
import { completionFacts } from "./completion-facts.ts";
import { type OptionName, optionOf } from "./options.ts";

export function fishCompletion(commands: readonly Command[]): string {
  const { valued, first, groups, commands: known } = completionFacts(commands);
  const lines = [
    ...[...first].map(([word, summary]) => `complete -c opsdb -n '__opsdb_at 0' -a ${word} -d ${quoted(summary)}`),
    ...[...groups].flatMap(([group, members]) =>
      members.map(([word, summary]) => `complete -c opsdb -n '__opsdb_at 1 ${group}' -a ${word} -d ${quoted(summary)}`),
    ),
    ...known.flatMap(({ name, options, operands = [] }) => [
      ...options.map(([option, meaning]) => {
        const { type, short, values } = optionOf(option.slice(2) as OptionName);
        const value = type === "boolean" ? "" : values ? ` -x -a ${quoted(values.join(" "))}` : " -x";
        const letter = short === undefined ? "" : ` -s ${short}`;
        return `complete -c opsdb -n '__opsdb_in ${name}' -l ${option.slice(2)}${letter}${value} -d ${quoted(meaning)}`;
      }),
      ...operands.map((place, i) => {
        const offered = typeof place === "string" ? quoted("(__opsdb_ask)") : quoted(place.join(" "));
        return `complete -c opsdb -n '__opsdb_at ${name.split(" ").length + i} ${name}' -a ${offered}`;
      }),
    ]),
    `complete -c opsdb -n '__opsdb_in write; and test (count (__opsdb_words)) -ge 3' -a '(__opsdb_ask (__opsdb_words)[3])='`,
  ];
  return `# Completion of opsdb for fish.
function __opsdb_words
  set -l skip 0
  for word in (commandline -opc)[2..]
    if test $skip = 1
      set skip 0
      continue
    end
    switch $word
      case ${valued.join(" ")}
        set skip 1
      case '-?*'
      case '*'
        echo $word
    end
  end
end
function __opsdb_in
  set -l words (__opsdb_words)
  set -l last (count $argv)
  test $last = 0; and return 0
  test (count $words) -ge $last; and test "$words[1..$last]" = "$argv"
end
function __opsdb_at
  test (count (__opsdb_words)) = $argv[1]; and __opsdb_in $argv[2..]
end
function __opsdb_ask
  set -l words (commandline -opc)
  set -l at (contains -i -- --server $words)
  set -l server
  test -n "$at"; and set server --server $words[(math $at + 1)]
  $words[1] tables $argv --names --timeout 2s $server 2>/dev/null
end
complete -c opsdb -f
${lines.join("\n")}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
