/** The tables that a token is for. */
export interface TableScope {
  /** Every table there is and will be. */
  readonly all: boolean;
  /** Whether a table is among them, by the name that a request has: "table" in schema public, else "schema.table". */
  includes(name: string): boolean;
}

/** Longer than any name that PostgreSQL has, characters: two of 63, with each of them a quote that is written twice. */
const longestName = 300;

/** Patterns of "schema.table", where * stands for any characters but the dot. None: all tables. */
export function tableScope(patterns: readonly string[]): TableScope {
  if (patterns.length === 0) return { all: true, includes: () => true };
  const canonicals = patterns.map(canonical);
  return {
    all: false,
    includes(name) {
      // Clients choose it, and it is looked at before the catalog is.
      if (name.length > longestName) return false;
      const wanted = canonical(name);
      return canonicals.some((pattern) => matches(pattern, wanted));
    },
  };
}

/** The catalog's key of the name: one part is a table of schema public, and dots within quotes do not part. */
function canonical(name: string): string {
  return name.replaceAll(/"[^"]*"/g, "").includes(".") ? name : `public.${name}`;
}

/**
 * Only the last * is ever tried with one character more: what an earlier one could take, it can take too. So it takes no more
 * steps than pattern and name are long, multiplied, whatever the pattern.
 */
function matches(pattern: string, name: string): boolean {
  let [at, of] = [0, 0];
  let star: { pattern: number; name: number } | undefined;
  while (at < name.length) {
    if (pattern[of] === "*") {
      star = { pattern: ++of, name: at };
    } else if (pattern[of] === name[at]) {
      at += 1;
      of += 1;
    } else if (star && name[star.name] !== ".") {
      star.name += 1;
      at = star.name;
      of = star.pattern;
    } else {
      return false;
    }
  }
  while (pattern[of] === "*") of += 1;
  return of === pattern.length;
}
