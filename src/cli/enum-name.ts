/** The name of an enum's value; its number where a newer server has sent one that this program does not know. */
export function enumName(values: Readonly<Record<string, number>>, value: number): string {
  return Object.keys(values).find((name) => values[name] === value) ?? String(value);
}
