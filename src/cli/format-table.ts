/** One row of a table, and lines that stand under it. */
export interface TableRow {
  cells: readonly string[];
  details?: readonly string[];
}

/** Lines of a table whose columns are as wide as their widest cell. */
export function formatTable(header: readonly string[], rows: readonly TableRow[]): string[] {
  const all = [header, ...rows.map(({ cells }) => cells)];
  const widths = header.map((_, i) => Math.max(...all.map((cells) => oneLine(cells[i]).length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => oneLine(cell).padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd();
  return [
    line(header),
    ...rows.flatMap(({ cells, details = [] }) => [line(cells), ...details.map((detail) => `    ${oneLine(detail)}`)]),
  ];
}

/** Names and values, one pair a line; pairs without a value are left out. Names are at least that wide. */
export function formatPairs(
  pairs: readonly (readonly [name: string, value: string | undefined])[],
  least = 0,
): string[] {
  const told = pairs.filter(([, value]) => value !== undefined && value !== "");
  const width = Math.max(least, ...told.map(([name]) => name.length));
  return told.map(([name, value]) => `${name.padEnd(width)}  ${oneLine(value)}`);
}

function oneLine(text = ""): string {
  return text.replaceAll(/\s*\n\s*/g, " ");
}
