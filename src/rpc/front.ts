import * as http from "node:http";
import * as http2 from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { type Keepalive, keepAlive } from "./keepalive.ts";

export type Incoming = http.IncomingMessage | http2.Http2ServerRequest;
export type Outgoing = http.ServerResponse | http2.Http2ServerResponse;

export interface FrontOptions {
  handler: (request: Incoming, response: Outgoing) => void;
  keepalive: Keepalive;
}

/** With this every HTTP/2 connection begins. */
const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
/** A connection that has not said by then what it speaks is dropped, milliseconds. */
const silenceMs = 10_000;
/** How long a peer has to close its connection after everything was said, milliseconds. */
const leaveMs = 1_000;
/** HTTP/2 windows for one stream and for a connection; the default of 64 KiB is one round trip's worth of a far link. */
const streamWindow = 1024 * 1024;
const connectionWindow = 8 * 1024 * 1024;

/**
 * One plaintext port for HTTP/2 with prior knowledge (gRPC) and HTTP/1.1 (Connect, gRPC-Web, curl). The first bytes of
 * a connection decide. The HTTP/1.1 server is the one that listens, so that its timeouts and its tracking of
 * connections hold.
 */
export class Front {
  readonly #http1: http.Server;
  readonly #http2: http2.Http2Server;
  readonly #toHttp1: ((socket: Socket) => void)[];
  readonly #sessions = new Set<http2.ServerHttp2Session>();
  readonly #undecided = new Set<Socket>();
  /** Connections that speak HTTP/2: the server that listens waits for them, and does not know how to close them. */
  readonly #sockets = new Set<Socket>();

  constructor({ handler, keepalive }: FrontOptions) {
    const settings = { initialWindowSize: streamWindow };
    this.#http2 = http2.createServer({ settings }, handler);
    this.#http2.on("session", (session) => {
      this.#sessions.add(session);
      session.once("close", () => this.#sessions.delete(session));
      session.setLocalWindowSize(connectionWindow);
      keepAlive(session, keepalive);
    });
    this.#http1 = http.createServer({ noDelay: true, keepAliveTimeout: 60_000 }, handler);
    this.#toHttp1 = this.#http1.listeners("connection") as ((socket: Socket) => void)[];
    this.#http1.removeAllListeners("connection");
    this.#http1.on("connection", (socket: Socket) => this.#decide(socket));
  }

  /** Port 0 takes a free one from the kernel; the answer says which. */
  async listen(address: { host: string; port: number }): Promise<{ host: string; port: number }> {
    await new Promise<void>((resolve, reject) => {
      this.#http1.once("error", reject);
      this.#http1.listen(address, () => {
        this.#http1.off("error", reject);
        resolve();
      });
    });
    return { host: address.host, port: (this.#http1.address() as AddressInfo).port };
  }

  /** Takes no new connection and no new call; running calls have the given time, milliseconds, then they are cut. */
  async close(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#http1.close(() => resolve()));
    for (const socket of this.#undecided) socket.destroy();
    for (const session of this.#sessions) session.close(); // GOAWAY; what runs goes on
    const leavings = setInterval(() => {
      // A session that has ended leaves its connection to the peer to close; some peers never do.
      for (const socket of this.#sockets)
        if (socket.writableFinished) setTimeout(() => socket.destroy(), leaveMs).unref();
    }, leaveMs);
    const cut = setTimeout(() => {
      for (const session of this.#sessions) session.destroy();
      for (const socket of this.#sockets) socket.destroy();
      this.#http1.closeAllConnections();
    }, graceMs);
    await closed;
    clearTimeout(cut);
    clearInterval(leavings);
  }

  #decide(socket: Socket): void {
    let seen = Buffer.alloc(0);
    const drop = (): void => void socket.destroy();
    const timer = setTimeout(drop, silenceMs);
    const forget = (): void => {
      clearTimeout(timer);
      this.#undecided.delete(socket);
      socket.off("readable", look).off("error", drop).off("close", forget);
    };
    const look = (): void => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      seen = Buffer.concat([seen, chunk]);
      const length = Math.min(seen.length, preface.length);
      const speaksHttp2 = seen.subarray(0, length).equals(preface.subarray(0, length));
      if (speaksHttp2 && length < preface.length) return;
      forget();
      socket.unshift(seen);
      if (speaksHttp2) {
        // As HTTP/2 servers have it; HTTP/1.1 ones keep it open, and then a client that died is not noticed.
        socket.allowHalfOpen = false;
        this.#sockets.add(socket.once("close", () => this.#sockets.delete(socket)));
        this.#http2.emit("connection", socket);
      } else {
        for (const listener of this.#toHttp1) listener.call(this.#http1, socket);
      }
    };
    this.#undecided.add(socket);
    socket.on("readable", look).on("error", drop).once("close", forget);
  }
}
