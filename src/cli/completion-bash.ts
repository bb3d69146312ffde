import type { Command } from "./command.ts";
import { completionFacts } from "./completion-facts.ts";

/** Needs nothing but bash. Words that bash splits at "=" and ":" are put together again. */
export function bashCompletion(commands: readonly Command[]): string {
  const { valued, choices, first, groups, commands: known } = completionFacts(commands);
  const twoWords = known.map(({ name }) => name).filter((name) => name.includes(" "));
  const operands = known.flatMap(({ name, operands: places = [] }) =>
    places.map(
      (place, i) => `"${name}:${i}") ${typeof place === "string" ? "tables=1" : `words="${place.join(" ")}"`} ;;`,
    ),
  );
  return `# Completion of opsdb for bash.
_opsdb() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}"
  local word skip= command n=1 words= tables= columns= i server=
  local -a plain=()
  if [[ $cur == "=" || $cur == ":" ]]; then cur=; elif [[ $prev == "=" ]]; then prev="\${COMP_WORDS[COMP_CWORD-2]}"; fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    if [[ $word == "=" || $word == ":" ]]; then skip=1; continue; fi
    if [[ -n $skip ]]; then skip=; continue; fi
    case "$word" in
      ${valued.join("|")}) skip=1 ;;
      -?*) ;;
      *) plain+=("$word") ;;
    esac
  done
  if [[ -n $skip ]]; then
    case "$prev" in
${choices.map(([option, values]) => `      ${option}) COMPREPLY=($(compgen -W "${values.join(" ")}" -- "$cur")) ;;`).join("\n")}
      --columns|--group-by|--order) columns="\${plain[1]}" ;;
    esac
    [[ -n $columns ]] || return 0
  fi
  command="\${plain[0]} \${plain[1]}"
  case "$command" in
    ${twoWords.map((name) => `"${name}"`).join("|")}) n=2 ;;
    *) command="\${plain[0]}" ;;
  esac
  if [[ -n $columns ]]; then :
  elif [[ $cur == -?* || $cur == - && $command != write ]]; then
    case "$command" in
${known.map(({ name, options }) => `      "${name}") words="${options.map(([option]) => option).join(" ")}" ;;`).join("\n")}
      *) words="--help --version" ;;
    esac
  elif ((\${#plain[@]} == 0)); then words="${[...first.keys()].join(" ")}"
  else
    case "$command" in
${[...groups].map(([group, members]) => `      "${group}") ((\${#plain[@]} == 1)) && words="${members.map(([word]) => word).join(" ")}" ;;`).join("\n")}
    esac
    case "$command:$((\${#plain[@]} - n))" in
      ${operands.join("\n      ")}
      "write:"*) columns="\${plain[2]}" ;;
    esac
  fi
  if [[ $COMP_LINE =~ --server[=\\ ]+([^\\ ]+) ]]; then server="\${BASH_REMATCH[1]}"; fi
  if [[ -n $tables ]]; then
    words="$(_opsdb_ask "$1" "$server")"
  elif [[ -n $columns ]]; then
    words="$(_opsdb_ask "$1" "$server" "$columns")"
    if [[ $command == write ]]; then words="\${words//$'\\n'/= }="; [[ $words == "=" ]] && words=; compopt -o nospace; fi
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
_opsdb_ask() {
  local program="\${1/#\\~/$HOME}" server="$2"
  shift 2
  "$program" tables "$@" --names --timeout 2s \${server:+--server "$server"} 2>/dev/null
}
complete -o default -F _opsdb opsdb`;
}
