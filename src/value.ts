/** A value as a client sends it, before its column's type is known. Mirrors opsdb.v1.Value. */
export type Value =
  | { kind: "null" }
  | { kind: "bool"; value: boolean }
  | { kind: "int64"; value: bigint }
  | { kind: "double"; value: number }
  | { kind: "numeric"; value: string }
  | { kind: "string"; value: string }
  | { kind: "bytes"; value: Uint8Array }
  /** An instant: seconds since 1970-01-01T00:00:00Z and nanoseconds 0..999,999,999. */
  | { kind: "timestamp"; seconds: bigint; nanos: number }
  | { kind: "uuid"; value: string }
  | { kind: "json"; value: string }
  | { kind: "array"; values: Value[] };

/**
 * A value inside the service: PostgreSQL's text form of the column's type (what the type's output function prints with
 * UTC, ISO dates, hex bytea), or null. It is exact for every type and needs no second encoding on the way to the
 * buffer, to main and into a merged read.
 */
export type TextValue = string | null;

/** How a type's values go out to clients; "text" for every type without a kind of its own. */
export type ValueKind = "bool" | "int64" | "double" | "numeric" | "bytes" | "timestamp" | "uuid" | "json" | "text";
