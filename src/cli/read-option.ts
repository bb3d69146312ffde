import { UsageError } from "./command.ts";

const unitMs: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 };
const unitBytes: Record<string, number> = {
  "": 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
};

/** A time such as "500ms", "30s" or "5m", in milliseconds. */
export function readTime(text: string | undefined, option: string): number | undefined {
  if (text === undefined) return undefined;
  const [, number = "", unit = ""] = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/i.exec(text) ?? [];
  const ms = unitMs[unit.toLowerCase()];
  if (ms === undefined)
    throw new UsageError(`${option} is a time such as 500ms, 30s or 5m, not ${JSON.stringify(text)}`);
  return Number(number) * ms;
}

/** A size such as "64MB", in bytes. */
export function readSize(text: string | undefined, option: string): number | undefined {
  if (text === undefined) return undefined;
  const [, number = "", unit = "?"] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text) ?? [];
  const bytes = unitBytes[unit.toLowerCase()];
  if (bytes === undefined) throw new UsageError(`${option} is a size such as 64MB, not ${JSON.stringify(text)}`);
  return Number(number) * bytes;
}

/** A whole number, at least 1. */
export function readCount(text: string | undefined, option: string): number | undefined {
  if (text === undefined) return undefined;
  const number = /^\d{1,15}$/.test(text) ? Number(text) : 0;
  if (number < 1) throw new UsageError(`${option} is a whole number, at least 1, not ${JSON.stringify(text)}`);
  return number;
}

/** One of the words that the option knows. */
export function readWord<Word extends string>(
  text: string | undefined,
  option: string,
  words: readonly Word[],
): Word | undefined {
  if (text === undefined) return undefined;
  const word = words.find((each) => each === text.toLowerCase());
  if (word === undefined) throw new UsageError(`${option} is one of ${words.join(", ")}, not ${JSON.stringify(text)}`);
  return word;
}

/** Names with commas between them. */
export function readNames(text: string | undefined, option: string): string[] {
  if (text === undefined) return [];
  const names = text.split(",").map((name) => name.trim());
  if (names.includes(""))
    throw new UsageError(`${option} is a list of columns with commas, not ${JSON.stringify(text)}`);
  return names;
}
