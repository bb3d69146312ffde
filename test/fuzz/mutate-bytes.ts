import type { Chance } from "../property/chance.ts";

/** The bytes with one to a few things wrong: flipped bits, cut, doubled, moved, lies about lengths, and other bytes in between. */
export function mutateBytes(original: Uint8Array, chance: Chance): Uint8Array {
  let bytes = Buffer.from(original);
  for (let left = chance.of([1, 1, 1, 2, 3, 8]); left > 0; left--) bytes = mutateOnce(bytes, chance);
  return bytes;
}

function mutateOnce(bytes: Buffer<ArrayBuffer>, chance: Chance): Buffer<ArrayBuffer> {
  const at = chance.below(bytes.length + 1);
  const to = at + chance.below(Math.min(bytes.length - at, 64) + 1);
  const [before, piece, after] = [bytes.subarray(0, at), bytes.subarray(at, to), bytes.subarray(to)];
  switch (chance.below(8)) {
    case 0: {
      const flipped = Buffer.from(bytes);
      if (at < flipped.length) flipped[at] = (flipped[at] ?? 0) ^ (1 << chance.below(8));
      return flipped;
    }
    case 1: {
      const set = Buffer.from(bytes);
      if (at < set.length) set[at] = chance.of([0, 1, 0x7f, 0x80, 0xff, chance.below(256)]);
      return set;
    }
    case 2:
      return before; // cut
    case 3:
      return Buffer.concat([before, after]);
    case 4:
      return Buffer.concat([before, piece, piece, after]);
    case 5:
      return Buffer.concat([
        before,
        Buffer.from(Array.from({ length: chance.between(1, 8) }, () => chance.below(256))),
        after,
      ]);
    case 6:
      return Buffer.concat([before, ...Array.from({ length: chance.of([2, 20, 300]) }, () => piece), after]);
    default:
      return reordered(bytes, chance);
  }
}

/** The message's own fields in another order, some twice. */
function reordered(bytes: Buffer<ArrayBuffer>, chance: Chance): Buffer<ArrayBuffer> {
  const fields = fieldsOf(bytes);
  const shuffled = chance.draw(fields, fields.length);
  if (fields.length > 0) shuffled.push(...chance.some(fields));
  return Buffer.concat(shuffled);
}

/** The top-level fields as they stand; what cannot be read any more is one piece at the end. */
function fieldsOf(bytes: Buffer<ArrayBuffer>): Buffer<ArrayBuffer>[] {
  const fields: Buffer<ArrayBuffer>[] = [];
  let start = 0;
  while (start < bytes.length) {
    const tag = varint(bytes, start);
    const body = tag && bodyEnd(bytes, tag.end, tag.value & 7);
    if (!body || body > bytes.length) return [...fields, bytes.subarray(start)];
    fields.push(bytes.subarray(start, body));
    start = body;
  }
  return fields;
}

function bodyEnd(bytes: Buffer, at: number, wireType: number): number | undefined {
  if (wireType === 1) return at + 8;
  if (wireType === 5) return at + 4;
  if (wireType !== 0 && wireType !== 2) return undefined;
  const read = varint(bytes, at);
  return read && (wireType === 0 ? read.end : read.end + read.value);
}

function varint(bytes: Buffer, at: number): { value: number; end: number } | undefined {
  let value = 0;
  for (let i = 0; i < 5; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return { value, end: at + i + 1 };
  }
  return undefined;
}

/** JSON text with the same kinds of mistakes, and some that only JSON can have. */
export function mutateText(original: string, chance: Chance): Buffer {
  if (chance.once(3)) return Buffer.from(mutateBytes(Buffer.from(original), chance));
  const at = chance.below(original.length + 1);
  const odd = chance.of([
    "null",
    "{}",
    "[]",
    '"x"',
    "1e999",
    "-0",
    "NaN",
    '{"__proto__":{}}',
    '"constructor":',
    "\\ud800",
    '"\\ud800"',
    "\u0000",
    "[".repeat(chance.of([10, 1_000, 100_000])),
    '{"not":'.repeat(chance.of([10, 1_000, 20_000])),
    "9".repeat(chance.of([20, 5_000])),
  ]);
  const gone = chance.below(12);
  const text = original.slice(0, at) + odd + original.slice(at + gone);
  return Buffer.from(chance.once(2) ? text : original.replace(/:("[^"]*"|\d+|true|false)/, `:${odd}`));
}
