/** What to make of an array's parts while its text is read. */
export interface ArrayShape<T> {
  /** typdelim of the element type. */
  delimiter: string;
  /** One element; null for an unquoted NULL. */
  element(text: string | null): T;
  /** One dimension. */
  nest(items: T[]): T;
}

/** Whether the text of an array has bounds in front (`[0:1]={1,2}`): PostgreSQL prints them unless all begin with 1. */
export function hasBounds(text: string): boolean {
  return text.startsWith("[");
}

/**
 * Reads PostgreSQL's text form of an array: `{1,NULL,"a b",{2,3}}`, with optional bounds in front, which are skipped. Throws a
 * RangeError for anything else.
 */
export function parseArray<T>(text: string, shape: ArrayShape<T>): T {
  const reader = new ArrayReader(text, shape);
  return reader.whole();
}

class ArrayReader<T> {
  readonly #text: string;
  readonly #shape: ArrayShape<T>;
  #at = 0;

  constructor(text: string, shape: ArrayShape<T>) {
    this.#text = text;
    this.#shape = shape;
  }

  whole(): T {
    if (this.#text.startsWith("[")) this.#at = this.#text.indexOf("=") + 1;
    const value = this.#dimension();
    if (this.#at !== this.#text.length) this.#fail();
    return value;
  }

  #dimension(): T {
    if (this.#text[this.#at] !== "{") this.#fail();
    this.#at += 1;
    const items: T[] = [];
    if (this.#text[this.#at] === "}") {
      this.#at += 1;
      return this.#shape.nest(items);
    }
    for (;;) {
      const next = this.#text[this.#at];
      if (next === "{") items.push(this.#dimension());
      else if (next === '"') items.push(this.#shape.element(this.#quoted()));
      else items.push(this.#shape.element(this.#bare()));
      const after = this.#text[this.#at];
      this.#at += 1;
      if (after === "}") return this.#shape.nest(items);
      if (after !== this.#shape.delimiter) this.#fail();
    }
  }

  #quoted(): string {
    let out = "";
    for (let start = ++this.#at; ; this.#at += 1) {
      const char = this.#text[this.#at];
      if (char === undefined) this.#fail();
      if (char !== '"' && char !== "\\") continue;
      out += this.#text.slice(start, this.#at);
      this.#at += 1;
      if (char === '"') return out;
      start = this.#at; // the escaped character begins the next slice
    }
  }

  #bare(): string | null {
    const start = this.#at;
    let escaped = false;
    for (; ; this.#at += 1) {
      const char = this.#text[this.#at];
      if (char === undefined) this.#fail();
      if (char === "}" || char === this.#shape.delimiter) break;
      if (char !== "\\") continue;
      escaped = true;
      this.#at += 1;
    }
    const text = this.#text.slice(start, this.#at);
    if (text === "") this.#fail();
    if (escaped) return text.replace(/\\(.)/gs, "$1");
    return text.toUpperCase() === "NULL" ? null : text;
  }

  #fail(): never {
    throw new RangeError(`not an array at ${this.#at}: ${this.#text.slice(0, 100)}`);
  }
}
