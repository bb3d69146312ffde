/** A statement's text with byte offsets, which is how PostgreSQL's parser counts. */
export class SqlText {
  readonly text: string;
  readonly #bytes: Buffer;

  constructor(text: string) {
    this.text = text;
    this.#bytes = Buffer.from(text);
  }

  get byteLength(): number {
    return this.#bytes.length;
  }

  slice(start: number, end?: number): string {
    return this.#bytes.toString("utf8", start, end);
  }

  /** For people: where a byte is, both from 1, the column in characters. */
  place(byte: number): SqlPlace {
    const before = this.slice(0, Math.max(0, byte));
    const line = before.split("\n").length;
    const column = [...before.slice(before.lastIndexOf("\n") + 1)].length + 1;
    return { position: [...before].length + 1, line, column };
  }

  /** The byte where the nth character (from 0) begins. */
  byteOf(character: number): number {
    return Buffer.byteLength([...this.text].slice(0, character).join(""));
  }
}

export interface SqlPlace {
  /** In characters of the whole text, from 1. */
  position: number;
  line: number;
  column: number;
}
