declare module "pg/lib/utils.js" {
  /** The value as the text or bytes that pg sends for it: arrays in PostgreSQL's form. */
  export function prepareValue(value: unknown): unknown;
}
