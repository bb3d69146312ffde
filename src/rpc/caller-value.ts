import { createContextKey } from "@connectrpc/connect";
import type { Caller } from "../security/caller.ts";

/** Who was let in to make a call. */
export interface Admitted {
  caller: Caller;
  /** Puts into the log that the call went no further. */
  denied: (error: unknown) => void;
}

/** Undefined where nobody was asked. */
export const callerValue = createContextKey<Admitted | undefined>(undefined, { description: "caller" });
