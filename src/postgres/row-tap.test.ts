import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import type pg from "pg";
import { expect, test } from "vitest";
import { random as numbers } from "../../test/support/random.ts";
import { RowTap } from "./row-tap.ts";

/** A connection whose driver keeps what it is given. */
class Connection {
  readonly stream = new EventEmitter() as Socket;
  readonly #given: Buffer[] = [];

  constructor() {
    this.stream.on("data", (bytes: Buffer) => this.#given.push(bytes));
  }

  get client(): pg.ClientBase {
    return { connection: { stream: this.stream } } as unknown as pg.ClientBase;
  }

  get given(): Buffer {
    return Buffer.concat(this.#given);
  }
}

function message(type: string, body: Buffer): Buffer {
  const head = Buffer.from(`${type}....`);
  head.writeUInt32BE(4 + body.length, 1);
  return Buffer.concat([head, body]);
}

function row(text: string): Buffer {
  const body = Buffer.alloc(6);
  body.writeInt16BE(1, 0);
  body.writeInt32BE(Buffer.byteLength(text), 2);
  return message("D", Buffer.concat([body, Buffer.from(text)]));
}

test("however the bytes are cut, rows are kept whole and in order, and the driver gets everything else", () => {
  for (let seed = 0; seed < 2_000; seed += 1) {
    const below = numbers(seed);
    const connection = new Connection();
    const rows: string[] = [];
    const others: Buffer[] = [];
    const sent: Buffer[] = [];
    for (let i = 0; i < 1 + below(8); i += 1) {
      if (below(10) < 6) {
        rows.push(`${"é".repeat(below(20))}${i}`);
        sent.push(row(rows.at(-1) ?? ""));
      } else {
        const other = message("SNECZ"[below(5)] ?? "S", Buffer.from("D".repeat(below(8))));
        others.push(other);
        sent.push(other);
      }
    }
    const bytes = Buffer.concat(sent);
    {
      using tap = new RowTap(connection.client);
      for (let at = 0; at < bytes.length; ) {
        const end = at + 1 + below(below(2) === 0 ? 3 : 30);
        connection.stream.emit("data", bytes.subarray(at, end));
        at = end;
      }
      expect(tap.rows().rows.map((each) => each.text(0))).toEqual(rows);
    }
    expect(connection.given).toEqual(Buffer.concat(others));
    expect(connection.stream.listenerCount("data")).toBe(1);
  }
});

test("a message that has arrived in part when the rows are over reaches the driver whole", () => {
  const connection = new Connection();
  const unasked = message("S", Buffer.from("in_hot_standby\0off\0"));
  {
    using _tap = new RowTap(connection.client);
    connection.stream.emit("data", Buffer.concat([row("1"), unasked.subarray(0, 7)]));
  }
  connection.stream.emit("data", unasked.subarray(7));
  expect(connection.given).toEqual(unasked);
});
