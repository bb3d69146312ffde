import type { ViolationKind } from "./check-history.ts";
import type { Ground } from "./check-history-ground.ts";

/** A violation that can be planted into a record without any. */
export interface Plant {
  kind: ViolationKind;
  name: string;
  /** Answers false, whatever it has changed, where the record has no place in which it would surely be one. */
  into(ground: Ground): boolean;
}
