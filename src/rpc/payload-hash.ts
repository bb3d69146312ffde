import { createHash } from "node:crypto";
import type { Value } from "../value.ts";
import type { RequestedMutation, RequestedPrecondition } from "../write.ts";

/**
 * SHA-256 of a write's content. Maps are taken in the order of their keys and every text carries its length, so that
 * equal content has an equal hash and different content a different one, whatever a client's map order.
 */
export function payloadHash(mutations: readonly RequestedMutation[]): Uint8Array {
  let content = "1;"; // version of this form: stored hashes are compared for as long as the ledger keeps them
  for (const mutation of mutations) {
    content += text(mutation.table) + text(mutation.operation) + map(mutation.key) + map(mutation.values);
    content += list(mutation.preconditions.map(precondition));
  }
  return createHash("sha256").update(content, "utf8").digest();
}

function precondition(condition: RequestedPrecondition): string {
  return condition.kind === "row_exists" ? `e${condition.exists ? 1 : 0}` : `c${map(condition.values)}`;
}

function map(values: Record<string, Value>): string {
  const names = Object.keys(values).sort();
  let out = `{${names.length};`;
  for (const name of names) out += text(name) + encode(values[name] as Value);
  return out;
}

function encode(value: Value): string {
  switch (value.kind) {
    case "null":
      return "0";
    case "bool":
      return value.value ? "t" : "f";
    case "int64":
      return `i${value.value};`;
    case "double":
      return `d${Object.is(value.value, -0) ? "-0" : value.value};`;
    case "numeric":
      return `n${text(value.value)}`;
    case "string":
      return `s${text(value.value)}`;
    case "bytes":
      return `b${text(Buffer.from(value.value).toString("base64"))}`;
    case "timestamp":
      return `z${value.seconds}.${value.nanos};`;
    case "uuid":
      return `u${text(value.value)}`;
    case "json":
      return `j${text(value.value)}`;
    case "array":
      return `a${list(value.values.map(encode))}`;
  }
}

function list(items: string[]): string {
  return `[${items.length};${items.join("")}`;
}

function text(content: string): string {
  return `${content.length}:${content}`;
}
