import type { Socket } from "node:net";
import type pg from "pg";
import { OpsDbError } from "../errors.ts";
import { RowBytes } from "./row-bytes.ts";

type Listener = (chunk: Buffer) => void;

/** "D", of a DataRow message. */
const dataRow = 0x44;
/** Of a message's type and length, bytes. */
const headBytes = 5;

/**
 * Keeps the rows that arrive on a connection as bytes, before the driver would make a string of every value: most of them
 * go on as bytes. Everything else is the driver's, which sees no rows meanwhile.
 */
export class RowTap implements Disposable {
  readonly #stream: Socket;
  readonly #drivers: Listener[];
  readonly #tap: Listener = (chunk) => this.#take(chunk);
  #rows: RowBytes[] = [];
  #bytes = 0;
  #maxBytes = Number.POSITIVE_INFINITY;
  /** Pieces of the message that has not arrived whole. */
  #pieces: Buffer[] = [];
  #held = 0;
  /** Of that message with its head; 0 until the head is there. */
  #wanted = 0;
  #tooLarge: OpsDbError | undefined;

  constructor(client: pg.ClientBase) {
    this.#stream = socketOf(client);
    this.#drivers = this.#stream.listeners("data") as Listener[];
    this.#stream.on("data", this.#tap);
    for (const driver of this.#drivers) this.#stream.off("data", driver);
  }

  /**
   * Gives the connection up when more bytes than these arrive before the rows are taken: what comes is kept in memory, at
   * whatever pace. Why, `rows` says then.
   */
  limit(maxBytes: number): void {
    this.#maxBytes = maxBytes;
  }

  /** What has arrived since the last time. */
  rows(): { rows: RowBytes[]; bytes: number } {
    const taken = { rows: this.#rows, bytes: this.#bytes };
    this.#rows = [];
    this.#bytes = 0;
    return taken;
  }

  /** Set where the limit was passed. */
  get tooLarge(): OpsDbError | undefined {
    return this.#tooLarge;
  }

  [Symbol.dispose](): void {
    // A message that nobody asked for may have arrived in part.
    if (this.#held > 0) this.#give(Buffer.concat(this.#pieces, this.#held));
    for (const driver of this.#drivers) this.#stream.on("data", driver);
    this.#stream.off("data", this.#tap);
  }

  #take(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#maxBytes) {
      this.#tooLarge = batchTooLarge(this.#maxBytes);
      this.#stream.destroy();
      return;
    }
    if (this.#held === 0) {
      this.#split(chunk);
      return;
    }
    this.#pieces.push(chunk);
    this.#held += chunk.length;
    if (this.#wanted === 0) {
      const head = this.#held >= headBytes ? Buffer.concat(this.#pieces, headBytes) : undefined;
      if (!head) return;
      this.#wanted = 1 + head.readUInt32BE(1);
    }
    if (this.#held < this.#wanted) return;
    const whole = Buffer.concat(this.#pieces, this.#held);
    this.#pieces = [];
    this.#held = 0;
    this.#split(whole);
  }

  /** Begins with a message; the last one may not be whole. */
  #split(bytes: Buffer): void {
    let at = 0;
    let others = 0; // where what the driver has not been given begins
    while (at + headBytes <= bytes.length) {
      const end = at + 1 + bytes.readUInt32BE(at + 1);
      if (end > bytes.length) break;
      if (bytes[at] === dataRow) {
        if (others < at) this.#give(bytes.subarray(others, at));
        others = end;
        this.#rows.push(new RowBytes(bytes, at + headBytes + 2));
      }
      at = end;
    }
    if (others < at) this.#give(bytes.subarray(others, at));
    this.#held = bytes.length - at;
    this.#wanted = this.#held >= headBytes ? 1 + bytes.readUInt32BE(at + 1) : 0;
    if (this.#held > 0) this.#pieces.push(bytes.subarray(at));
  }

  #give(bytes: Buffer): void {
    for (const driver of this.#drivers) driver(bytes);
  }
}

export function socketOf(client: pg.ClientBase): Socket {
  return (client as unknown as { connection: { stream: Socket } }).connection.stream;
}

export function batchTooLarge(maxBytes: number): OpsDbError {
  return new OpsDbError(
    "QUERY_TOO_LARGE",
    `a batch of rows has more than ${maxBytes} bytes: ask for a smaller batch_size, or for less`,
    { field: "batch_size", metadata: { limit: "batch" } },
  );
}
