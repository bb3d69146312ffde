import { random } from "../support/random.ts";
import type { Change, Event, FinalEvent, ReadEvent, StatusEvent, WriteEvent } from "./history.ts";

export interface ModelRunOptions {
  seed: number;
  /** Calls of Write and Read that are made altogether, about. */
  writes: number;
  reads: number;
  /** Rows that all clients of the secondary site write. */
  keys?: number;
}

type Rows = Map<number, string>;
type Effect = FinalEvent["effects"][number];

interface Request {
  writeId: string;
  changes: Change[];
  poison: boolean;
}

interface Client {
  name: string;
  site: "main" | "secondary";
  operations: number;
  /** To be sent again. */
  open: Request | undefined;
  /** The state that its last merged read has shown. */
  shown: number;
}

/** So many of the last states are remembered for reads that lag. */
const STATES = 64;
const FIRST_MS = 1_795_000_000_000;

/**
 * Makes the record of a run in which every promise was kept, without any part of the service or of the checker: two
 * sites with one order, one replica and several clients, in simulated time. Calls are lost before and after they took
 * effect, are late, repeated by their client or by another; writes are refused at once or rejected later; reads show
 * any state that they may.
 */
export function modelRun(options: ModelRunOptions): Event[] {
  return new ModelRun(options).run();
}

class ModelRun {
  readonly #pick: (below: number) => number;
  readonly #options: Required<ModelRunOptions>;
  readonly #events: Event[] = [];
  #now = 0;
  #due: { at: number; happen: () => void }[] = [];
  #writes = 0;
  #reads = 0;

  /** The site's order, and the table after the last of it. */
  readonly #order: (Request & { position: string; rejected?: string })[] = [];
  readonly #byId = new Map<string, number>();
  readonly #tail: Rows = new Map();
  readonly #states: Rows[] = [new Map()];
  #acknowledged = 0;
  #sequence = 0;
  #sent: Request[] = [];

  readonly #main: Rows = new Map();
  readonly #mainWrites = new Map<string, Request>();
  readonly #mainSent: Request[] = [];
  #cursor = 0;
  #transaction = 700;
  readonly #ledger: FinalEvent["ledger"] = [];
  readonly #effects: Effect[] = [];
  #mainAway = false;

  #standby: Rows = new Map();
  #standbyCursor = 0;

  constructor(options: ModelRunOptions) {
    this.#options = { keys: 12, ...options };
    this.#pick = random(options.seed);
  }

  run(): Event[] {
    for (let i = 0; i < 4; i++) this.#start(`secondary-${i}`, "secondary");
    for (let i = 0; i < 2; i++) this.#start(`main-${i}`, "main");
    this.#every(120, () => this.#mainAway || this.#apply(1 + this.#pick(6)));
    this.#every(200, () => this.#replicate());
    this.#every(600, () => this.#sample());
    this.#in(2_000 + this.#pick(2_000), () => this.#cutMain());
    for (let next = this.#due.shift(); next; next = this.#due.shift()) {
      this.#now = next.at;
      next.happen();
    }
    this.#apply(this.#order.length);
    this.#replicate();
    this.#events.push(this.#final());
    return this.#events.toSorted((a, b) => a.at - b.at);
  }

