import type { TextValue } from "../value.ts";
import type { Mutation, Operation, Precondition, Write } from "../write.ts";

// Version 1 of the payload in the stream: JSON of [version, hash as base64, mutations], each mutation
// [table, operation letter, key, columns, values, set columns or 0, preconditions or 0, filled columns where there are any].
// Short, because a night of them waits in memory; JSON, because an operator can read it with redis-cli.
type EncodedMutation = [
  ...[string, string, TextValue[], string[], TextValue[], string[] | 0, Precondition[] | 0],
  filled?: string[],
];
// A fourth element, 1, says that the id was not looked for in the ledger.
type Encoded = [1, string, EncodedMutation[], unchecked?: 1];

const letters: Record<Operation, string> = { insert: "i", update: "u", upsert: "s", delete: "d" };
const operations = new Map(Object.entries(letters).map(([operation, letter]) => [letter, operation as Operation]));

/** The payload of a write as it stands in the stream. */
export function encodeWrite(write: Write): string {
  const encoded: Encoded = [
    1,
    Buffer.from(write.payloadHash).toString("base64"),
    write.mutations.map(
      (m): EncodedMutation => [
        m.table,
        letters[m.operation],
        m.key,
        m.columns,
        m.values,
        m.setColumns ?? 0,
        m.preconditions.length === 0 ? 0 : m.preconditions,
        ...(m.filled === undefined ? ([] as const) : ([m.filled] as const)),
      ],
    ),
    ...(write.idUnchecked ? ([1] as const) : ([] as const)),
  ];
  return JSON.stringify(encoded);
}

/** The same write, its id not looked for in the ledger. */
export function withIdUnchecked(payload: string): string {
  const [version, hash, mutations] = JSON.parse(payload) as Encoded;
  return JSON.stringify([version, hash, mutations, 1] satisfies Encoded);
}

/** The write of a payload. Throws on payloads that this version did not write. */
export function decodeWrite(writeId: string, payload: string): Write {
  const [version, hash, mutations, unchecked] = JSON.parse(payload) as Encoded;
  if (version !== 1)
    throw new RangeError(`write ${writeId} has payload version ${String(version)}, this service reads 1`);
  return {
    writeId,
    payloadHash: Buffer.from(hash, "base64"),
    ...(unchecked === 1 ? { idUnchecked: true } : {}),
    mutations: mutations.map(([table, letter, key, columns, values, setColumns, preconditions, filled]): Mutation => {
      const operation = operations.get(letter);
      if (!operation) throw new RangeError(`write ${writeId} has an unknown operation ${letter}`);
      return {
        table,
        operation,
        key,
        columns,
        values,
        ...(setColumns === 0 ? {} : { setColumns }),
        ...(filled === undefined ? {} : { filled }),
        preconditions: preconditions === 0 ? [] : preconditions,
      };
    }),
  };
}
