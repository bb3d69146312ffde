import { setTimeout as delay } from "node:timers/promises";
import type { WriteResponse } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { type ChaosCaller, stateName } from "./chaos-caller.ts";
import type { ReadEvent } from "./history.ts";
import { failureOfRead, outcomeOfError } from "./outcome-of-error.ts";
import type { PlannedOperation, PlannedWrite } from "./planned-operation.ts";
import type { RecordedWrite } from "./recorded-event.ts";
import type { Recorder } from "./recorder.ts";

export interface ChaosClientOptions {
  name: string;
  site: "main" | "secondary";
  /** The servers of its site. */
  servers: readonly ChaosCaller[];
  operations: Iterable<PlannedOperation>;
  recorder: Recorder;
}

/** Longest wait for any answer; then a client does not know. */
const CALL_MS = 2_500;

/** One client of the run: does one planned operation after the other and records every attempt. */
export class ChaosClient {
  readonly #options: ChaosClientOptions;
  readonly #sent: PlannedWrite[] = [];
  readonly #acknowledged = new Set<string>();
  #token: Uint8Array | undefined;

  constructor(options: ChaosClientOptions) {
    this.#options = options;
  }

  /** Ends with the operation that was under way at the time of the recorder. */
  async run(untilMs: number): Promise<void> {
    for (const operation of this.#options.operations) {
      if (this.#late(untilMs)) return;
      await delay(operation.thinkMs);
      await this.#perform(operation, untilMs);
    }
  }

  async #perform(operation: PlannedOperation, untilMs: number): Promise<void> {
    switch (operation.kind) {
      case "write":
        this.#sent.push(operation.write);
        return await this.#write(operation, untilMs);
      case "again": {
        const write = this.#sentBefore(operation.back);
        if (write) await this.#attempt(write, operation.through, this.#options.name);
        return;
      }
      case "read":
        return await this.#read(operation);
      case "lookup":
        return await this.#look(operation);
    }
  }

  async #write(
    { write, through, retries, twin }: Extract<PlannedOperation, { kind: "write" }>,
    untilMs: number,
  ): Promise<void> {
    // The twin is a client of its own: this one does one thing after the other.
    const other =
      twin === "concurrent" ? this.#attempt(write, through + 1, `${this.#options.name}-twin`) : Promise.resolve("ok");
    let outcome = await this.#attempt(write, through, this.#options.name);
    for (let retry = 1; outcome === "unknown" && retry <= retries && !this.#late(untilMs); retry++) {
      await delay(50 * retry);
      outcome = await this.#attempt(write, through + retry, this.#options.name);
    }
    await other;
    if (twin === "after") await this.#attempt(write, through + 1, this.#options.name);
  }

  async #attempt(write: PlannedWrite, through: number, client: string): Promise<RecordedWrite["outcome"]> {
    const { site, recorder } = this.#options;
    const { writeId, changes, poison, waitFor } = write;
    const at = recorder.now();
    const attempt = {
      kind: "write" as const,
      client,
      site,
      at,
      writeId,
      changes,
      poison: poison !== undefined,
      ...(waitFor && { waitFor }),
    };
    try {
      const response = await this.#server(through).write(write, CALL_MS);
      recorder.record({ ...attempt, until: recorder.now(), outcome: "ok", ...answerOf(response) });
      this.#acknowledged.add(writeId);
      if (client === this.#options.name) this.#token = response.token;
      return "ok";
    } catch (error) {
      const failed = outcomeOfError(error);
      recorder.record({ ...attempt, until: recorder.now(), ...failed });
      return failed.outcome;
    }
  }

  /** Where one server does not answer, the next is asked, once. */
  async #read({ consistency, withToken, through }: Extract<PlannedOperation, { kind: "read" }>): Promise<void> {
    const token = withToken ? this.#token : undefined;
    for (let i = 0; i < this.#options.servers.length; i++)
      if (await this.#readThrough(through + i, consistency, token)) return;
  }

  async #readThrough(
    through: number,
    consistency: ReadEvent["consistency"],
    token: Uint8Array | undefined,
  ): Promise<boolean> {
    const { name: client, site, recorder } = this.#options;
    const read = { kind: "read" as const, client, site, at: recorder.now(), consistency };
    try {
      const answer = await this.#server(through).read({ consistency, token, from: 0, timeoutMs: CALL_MS });
      recorder.record({ ...read, until: recorder.now(), outcome: "ok", ...answer });
      return true;
    } catch (error) {
      const nothing: Pick<ReadEvent, "rows" | "bufferUnreachable"> = { rows: [], bufferUnreachable: false };
      recorder.record({ ...read, until: recorder.now(), ...failureOfRead(error), ...nothing });
      return false;
    }
  }

  async #look({ back, through }: Extract<PlannedOperation, { kind: "lookup" }>): Promise<void> {
    const write = this.#sentBefore(back);
    if (!write) return;
    const { name: client, site, recorder } = this.#options;
    const { writeId } = write;
    const acknowledged = this.#acknowledged.has(writeId);
    const lookup = { kind: "lookup" as const, client, site, at: recorder.now(), writeId, acknowledged };
    try {
      const state = await this.#server(through).stateOf(writeId, CALL_MS);
      recorder.record({ ...lookup, until: recorder.now(), outcome: "ok", ...(state && { state }) });
    } catch (error) {
      recorder.record({ ...lookup, until: recorder.now(), ...failureOfRead(error) });
    }
  }

  #sentBefore(back: number): PlannedWrite | undefined {
    return this.#sent.at(-1 - Math.min(back, this.#sent.length - 1));
  }

  #server(through: number): ChaosCaller {
    const { servers } = this.#options;
    const server = servers[through % servers.length];
    if (!server) throw new Error("the site has no server");
    return server;
  }

  #late(untilMs: number): boolean {
    return this.#options.recorder.now() >= untilMs;
  }
}

function answerOf({ status, duplicate, waitTimedOut }: WriteResponse): Partial<RecordedWrite> {
  const state = status && stateName(status.state);
  return {
    ...(state && { state }),
    ...(status?.position && { position: status.position }),
    duplicate,
    waitTimedOut,
  };
}
