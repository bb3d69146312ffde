/** A JSON value whose numbers are kept as they were written, so that no digit is lost. */
export type ExactJson = null | boolean | string | ExactNumber | ExactJson[] | { [name: string]: ExactJson };

/** A number in its own digits; JSON.stringify writes them as they are. */
export interface ExactNumber {
  readonly rawJSON: string;
}

// What JavaScript has for this is not in the type definitions yet.
const exact = JSON as unknown as {
  rawJSON: (text: string) => ExactNumber;
  isRawJSON: (value: unknown) => value is ExactNumber;
  parse: (text: string, reviver: (name: string, value: unknown, context: { source: string }) => unknown) => ExactJson;
};

/** Reads JSON; throws SyntaxError for what is none. */
export function parseExactJson(text: string): ExactJson {
  return exact.parse(text, (_, value, { source }) => (typeof value === "number" ? exact.rawJSON(source) : value));
}

export function isExactNumber(value: unknown): value is ExactNumber {
  return exact.isRawJSON(value);
}

/** Whether it is an object with members, so neither a list nor a number. */
export function isExactObject(value: ExactJson | undefined): value is { [name: string]: ExactJson } {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !isExactNumber(value);
}
