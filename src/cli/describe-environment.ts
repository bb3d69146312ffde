import { type Variable, variables } from "../config-variables.ts";

/** Every variable with its default, for `--help`. */
export function describeEnvironment(): string {
  const width = Math.max(...variables.map((v) => v.name.length));
  return groups()
    .map(([group, members]) => {
      const lines = members.map((v) => `  ${v.name.padEnd(width)}  ${v.description} [${byDefault(v)}]`);
      return `${group}:\n${lines.join("\n")}`;
    })
    .join("\n\n");
}

/** The content of `.env.example`: a secondary site's configuration; what need not be set is commented out. */
export function exampleEnvironment(): string {
  const sections = groups().map(([group, members]) => {
    const lines = members.map((v) => {
      const comment = v.note?.startsWith("required") ? "" : "#";
      return `# ${v.description} [${byDefault(v)}]\n${comment}${v.name}=${v.example}\n`;
    });
    return `## ${group}\n\n${lines.join("\n")}`;
  });
  return `# Configuration of a secondary site. In brackets: what holds where a variable is not set.\n\n${sections.join("\n")}`;
}

/** The rows of the README's table. */
export function environmentTable(): string {
  const rows = variables.map((v) => `| \`${v.name}\` | ${byDefault(v)} | ${v.description} |`);
  return ["| variable | default | meaning |", "| --- | --- | --- |", ...rows].join("\n");
}

function byDefault(variable: Variable): string {
  return variable.note ?? variable.default ?? "none";
}

function groups(): [string, Variable[]][] {
  return [...Map.groupBy(variables, (v) => v.group)];
}
