import type pg from "pg";

export interface SqlField {
  name: string;
  /** OID of the type; a domain's is its base type's. */
  type: number;
  modifier: number;
}

export interface SqlDescription {
  /** OIDs of the parameters' types. */
  parameters: number[];
  fields: SqlField[];
}

interface Wire extends NodeJS.EventEmitter {
  parse(query: { text: string; name: string; types: number[] }): void;
  describe(what: { type: "S"; name: string }): void;
  sync(): void;
}

/** Lets PostgreSQL analyse a statement without running it: which parameters it takes, and which columns it gives. */
export function describeStatement(client: pg.ClientBase, text: string): Promise<SqlDescription> {
  return new Promise((resolve, reject) => {
    client.query(new Describe(text, resolve, reject) as unknown as pg.Submittable);
  });
}

class Describe {
  readonly #text: string;
  readonly #resolve: (description: SqlDescription) => void;
  readonly #reject: (error: unknown) => void;
  readonly #description: SqlDescription = { parameters: [], fields: [] };
  #error: unknown;
  #stopListening: () => void = () => {};

  constructor(text: string, resolve: (description: SqlDescription) => void, reject: (error: unknown) => void) {
    this.#text = text;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  submit(wire: Wire): void {
    const described = ({ dataTypeIDs }: { dataTypeIDs: number[] }): void => {
      this.#description.parameters = dataTypeIDs;
    };
    wire.once("parameterDescription", described);
    this.#stopListening = () => wire.off("parameterDescription", described);
    wire.parse({ text: this.#text, name: "", types: [] });
    wire.describe({ type: "S", name: "" });
    wire.sync();
  }

  handleRowDescription({ fields }: { fields: { name: string; dataTypeID: number; dataTypeModifier: number }[] }): void {
    this.#description.fields = fields.map(({ name, dataTypeID: type, dataTypeModifier: modifier }) => ({
      name,
      type,
      modifier,
    }));
  }

  handleError(error: unknown): void {
    this.#error ??= error;
    this.#stopListening();
    // Where the connection is gone nothing more will come.
    this.#reject(error);
  }

  handleReadyForQuery(): void {
    this.#stopListening();
    if (this.#error === undefined) this.#resolve(this.#description);
  }
}
