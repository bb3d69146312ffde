/** Tells the story on the terminal, and keeps the account of what was compared. */
export class Story {
  #held = 0;
  #failed = 0;
  #chapter = 0;

  get failed(): number {
    return this.#failed;
  }

  chapter(title: string): void {
    this.#chapter += 1;
    console.log(`\n${bold(`${this.#chapter}. ${title}`)}`);
  }

  tell(text: string): void {
    console.log(`   ${text}`);
  }

  /** Both have to be the same, as JSON with sorted keys. */
  same(what: string, actual: unknown, expected: unknown): void {
    const [a, e] = [canonical(actual), canonical(expected)];
    this.holds(what, a === e, `is  ${shorten(a)}\n       not ${shorten(e)}`);
  }

  holds(what: string, condition: boolean, otherwise = ""): void {
    if (condition) this.#held += 1;
    else this.#failed += 1;
    console.log(`   ${condition ? green("✓") : red("✗")} ${what}`);
    if (!condition && otherwise) console.log(`       ${otherwise}`);
  }

  end(): void {
    const counts = `${this.#held} comparisons held, ${this.#failed} failed`;
    console.log(`\n${this.#failed === 0 ? green(counts) : red(counts)}`);
  }
}

export function ms(value: number): string {
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} s`;
  return value >= 100 ? `${Math.round(value)} ms` : `${value.toFixed(1)} ms`;
}

/** The value below which this share of the values lies. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (typeof part === "bigint") return `${part}`;
    if (typeof part !== "object" || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  });
}

function shorten(value: string): string {
  return value.length > 600 ? `${value.slice(0, 600)}…` : value;
}

const colours = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code: number) => (text: string) => (colours ? `\u001b[${code}m${text}\u001b[0m` : text);
const [bold, red, green] = [paint(1), paint(31), paint(32)];
