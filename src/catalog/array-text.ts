import { excerpt, Unfit } from "./unfit.ts";

/** An array as nested lists of elements; null is SQL NULL. */
export type Nested<Element> = (Element | null | Nested<Element>)[];

const MAX_DIMENSIONS = 6;

/** Reads PostgreSQL's text form of an array. The lower bounds are kept as text where they are not all 1. */
export function parseArrayText(text: string, delimiter: string): { bounds: string; items: Nested<string> } {
  const match = /^\s*(?:((?:\[[+-]?\d{1,9}(?::[+-]?\d{1,9})?\])+)\s*=\s*)?(\{.*\})\s*$/s.exec(text);
  if (!match) throw new Unfit(`${excerpt(text)} is not an array such as {1,2}`);
  const scanner = new Scanner(match[2] ?? "", delimiter);
  const items = scanner.list();
  if (!scanner.atEnd()) throw new Unfit(`${excerpt(text)} goes on after its closing brace`);
  return { bounds: readBounds(match[1], items), items };
}

/** Writes PostgreSQL's text form. Refuses what is not rectangular; an array without any element is `{}`. */
export function formatArrayText(items: Nested<string>, delimiter: string, bounds = ""): string {
  if (lengthsOf(items).includes(0)) return "{}";
  const quoted = new RegExp(`^$|^null$|["\\\\{} \\t\\n\\r\\v\\f${delimiter.replace(/[\\\]^-]/, "\\$&")}]`, "i");
  const print = (item: string | null | Nested<string>): string => {
    if (item === null) return "NULL";
    if (Array.isArray(item)) return `{${item.map(print).join(delimiter)}}`;
    return quoted.test(item) ? `"${item.replace(/["\\]/g, "\\$&")}"` : item;
  };
  return bounds + print(items);
}

/** The length of each dimension. */
function lengthsOf(items: Nested<string>): number[] {
  const inner = items.map((item) => (Array.isArray(item) ? lengthsOf(item) : []));
  const first = inner[0] ?? [];
  if (inner.some((lengths) => lengths.join() !== first.join())) throw new Unfit("the array is not rectangular");
  if (first.length + 1 > MAX_DIMENSIONS) throw new Unfit(`the array has more than ${MAX_DIMENSIONS} dimensions`);
  return [items.length, ...first];
}

function readBounds(text: string | undefined, items: Nested<string>): string {
  if (text === undefined) return "";
  const bounds = [...text.matchAll(/\[([^:\]]+)(?::([^\]]+))?\]/g)].map(([, a, b]) =>
    b === undefined ? { lower: 1, upper: Number(a) } : { lower: Number(a), upper: Number(b) },
  );
  const lengths = lengthsOf(items);
  if (bounds.map((b) => b.upper - b.lower + 1).join() !== lengths.join())
    throw new Unfit("the array has other bounds than elements");
  if (bounds.every((b) => b.lower === 1)) return "";
  return `${bounds.map((b) => `[${b.lower}:${b.upper}]`).join("")}=`;
}

class Scanner {
  readonly #text: string;
  readonly #delimiter: string;
  #at = 0;

  constructor(text: string, delimiter: string) {
    this.#text = text;
    this.#delimiter = delimiter;
  }

  atEnd(): boolean {
    return this.#at === this.#text.length;
  }

  list(depth = 1): Nested<string> {
    if (depth > MAX_DIMENSIONS) throw new Unfit(`the array has more than ${MAX_DIMENSIONS} dimensions`);
    const items: Nested<string> = [];
    this.#at++;
    this.#skipSpace();
    if (this.#take("}")) return items;
    for (;;) {
      this.#skipSpace();
      items.push(this.#peek() === "{" ? this.list(depth + 1) : this.#peek() === '"' ? this.#quoted() : this.#bare());
      this.#skipSpace();
      if (this.#take("}")) return items;
      if (!this.#take(this.#delimiter)) throw this.#malformed();
    }
  }

  #quoted(): string {
    const match = /"((?:[^"\\]|\\.)*)"/sy;
    match.lastIndex = this.#at;
    const found = match.exec(this.#text);
    if (!found) throw this.#malformed();
    this.#at = match.lastIndex;
    return (found[1] ?? "").replace(/\\(.)/gs, "$1");
  }

  #bare(): string | null {
    const start = this.#at;
    let text = "";
    let kept = 0;
    for (; !this.atEnd() && !`{}"${this.#delimiter}`.includes(this.#peek()); this.#at++) {
      const escaped = this.#peek() === "\\";
      if (escaped) this.#at++;
      text += this.#peek();
      // Space at the end belongs to the element only where it is escaped.
      if (escaped || !/[ \t\n\r\v\f]/.test(this.#peek())) kept = text.length;
    }
    text = text.slice(0, kept);
    if (text === "") throw this.#malformed();
    return /^null$/i.test(this.#text.slice(start, this.#at).trimEnd()) ? null : text;
  }

  #take(character: string): boolean {
    if (this.#peek() !== character) return false;
    this.#at++;
    return true;
  }

  #peek(): string {
    return this.#text[this.#at] ?? "";
  }

  #skipSpace(): void {
    while (/[ \t\n\r\v\f]/.test(this.#peek())) this.#at++;
  }

  #malformed(): Unfit {
    return new Unfit(`${excerpt(this.#text)} is not an array: unexpected ${excerpt(this.#peek())} at ${this.#at}`);
  }
}
