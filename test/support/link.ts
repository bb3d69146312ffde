import { createServer, connect as dial, type Server, type Socket } from "node:net";
import { Lane } from "./link-lane.ts";
import type { Address } from "./postgres-pair.ts";

/** Whose bytes are lost in a black hole. */
export type Direction = "both" | "to-main" | "from-main";

export type Cut =
  /** Connections are reset, new ones too. */
  | { mode: "reset" }
  /** Everything is accepted and nothing arrives; nobody is told. */
  | { mode: "blackhole"; direction?: Direction };

export interface LinkStatus {
  roundTripMs: number;
  cut: Cut | undefined;
  connections: number;
}

/** A COMMIT that is to be lost comes by then, milliseconds. */
const DROP_WITHIN_MS = 30_000;

/**
 * The link between a secondary site and the main site, as a TCP proxy: everything that crosses it is late by half of
 * the round trip in each direction, in order and without a limit on throughput, and it can be cut.
 */
export class Link implements AsyncDisposable {
  readonly #servers: Server[] = [];
  /** Where each listening port leads to. */
  readonly #targets = new Map<number, Address>();
  readonly #connections = new Set<Connection>();
  /** Connections that were begun in a black hole: on a real link their handshake would not have come through yet. */
  readonly #begun = new Map<Socket, Address>();
  readonly #listenHost: string;
  #roundTripMs: number;
  #cut: Cut | undefined;
  #onCommitDropped: (() => void) | undefined;

  constructor(options: { roundTripMs?: number; listenHost?: string } = {}) {
    this.#roundTripMs = options.roundTripMs ?? 0;
    this.#listenHost = options.listenHost ?? "127.0.0.1";
  }

