/** The tables that a token is for. */
export interface TableScope {
  /** Every table there is and will be. */
  readonly all: boolean;
  /** Whether a table is among them, by the name that a request has: "table" in schema public, else "schema.table". */
  includes(name: string): boolean;
}

/** Patterns of "schema.table", where * stands for any characters but the dot. None: all tables. */
export function tableScope(patterns: readonly string[]): TableScope {
  if (patterns.length === 0) return { all: true, includes: () => true };
  const expressions = patterns.map(
    (pattern) => new RegExp(`^${canonical(pattern).split("*").map(literal).join("[^.]*")}$`),
  );
  return { all: false, includes: (name) => expressions.some((each) => each.test(canonical(name))) };
}

/** The catalog's key of the name: one part is a table of schema public, and dots within quotes do not part. */
function canonical(name: string): string {
  return name.replaceAll(/"[^"]*"/g, "").includes(".") ? name : `public.${name}`;
}

function literal(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
