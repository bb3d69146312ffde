import type { Command } from "./command.ts";
import { completionFacts } from "./completion-facts.ts";

export function zshCompletion(commands: readonly Command[]): string {
  const { valued, choices, first, groups, commands: known } = completionFacts(commands);
  const twoWords = known.map(({ name }) => name).filter((name) => name.includes(" "));
  const operands = known.flatMap(({ name, operands: places = [] }) =>
    places.map(
      (place, i) => `"${name}:${i}") ${typeof place === "string" ? "_opsdb_ask" : `compadd -- ${place.join(" ")}`} ;;`,
    ),
  );
  return `#compdef opsdb
# Completion of opsdb for zsh.
_opsdb() {
  local word skip= command
  local -a plain described
  integer i n=1
  for ((i = 2; i < CURRENT; i++)); do
    word="\${words[i]}"
    if [[ -n $skip ]]; then skip=; continue; fi
    case "$word" in
      ${valued.join("|")}) skip=1 ;;
      -?*) ;;
      *) plain+=("$word") ;;
    esac
  done
  if [[ -n $skip ]]; then
    case "\${words[CURRENT-1]}" in
${choices.map(([option, values]) => `      ${option}) compadd -- ${values.join(" ")} ;;`).join("\n")}
      --columns|--group-by|--order) _opsdb_ask "\${plain[2]}" ;;
      *) _default ;;
    esac
    return
  fi
  command="\${plain[1]} \${plain[2]}"
  case "$command" in
    ${twoWords.map((name) => `"${name}"`).join("|")}) n=2 ;;
    *) command="\${plain[1]}" ;;
  esac
  if [[ "\${words[CURRENT]}" == -* ]]; then
    case "$command" in
${known.map(({ name, options }) => `      "${name}") described=(${pairs(options)}) ;;`).join("\n")}
      *) described=('--help' '--version') ;;
    esac
    _describe -o option described
    return
  fi
  if ((\${#plain} == 0)); then
    described=(${pairs([...first])})
    _describe command described
    return
  fi
  case "$command:\${#plain}" in
${[...groups].map(([group, members]) => `    "${group}:1") described=(${pairs(members)}); _describe command described; return ;;`).join("\n")}
  esac
  case "$command:$((\${#plain} - n))" in
    ${operands.join("\n    ")}
    "write:"*) _opsdb_ask "\${plain[3]}" -S = ;;
    *) _default ;;
  esac
}
_opsdb_ask() {
  local server
  local -a names ask
  integer at="\${words[(I)--server]}"
  ((at > 0)) && ask=(--server "\${words[at+1]}")
  [[ -n "$1" ]] && ask+=("$1")
  ((ARGC > 0)) && shift
  names=(\${(f)"$(_call_program tables "\${(q)words[1]}" tables --names --timeout 2s "\${(q)ask[@]}" 2>/dev/null)"})
  compadd "$@" -- "\${names[@]}"
}
compdef _opsdb opsdb`;
}

/** As _describe takes them: 'word:what it does'. */
function pairs(described: readonly (readonly [word: string, meaning: string])[]): string {
  return described
    .map(([word, meaning]) => `'${word}:${meaning.replaceAll(":", "\\:").replaceAll("'", "'\\''")}'`)
    .join(" ");
}
