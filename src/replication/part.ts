import type { PartState, PartStatus } from "./status.ts";

/** The present state of one part of the site. Setting the same state and reason again keeps `since`. */
export class Part {
  #status: PartStatus;
  readonly #changed: () => void;

  constructor(state: PartState, reason: string, changed: () => void) {
    this.#status = { state, reason, since: new Date() };
    this.#changed = changed;
  }

  get status(): PartStatus {
    return this.#status;
  }

  set(state: PartState, reason = "", nextAttemptInMs?: number): void {
    const { state: before, reason: why, since } = this.#status;
    const same = before === state && why === reason;
    this.#status = {
      state,
      reason,
      since: same ? since : new Date(),
      ...(nextAttemptInMs === undefined ? {} : { nextAttempt: new Date(Date.now() + nextAttemptInMs) }),
    };
    if (!same || nextAttemptInMs !== undefined) this.#changed();
  }
}