  #working(): boolean {
    return this.#writes < this.#options.writes || this.#reads < this.#options.reads;
  }

  #in(ms: number, happen: () => void): void {
    const at = this.#now + ms + this.#pick(1_000) / 1_000;
    let i = this.#due.length;
    while (i > 0 && (this.#due[i - 1]?.at ?? 0) > at) i--;
    this.#due.splice(i, 0, { at, happen });
  }

  #every(ms: number, happen: () => void): void {
    this.#in(this.#pick(ms), () => {
      happen();
      if (this.#working()) this.#every(ms, happen);
    });
  }

  #chance(percent: number): boolean {
    return this.#pick(100) < percent;
  }

  #start(name: string, site: Client["site"]): void {
    const client: Client = { name, site, operations: 0, open: undefined, shown: 0 };
    this.#in(this.#pick(50), () => this.#next(client));
  }

  #next(client: Client): void {
    if (!this.#working()) return;
    client.operations += 1;
    const { writes, reads } = this.#options;
    if (client.open) this.#write(client, client.open);
    else if (this.#pick(writes + reads) < reads) this.#read(client);
    else this.#write(client, this.#request(client));
  }

  #then(client: Client): void {
    this.#in(this.#pick(40), () => this.#next(client));
  }

  #request(client: Client): Request {
    const sent = client.site === "main" ? this.#mainSent : this.#sent;
    const again = sent.at(-1 - this.#pick(8));
    if (again && this.#chance(8)) {
      if (this.#chance(80)) return again;
      const value = `${client.name}-${client.operations}-reused`;
      return { ...again, changes: [{ operation: "upsert", key: this.#key(client), value }], poison: false };
    }
    const poison = client.site === "secondary" && this.#chance(6);
    const changes = Array.from({ length: 1 + this.#pick(4) }, (_, i): Change => {
      const key = poison ? -1 - this.#pick(20) : this.#key(client);
      const value = `${client.name}-${client.operations}-${i}`;
      if (!poison && this.#chance(15)) return { operation: "delete", key };
      const operation = (["upsert", "upsert", "update", "insert"] as const)[poison ? 0 : this.#pick(4)] ?? "upsert";
      return { operation, key, value };
    });
    const request = { writeId: `${client.name}/${client.operations}`, changes, poison };
    sent.push(request);
    return request;
  }

  #key({ site }: Client): number {
    return site === "main" ? 1_000_000 + this.#pick(6) : this.#pick(this.#options.keys);
  }

  #write(client: Client, request: Request): void {
    this.#writes += 1;
    client.open = undefined;
    const event: WriteEvent = {
      ...{ kind: "write", client: client.name, site: client.site, at: this.#now, until: 0, outcome: "unknown" },
      ...structuredClone(request),
    };
    const ms = 2 + this.#pick(this.#chance(10) ? 400 : 40);
    const fate = this.#pick(20);
    let answer: Partial<WriteEvent> = { outcome: "unknown", error: "no answer" };
    const happen = (): void => {
      answer = client.site === "main" ? this.#acceptAtMain(request) : this.#accept(request);
    };
    const lost = fate < 3;
    // Lost on its way there; or it arrives, even after its client has given it up, and the answer is lost.
    if (fate > 0) this.#in(this.#pick(fate === 1 ? ms * 4 : ms - 1), happen);
    this.#in(ms, () => {
      const known = lost ? {} : answer;
      const index = this.#byId.get(request.writeId);
      Object.assign(event, { until: this.#now, error: "no answer" }, known);
      if (event.outcome === "ok") {
        delete event.error;
        if (client.site === "secondary" && index !== undefined) {
          event.state = this.#stateOf(index);
          this.#acknowledged = Math.max(this.#acknowledged, index);
        }
      }
      if (event.outcome === "unknown" && this.#chance(70)) client.open = request;
      this.#events.push(event);
      this.#then(client);
    });
  }

  #accept(request: Request): Partial<WriteEvent> {
    const index = this.#byId.get(request.writeId);
    const known = index === undefined ? undefined : this.#order[index - 1];
    if (known) {
      if (known.changes !== request.changes) return { outcome: "failed", error: "WRITE_ID_REUSED" };
      // Another server may have stored it a second time, further on.
      return { outcome: "ok", duplicate: true, position: this.#chance(20) ? this.#position() : known.position };
    }
    if (this.#chance(4)) return { outcome: "failed", error: "BUFFER_UNAVAILABLE" };
    const position = this.#position();
    const refusal = request.poison ? undefined : change(this.#tail, request.changes);
    if (typeof refusal === "string" && this.#chance(50)) return { outcome: "failed", error: refusal };
    this.#order.push({ ...request, position });
    this.#byId.set(request.writeId, this.#order.length);
    this.#states.push(new Map(this.#tail));
    if (this.#states.length > STATES) this.#states.shift();
    return { outcome: "ok", duplicate: false, position };
  }

  #acceptAtMain(request: Request): Partial<WriteEvent> {
    const known = this.#mainWrites.get(request.writeId);
    if (known && known.changes !== request.changes) return { outcome: "failed", error: "WRITE_ID_REUSED" };
    if (known) return { outcome: "ok", state: "APPLIED", duplicate: true };
    const effects = change(this.#main, request.changes);
    if (typeof effects === "string") return { outcome: "failed", error: effects };
    this.#mainWrites.set(request.writeId, request);
    this.#note(effects);
    return { outcome: "ok", state: "APPLIED", duplicate: false };
  }

  #position(): string {
    this.#sequence += 1;
    return `${FIRST_MS + Math.floor(this.#now)}-${this.#sequence}`;
  }

  #stateOf(index: number): NonNullable<WriteEvent["state"]> {
    if (index > this.#cursor) return "ACCEPTED";
    if (this.#order[index - 1]?.rejected) return "REJECTED";
    return index > this.#standbyCursor ? "APPLIED" : "REPLICATED";
  }

  #read(client: Client): void {
    this.#reads += 1;
    const at = this.#now;
    const atLeast = Math.max(this.#acknowledged, client.shown);
    const kind = this.#pick(10);
    const merged = client.site === "secondary" && kind < 7;
    const event: ReadEvent = {
      ...{ kind: "read", client: client.name, site: client.site, at, until: 0, outcome: "ok", rows: [] },
      consistency: merged ? "merged" : client.site === "secondary" && kind < 9 ? "local" : "main",
      bufferUnreachable: merged && kind === 0,
    };
    const look = (): void => {
      const oldest = this.#order.length + 1 - this.#states.length;
      const from = Math.max(oldest, event.bufferUnreachable ? 0 : atLeast);
      const state = this.#order.length - this.#pick(this.#order.length + 1 - from);
      if (merged) event.rows = this.#merged(state);
      else event.rows = [...(event.consistency === "local" ? this.#standby : this.#main)];
      if (merged && !event.bufferUnreachable) client.shown = state;
    };
    const ms = 2 + this.#pick(60);
    this.#in(this.#pick(ms - 1), look);
    this.#in(ms, () => {
      event.until = this.#now;
      if (this.#chance(5)) Object.assign(event, { outcome: "failed", error: "LOCAL_UNAVAILABLE", rows: [] });
      this.#events.push(event);
      this.#then(client);
    });
  }

  #merged(state: number): [number, string][] {
    const rows = new Map(this.#states[state - (this.#order.length + 1 - this.#states.length)]);
    for (const { poison, changes } of this.#order.slice(this.#cursor, state)) if (poison) change(rows, changes);
    for (const [key, value] of this.#standby) if (key >= 1_000_000) rows.set(key, value);
    return [...rows];
  }

  /** One transaction of the processor. */
  #apply(count: number): void {
    const effects: Effect[] = [];
    for (const write of this.#order.slice(this.#cursor, this.#cursor + count)) {
      const done = write.poison ? "DATABASE_REFUSED" : change(this.#main, write.changes);
      if (typeof done === "string") write.rejected = done;
      else effects.push(...done);
      const { writeId, position, rejected } = write;
      this.#ledger.push({
        ...{ writeId, position },
        outcome: rejected ? "REJECTED" : "APPLIED",
        reason: rejected ?? null,
      });
      this.#cursor += 1;
    }
    // The order of different rows in a statement is PostgreSQL's.
    if (this.#chance(50)) effects.sort((a, b) => a.key - b.key);
    this.#note(effects);
  }

  #note(effects: readonly Effect[]): void {
    this.#transaction += 1;
    for (const effect of effects) this.#effects.push({ ...effect, transaction: `${this.#transaction}` });
  }

  #replicate(): void {
    this.#standby = new Map(this.#main);
    this.#standbyCursor = this.#cursor;
  }

  #cutMain(): void {
    const fault = { kind: "fault", name: "link cut" } as const;
    this.#mainAway = true;
    this.#events.push({ ...fault, at: this.#now, phase: "begin" });
    this.#in(this.#pick(3_000), () => {
      this.#mainAway = false;
      this.#events.push({ ...fault, at: this.#now, phase: "end" });
      if (this.#working()) this.#in(1_000 + this.#pick(5_000), () => this.#cutMain());
    });
  }

  #status(): StatusEvent {
    const pendingWrites = this.#order.length - this.#cursor;
    const running = { state: "RUNNING", reason: "" };
    return {
      ...{ kind: "status", at: this.#now, pendingWrites },
      overlayWrites: this.#order.length - this.#standbyCursor,
      appliedPosition: this.#order[this.#cursor - 1]?.position ?? "",
      processor: this.#mainAway
        ? { state: "RETRYING", reason: "read ECONNRESET" }
        : pendingWrites > 0 && this.#chance(80)
          ? running
          : { state: "IDLE", reason: "the buffer is empty" },
      buffer: running,
      main: this.#mainAway ? { state: "RETRYING", reason: "no answer in time" } : running,
      local: running,
    };
  }

  #sample(): void {
    this.#events.push(this.#status());
  }

  #final(): FinalEvent {
    this.#now += 1_000;
    const main = [...this.#main];
    return {
      kind: "final",
      at: this.#now,
      drainedInMs: 100,
      status: this.#status(),
      ledger: this.#ledger,
      effects: this.#effects,
      main,
      standby: structuredClone(main),
      merged: [structuredClone(main).reverse(), structuredClone(main)],
    };
  }
}

/** Makes the changes, or none of them and says why. */
function change(rows: Rows, changes: readonly Change[]): Effect[] | string {
  const undo: [number, string | undefined][] = [];
  const effects: Effect[] = [];
  for (const each of changes) {
    const before = rows.get(each.key);
    const wrong = each.operation === "insert" ? before !== undefined : each.operation === "update" && !before;
    if (wrong) {
      for (const [key, value] of undo.reverse())
        if (value === undefined) rows.delete(key);
        else rows.set(key, value);
      return each.operation === "insert" ? "ROW_EXISTS" : "ROW_NOT_FOUND";
    }
    undo.push([each.key, before]);
    if (each.operation === "delete") {
      rows.delete(each.key);
      if (before !== undefined) effects.push({ operation: "DELETE", key: each.key, value: before });
    } else {
      rows.set(each.key, each.value);
      effects.push({ operation: before === undefined ? "INSERT" : "UPDATE", key: each.key, value: each.value });
    }
  }
  return effects;
}
