import type pg from "pg";
import { prepareValue } from "pg/lib/utils.js";
import type { TextValue } from "../value.ts";
import type { Statement } from "./connection.ts";

interface Wire {
  /** By name: the text of what is prepared on the connection. */
  parsedStatements: Record<string, string>;
  stream: { cork(): void; uncork(): void };
  close(what: { type: "S"; name: string }): void;
  parse(query: { text: string; name: string; types: number[] }): void;
  bind(values: { statement: string; values: unknown[]; valueMapper: (value: unknown) => unknown }): void;
  execute(what: { portal: string }): void;
  sync(): void;
}

/**
 * Sends statements in one message and answers with the rows of each, as text, after one round trip. The first that fails
 * fails all: PostgreSQL skips what comes after it. One that has a name is prepared under it, once for a connection.
 */
export function queryTogether(client: pg.ClientBase, statements: readonly Statement[]): Promise<TextValue[][][]> {
  return new Promise((resolve, reject) => {
    client.query(new Together(statements, resolve, reject) as unknown as pg.Submittable);
  });
}

class Together {
  readonly #statements: readonly Statement[];
  readonly #resolve: (rows: TextValue[][][]) => void;
  readonly #reject: (error: unknown) => void;
  readonly #done: TextValue[][][] = [];
  #rows: TextValue[][] = [];
  #failed = false;

  constructor(
    statements: readonly Statement[],
    resolve: (rows: TextValue[][][]) => void,
    reject: (error: unknown) => void,
  ) {
    this.#statements = statements;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  submit(wire: Wire): void {
    wire.stream.cork();
    try {
      for (const statement of this.#statements) send(wire, statement);
      wire.sync();
    } finally {
      wire.stream.uncork();
    }
  }

  handleDataRow({ fields }: { fields: TextValue[] }): void {
    this.#rows.push(fields);
  }

  handleCommandComplete(_: unknown, wire: Wire): void {
    const { name = "", text = "" } = this.#statements[this.#done.length] ?? {};
    if (name !== "") wire.parsedStatements[name] = text;
    this.#done.push(this.#rows);
    this.#rows = [];
  }

  handleError(error: unknown): void {
    this.#failed = true;
    this.#reject(error);
  }

  handleReadyForQuery(): void {
    if (!this.#failed) this.#resolve(this.#done);
  }
}

function send(wire: Wire, { name = "", text, values = [] }: Statement): void {
  if (name === "" || wire.parsedStatements[name] !== text) {
    // It may be there from an attempt that failed later.
    if (name !== "") wire.close({ type: "S", name });
    wire.parse({ text, name, types: [] });
  }
  wire.bind({ statement: name, values, valueMapper: prepareValue });
  wire.execute({ portal: "" });
}
