import type { Value } from "../value.ts";
import { formatDecimal, parseDecimal } from "./decimal.ts";
import { excerpt, Unfit } from "./unfit.ts";

/** Deeper documents could exhaust PostgreSQL's stack, which would refuse the write only on main. */
const MAX_DEPTH = 1000;

/** json is kept as it was written; jsonb is printed as PostgreSQL prints it. */
export function encodeJson(base: "json" | "jsonb", value: Value): string {
  if (value.kind !== "json" && value.kind !== "string") throw new Unfit(`a ${value.kind} is not a JSON text`);
  try {
    JSON.parse(value.value);
  } catch {
    throw new Unfit(`${excerpt(value.value)} is not valid JSON`);
  }
  const tokens = value.value.match(TOKEN) ?? [];
  checkDepth(tokens);
  return base === "json" ? value.value : print({ tokens, next: 0 });
}

/** The text is valid JSON by now, so this finds its tokens and nothing else. */
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\]:,]|[^\s{}[\]:,"]+/g;

function checkDepth(tokens: readonly string[]): void {
  let depth = 0;
  for (const token of tokens) {
    if (token === "{" || token === "[") depth++;
    else if (token === "}" || token === "]") depth--;
    if (depth > MAX_DEPTH) throw new Unfit(`the JSON is nested deeper than ${MAX_DEPTH}`);
  }
}

interface Cursor {
  readonly tokens: readonly string[];
  next: number;
}

function print(at: Cursor): string {
  const token = at.tokens[at.next++] ?? "";
  if (token === "{") return printObject(at);
  if (token === "[") return printArray(at);
  if (token.startsWith('"')) return quote(unquote(token));
  if (/^[-\d]/.test(token)) return printNumber(token);
  return token;
}

function printArray(at: Cursor): string {
  const items: string[] = [];
  while (at.tokens[at.next] !== "]") {
    items.push(print(at));
    if (at.tokens[at.next] === ",") at.next++;
  }
  at.next++;
  return `[${items.join(", ")}]`;
}

/** The last of equal keys wins; keys are sorted by their length in bytes, then by their bytes. */
function printObject(at: Cursor): string {
  const members = new Map<string, string>();
  while (at.tokens[at.next] !== "}") {
    const key = unquote(at.tokens[at.next] ?? "");
    at.next += 2;
    members.set(key, print(at));
    if (at.tokens[at.next] === ",") at.next++;
  }
  at.next++;
  const sorted = [...members]
    .map(([key, text]) => ({ bytes: Buffer.from(key), text: `${quote(key)}: ${text}` }))
    .sort((a, b) => a.bytes.length - b.bytes.length || a.bytes.compare(b.bytes));
  return `{${sorted.map((member) => member.text).join(", ")}}`;
}

function printNumber(token: string): string {
  const decimal = parseDecimal(token);
  if (!decimal) throw new Unfit(`the JSON number ${excerpt(token)} is out of range`);
  return formatDecimal(decimal);
}

function unquote(token: string): string {
  const text = String(JSON.parse(token));
  if (text.includes("\0")) throw new Unfit("jsonb cannot hold \\u0000");
  if (!text.isWellFormed()) throw new Unfit("the JSON has half of a surrogate pair");
  return text;
}

function quote(text: string): string {
  // JSON.stringify escapes exactly what PostgreSQL escapes once half pairs are excluded.
  return JSON.stringify(text);
}