  get status(): LinkStatus {
    return { roundTripMs: this.#roundTripMs, cut: this.#cut, connections: this.#connections.size + this.#begun.size };
  }

  /** The address at which a server of the main site is reached through the link. */
  async forward(target: Address): Promise<Address> {
    const server = createServer({ allowHalfOpen: true }, (near) => {
      const now = this.#targets.get(near.localPort ?? 0);
      if (now) this.#accept(near, now);
      else near.resetAndDestroy();
    });
    this.#servers.push(server);
    server.listen(0, this.#listenHost);
    await new Promise((resolve, reject) => server.once("listening", resolve).once("error", reject));
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    this.#targets.set(address.port, target);
    return { host: this.#listenHost, port: address.port };
  }

  /** The URL by which a database is reached through the link. */
  async forwardUrl(database: string): Promise<string> {
    const url = new URL(database);
    const far = await this.forward({ host: url.hostname, port: Number(url.port) });
    url.host = `${far.host}:${far.port}`;
    return url.href;
  }

  /** From now on new connections to an address that `forward` gave lead elsewhere; those that exist stay as they are. */
  retarget({ port }: Address, target: Address): void {
    if (!this.#targets.has(port)) throw new Error(`nothing is forwarded from port ${port}`);
    this.#targets.set(port, target);
  }

  /** From now on; bytes under way keep their time. */
  setRoundTrip(ms: number): void {
    this.#roundTripMs = ms;
  }

  cut(cut: Cut = { mode: "reset" }): void {
    this.#cut = cut;
    if (cut.mode === "reset") this.#resetAll();
    else for (const connection of this.#connections) connection.lose(cut.direction ?? "both");
  }

  /**
   * Ends the cut. Connections that lost bytes in it are reset, or, half-open, stay dead: neither end is ever told, as where
   * something on the way has forgotten them. Those that were begun in it are reset too, or come through now, as a
   * handshake does that is tried again.
   */
  heal({ lossy = "reset" }: { lossy?: "reset" | "dead" } = {}): void {
    this.#cut = undefined;
    const begun = [...this.#begun];
    this.#begun.clear();
    for (const [near, target] of begun) {
      if (lossy === "dead") this.#connect(near, target);
      else near.resetAndDestroy();
    }
    if (lossy === "dead") return;
    for (const connection of this.#connections) {
      if (connection.lossy) connection.reset();
    }
  }

  /**
   * The next time that the main database answers COMMIT, on any connection: the answer is lost and the connection
   * reset. Resolves when that has happened; rejects with the signal, and then answers pass again.
   */
  dropNextCommitAnswer(signal = AbortSignal.timeout(DROP_WITHIN_MS)): Promise<void> {
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        this.#onCommitDropped = undefined;
        reject(new Error("main has answered no COMMIT that could be lost", { cause: signal.reason }));
      };
      if (signal.aborted) {
        giveUp();
        return;
      }
      signal.addEventListener("abort", giveUp, { once: true });
      this.#onCommitDropped = () => {
        signal.removeEventListener("abort", giveUp);
        resolve();
      };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#resetAll();
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }

  #accept(near: Socket, target: Address): void {
    near.on("error", () => {});
    if (this.#cut?.mode === "reset") near.resetAndDestroy();
    else if (this.#cut) {
      this.#begun.set(near, target);
      near.once("close", () => this.#begun.delete(near));
    } else this.#connect(near, target);
  }

  #connect(near: Socket, target: Address): void {
    const connection = new Connection(near, target, {
      oneWayMs: () => this.#roundTripMs / 2,
      dropsCommitAnswer: () => this.#onCommitDropped !== undefined,
      commitAnswerDropped: () => {
        this.#onCommitDropped?.();
        this.#onCommitDropped = undefined;
      },
      closed: () => this.#connections.delete(connection),
    });
    this.#connections.add(connection);
  }

  #resetAll(): void {
    for (const near of this.#begun.keys()) near.resetAndDestroy();
    this.#begun.clear();
    for (const connection of this.#connections) connection.reset();
  }
}

interface ConnectionHooks {
  oneWayMs: () => number;
  dropsCommitAnswer: () => boolean;
  commitAnswerDropped: () => void;
  closed: () => void;
}

// CommandComplete with the tag COMMIT, as PostgreSQL sends it.
const commitAnswer = Buffer.from("C\x00\x00\x00\x0bCOMMIT\x00", "latin1");

class Connection {
  readonly #near: Socket;
  readonly #far: Socket;
  readonly #toMain: Lane;
  readonly #fromMain: Lane;
  readonly #hooks: ConnectionHooks;
  #tail = Buffer.alloc(0);
  #closed = false;

  constructor(near: Socket, target: Address, hooks: ConnectionHooks) {
    this.#near = near;
    this.#hooks = hooks;
    this.#far = dial({ ...target, allowHalfOpen: true });
    const reset = (): void => this.reset();
    // The handshake costs a round trip before the first byte leaves.
    const firstByteAt = performance.now() + 3 * hooks.oneWayMs();
    this.#toMain = new Lane({ from: near, to: this.#far, delayMs: hooks.oneWayMs, notBefore: firstByteAt, reset });
    this.#fromMain = new Lane({
      from: this.#far,
      to: near,
      delayMs: hooks.oneWayMs,
      notBefore: 0,
      reset,
      filter: (bytes) => this.#withoutCommitAnswer(bytes),
    });
    for (const socket of [near, this.#far]) {
      socket.setNoDelay(true);
      socket.once("close", () => this.#closeWhenBothAre());
    }
  }

  get lossy(): boolean {
    return this.#toMain.lossy || this.#fromMain.lossy;
  }

  lose(direction: Direction): void {
    if (direction !== "from-main") this.#toMain.lose();
    if (direction !== "to-main") this.#fromMain.lose();
  }

  reset(): void {
    this.#toMain.stop();
    this.#fromMain.stop();
    this.#near.resetAndDestroy();
    this.#far.resetAndDestroy();
  }

  #closeWhenBothAre(): void {
    if (this.#closed || !this.#near.closed || !this.#far.closed) return;
    this.#closed = true;
    this.#hooks.closed();
  }

  /** What may pass, and whether the connection is to end after it. */
  #withoutCommitAnswer(bytes: Buffer): { pass: Buffer; last: boolean } {
    if (!this.#hooks.dropsCommitAnswer()) return { pass: bytes, last: false };
    const seen = Buffer.concat([this.#tail, bytes]);
    const found = seen.indexOf(commitAnswer);
    const before = this.#tail.length;
    this.#tail = seen.subarray(-(commitAnswer.length - 1));
    if (found < 0) return { pass: bytes, last: false };
    this.#hooks.commitAnswerDropped();
    // The answer may have begun in the bytes before: what is left of it is not worth anything to the client.
    return { pass: bytes.subarray(0, Math.max(0, found - before)), last: true };
  }
}
