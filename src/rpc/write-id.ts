import { randomInt, randomUUID } from "node:crypto";
import { OpsDbError } from "../errors.ts";

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Reads a UUID of any version in its 8-4-4-4-12 form, in lower case. */
export function parseWriteId(text: string, field: string): string {
  if (!uuid.test(text)) throw new OpsDbError("INVALID_FIELD", "a write id is a UUID, 8-4-4-4-12", { field });
  return text.toLowerCase();
}

/** Makes version 7 UUIDs that rise within this process, also within one millisecond and when the clock goes back. */
export class WriteIds {
  readonly #now: () => number;
  #lastMs = 0;
  #counter = 0;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  next(): string {
    const ms = this.#now();
    if (ms > this.#lastMs) {
      this.#lastMs = ms;
      this.#counter = randomInt(0x800); // the upper half of the 12 bits is left for counting on
    } else if (this.#counter < 0xfff) {
      this.#counter += 1;
    } else {
      this.#lastMs += 1;
      this.#counter = 0;
    }
    const time = this.#lastMs.toString(16).padStart(12, "0");
    const counter = this.#counter.toString(16).padStart(3, "0");
    return `${time.slice(0, 8)}-${time.slice(8)}-7${counter}-${randomUUID().slice(19)}`;
  }
}
