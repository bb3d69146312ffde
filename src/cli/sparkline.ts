const bars = "▁▂▃▄▅▆▇█";

/** The values as bars from 0 to the greatest of them; what is not known is a gap. The newest stands on the right. */
export function sparkline(values: readonly (number | undefined)[], width: number): string {
  const shown = values.slice(-width);
  const top = Math.max(...shown.map((value) => value ?? 0));
  const bar = (value: number | undefined): string => {
    if (value === undefined) return " ";
    const height = top === 0 ? 0 : Math.ceil((value / top) * (bars.length - 1));
    return bars[height] ?? "";
  };
  return shown.map(bar).join("").padStart(width);
}
