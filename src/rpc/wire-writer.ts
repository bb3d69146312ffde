/** A length that is written once what it counts has been. */
export interface OpenLength {
  /** Where what it counts begins. */
  start: number;
  /** Bytes kept free for it in front of that. */
  room: number;
}

/** Longer texts are worth the call into native code. */
const shortText = 64;
/** Longer bytes, too. */
const shortCopy = 24;

/** Writes protobuf's wire format into one buffer that is used again and again. */
export class WireWriter {
  #bytes: Buffer;
  #at = 0;

  constructor(capacity = 64 * 1024) {
    this.#bytes = Buffer.allocUnsafeSlow(capacity);
  }

  /** A copy of what was written since the last time. */
  take(): Uint8Array {
    const written = Uint8Array.prototype.slice.call(this.#bytes, 0, this.#at);
    this.#at = 0;
    return written;
  }

  /** One byte, for example a tag of a field up to 15. */
  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#at++] = value;
  }

  /** A varint of a number from 0 to 2^53 - 1. */
  varint(value: number): void {
    this.#reserve(10);
    let rest = value;
    while (rest > 0x7fffffff) {
      this.#bytes[this.#at++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    while (rest > 0x7f) {
      this.#bytes[this.#at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#bytes[this.#at++] = rest;
  }

  /** An int64; negative ones take ten bytes. */
  int64(value: bigint): void {
    this.#reserve(10);
    let rest = BigInt.asUintN(64, value);
    while (rest > 0x7fn) {
      this.#bytes[this.#at++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.#bytes[this.#at++] = Number(rest);
  }

  double(value: number): void {
    this.#reserve(8);
    this.#at = this.#bytes.writeDoubleLE(value, this.#at);
  }

  /** Bytes in front of which their length goes. */
  bytes(value: Uint8Array): void {
    this.varint(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
  }

  /** UTF-8 in front of which its length goes. */
  text(value: string): void {
    const { length } = value;
    if (length > shortText || !this.#shortAscii(value, length)) {
      const size = Buffer.byteLength(value);
      this.varint(size);
      this.#reserve(size);
      this.#at += this.#bytes.write(value, this.#at, size, "utf8");
    }
  }

  /** An element that holds one field of these bytes. */
  copy(element: number, field: number, source: Buffer, from: number, end: number): void {
    const size = end - from;
    this.#reserve(size + 12);
    this.#bytes[this.#at++] = element;
    this.varint(1 + varintSize(size) + size);
    this.#bytes[this.#at++] = field;
    this.varint(size);
    if (size > shortCopy) {
      source.copy(this.#bytes, this.#at, from, end);
      this.#at += size;
    } else for (let i = from; i < end; i += 1) this.#bytes[this.#at++] = source[i] ?? 0;
  }

  /** An element that holds one field with the number in these digits; false, with nothing written, for any other text. */
  digits(element: number, field: number, source: Buffer, from: number, end: number): boolean {
    if (end - from > 15) return false;
    let value = 0;
    for (let i = from; i < end; i += 1) {
      const digit = (source[i] ?? 0) - 48;
      if (digit < 0 || digit > 9) return false;
      value = value * 10 + digit;
    }
    this.#reserve(12);
    this.#bytes[this.#at++] = element;
    this.#bytes[this.#at++] = 1 + varintSize(value);
    this.#bytes[this.#at++] = field;
    this.varint(value);
    return true;
  }

  /** Begins something with a length in front, which will take this many bytes if the guess is good. */
  open(room: number): OpenLength {
    this.#reserve(room);
    this.#at += room;
    return { start: this.#at, room };
  }

  /** Ends it. Answers with the bytes that the length took: a good guess for the next of its kind. */
  close({ start, room }: OpenLength): number {
    const end = this.#at;
    const needed = varintSize(end - start);
    // At the end, for once the length is being written the buffer may not grow: what comes after it would be left behind.
    this.#reserve(10);
    if (needed !== room) this.#bytes.copyWithin(start - room + needed, start, end);
    this.#at = start - room;
    this.varint(end - start);
    this.#at = end - room + needed;
    return needed;
  }

  #shortAscii(value: string, length: number): boolean {
    this.#reserve(length + 1);
    const start = this.#at;
    this.#bytes[start] = length;
    for (let i = 0; i < length; i += 1) {
      const code = value.charCodeAt(i);
      if (code > 0x7f) return false;
      this.#bytes[start + 1 + i] = code;
    }
    this.#at = start + 1 + length;
    return true;
  }

  #reserve(count: number): void {
    if (this.#at + count <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#at + count));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 128)) size += 1;
  return size;
}
