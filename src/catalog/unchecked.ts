/**
 * What memory could not tell of a completed write, and a database with the same schema can: the value of a default, the
 * stored text of a value, whether a CHECK holds. `field` is the path in the request, for errors.
 */
export type Unchecked =
  /** The column is not in the mutation yet. */
  | { kind: "default"; mutation: number; column: string; field: string }
  | { kind: "value"; mutation: number; column: string; field: string }
  | { kind: "precondition"; mutation: number; precondition: number; column: string; field: string }
  | { kind: "check"; mutation: number; check: string; field: string };
