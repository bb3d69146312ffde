import type { Value } from "../value.ts";
import { formatDecimal, parseDecimal } from "./decimal.ts";
import { excerpt, Unfit } from "./unfit.ts";

/** Deeper documents could exhaust PostgreSQL's stack, which would refuse the write only on main. */
const MAX_DEPTH = 1000;
/** jsonb writes its numbers out: of 1e300, a document may have so many characters more than were sent. */
const MAX_ADDED = 16 * 1024 ** 2;

/** json is kept as it was written; jsonb is printed as PostgreSQL prints it. */
export function encodeJson(base: "json" | "jsonb", value: Value): string {
  if (value.kind !== "json" && value.kind !== "string") throw new Unfit(`a ${value.kind} is not a JSON text`);
  checkDepth(value.value);
  try {
    JSON.parse(value.value);
  } catch {
    throw new Unfit(`${excerpt(value.value)} is not valid JSON`);
  }
  return base === "json" ? value.value : print({ tokens: value.value.match(TOKEN) ?? [], next: 0, added: 0 });
}

/** The text is valid JSON by now, so this finds its tokens and nothing else. */
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\]:,]|[^\s{}[\]:,"]+/g;

/** Before it is read, which for four million brackets takes a second. The text may not be JSON at all. */
function checkDepth(text: string): void {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '"') at = endOfString(text, at);
    else if (character === "{" || character === "[") depth++;
    else if (character === "}" || character === "]") depth--;
    if (depth > MAX_DEPTH) throw new Unfit(`the JSON is nested deeper than ${MAX_DEPTH}`);
  }
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at;
}

interface Cursor {
  readonly tokens: readonly string[];
  next: number;
  /** Characters that the numbers have more than were sent. */
  added: number;
}

function print(at: Cursor): string {
  const token = at.tokens[at.next++] ?? "";
  if (token === "{") return printObject(at);
  if (token === "[") return printArray(at);
  if (token.startsWith('"')) return quote(unquote(token));
  if (/^[-\d]/.test(token)) return printNumber(token, at);
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

function printNumber(token: string, at: Cursor): string {
  const decimal = parseDecimal(token);
  if (!decimal) throw new Unfit(`the JSON number ${excerpt(token)} is out of range`);
  const text = formatDecimal(decimal);
  at.added += text.length - token.length;
  if (at.added > MAX_ADDED) throw new Unfit("the JSON's numbers are far too long when they are written out");
  return text;
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
