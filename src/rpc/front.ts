import * as http from "node:http";
import * as http2 from "node:http2";
import * as https from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Certificates } from "../security/certificate-files.ts";
import { type Keepalive, keepAlive } from "./keepalive.ts";

export type Incoming = http.IncomingMessage | http2.Http2ServerRequest;
export type Outgoing = http.ServerResponse | http2.Http2ServerResponse;

export interface FrontOptions {
  handler: (request: Incoming, response: Outgoing) => void;
  keepalive: Keepalive;
  /** Undefined: plaintext. */
  tls?: FrontTls | undefined;
}

export interface FrontTls {
  certificates: Certificates;
  /** A connection that did not become one: plaintext, a certificate that is not taken, an attempt that was given up. */
  refused: (peer: string, why: string) => void;
}

/** With this every HTTP/2 connection begins. */
const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
/** A connection that has not said by then what it speaks is dropped, milliseconds. */
const silenceMs = 10_000;
/** How long a peer has to close its connection after everything was said, milliseconds. */
const leaveMs = 1_000;
/** How long a peer has to answer that it was told to go, milliseconds. */
const noticeMs = 1_000;
/**
 * GOAWAY with the highest stream id there is: no new streams, please, and none of those on their way is refused (RFC 9113,
 * 6.8). Node has no call for it, and what its own GOAWAY refuses some clients report as an error of the server.
 */
const notice = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
/** HTTP/2 windows for one stream and for a connection; the default of 64 KiB is one round trip's worth of a far link. */
const streamWindow = 1024 * 1024;
const connectionWindow = 8 * 1024 * 1024;

/** Calls and watches at once on one connection: clients keep what is beyond that waiting. */
const streamsAtOnce = 1000;

/**
 * What may lie on one connection, megabytes; with more, new calls on it are refused. A message that its reader does not
 * take counts, so some slow readers of large results reach Node's 10. How many there are, the database pools limit.
 */
const sessionMegabytes = 1024;

/**
 * One port for HTTP/2 (gRPC) and HTTP/1.1 (Connect, gRPC-Web, curl), in plaintext or with TLS, never both. The first bytes
 * that a connection says, inside TLS where there is TLS, decide. The HTTP/1.1 server is the one that listens, so that its
 * timeouts and its tracking of connections hold.
 */
export class Front {
  readonly #http1: http.Server | https.Server;
  readonly #http2: http2.Http2Server;
  readonly #toHttp1: ((socket: Socket) => void)[];
  /** With the connection that each one is on. */
  readonly #sessions = new Map<http2.ServerHttp2Session, Socket>();
  readonly #undecided = new Set<Socket>();
  /** Connections that have not finished their TLS handshake, by the peer's address and port. */
  readonly #shaking = new Map<string, Socket>();
  /** The connection of the session that is being made. */
  #opening: Socket | undefined;
  /** Connections that speak HTTP/2: the server that listens waits for them, and does not know how to close them. */
  readonly #sockets = new Set<Socket>();

  constructor({ handler, keepalive, tls }: FrontOptions) {
    const settings = { initialWindowSize: streamWindow, maxConcurrentStreams: streamsAtOnce };
    this.#http2 = http2.createServer({ settings, maxSessionMemory: sessionMegabytes }, handler);
    this.#http2.on("session", (session) => {
      if (this.#opening) this.#sessions.set(session, this.#opening);
      session.once("close", () => this.#sessions.delete(session));
      session.setLocalWindowSize(connectionWindow);
      keepAlive(session, keepalive);
    });
    const options = { noDelay: true, keepAliveTimeout: 60_000 };
    this.#http1 = tls
      ? https.createServer({ ...options, ...secure(tls) }, handler)
      : http.createServer(options, handler);
    const arrival = tls ? "secureConnection" : "connection";
    this.#toHttp1 = this.#http1.listeners(arrival) as ((socket: Socket) => void)[];
    this.#http1.removeAllListeners(arrival);
    this.#http1.on(arrival, (socket: Socket) => this.#decide(socket));
    if (tls) this.#watchHandshakes(tls);
  }

  /** Shows these from now on; connections that exist go on. */
  useCertificates(certificates: Certificates): void {
    if (this.#http1 instanceof https.Server) this.#http1.setSecureContext(contextOf(certificates));
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

  /**
   * Takes no new connection and tells those that exist to bring no new call; calls that were on their way by then and running
   * ones have the given time, milliseconds, then they are cut.
   */
  async close(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#http1.close(() => resolve()));
    for (const socket of [...this.#undecided, ...this.#shaking.values()]) socket.destroy();
    for (const [session, socket] of this.#sessions) {
      // Nobody but the session can write inside TLS. It refuses calls on their way, which clients try again elsewhere.
      if ("encrypted" in socket) session.close();
      else sendAway(session, socket);
    }
    const leavings = setInterval(() => {
      // A session that has ended leaves its connection to the peer to close; some peers never do.
      for (const socket of this.#sockets)
        if (socket.writableFinished) setTimeout(() => socket.destroy(), leaveMs).unref();
    }, leaveMs);
    const cut = setTimeout(() => {
      for (const session of this.#sessions.keys()) session.destroy();
      for (const socket of this.#sockets) socket.destroy();
      this.#http1.closeAllConnections();
    }, graceMs);
    await closed;
    clearTimeout(cut);
    clearInterval(leavings);
  }

  #watchHandshakes({ refused }: FrontTls): void {
    const peer = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress}:${remotePort}`;
    this.#http1.on("connection", (socket: Socket) => {
      const from = peer(socket);
      this.#shaking.set(from, socket);
      socket.once("close", () => this.#shaking.delete(from));
    });
    this.#http1.on("secureConnection", (socket: TLSSocket) => this.#shaking.delete(peer(socket)));
    this.#http1.on("tlsClientError", (error: Error & { code?: string }, socket: TLSSocket) => {
      const why = socket.authorizationError ?? error.code ?? error.message;
      refused(socket.remoteAddress ?? "unknown", String(why));
      socket.destroy();
    });
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
        this.#opening = socket;
        this.#http2.emit("connection", socket); // makes the session at once
        this.#opening = undefined;
      } else {
        for (const listener of this.#toHttp1) listener.call(this.#http1, socket);
      }
    };
    this.#undecided.add(socket);
    socket.on("readable", look).on("error", drop).once("close", forget);
  }
}

/** ALPN offers both protocols; what is spoken then is seen in the first bytes, so a client without ALPN has HTTP/1.1. */
function secure({ certificates }: FrontTls): https.ServerOptions {
  return {
    ...contextOf(certificates),
    ALPNProtocols: ["h2", "http/1.1"],
    handshakeTimeout: silenceMs,
    requestCert: certificates.ca !== undefined,
    rejectUnauthorized: true,
  };
}

function contextOf({ cert, key, ca }: Certificates): https.ServerOptions {
  return { cert, key, ...(ca === undefined ? {} : { ca }), minVersion: "TLSv1.2" };
}

/** Ends a session once its peer knows that it must: the answer to a ping comes after every call that the peer had sent. */
function sendAway(session: http2.ServerHttp2Session, socket: Socket): void {
  const close = (): void => {
    clearTimeout(timer);
    if (!session.closed) session.close(); // what runs goes on
  };
  const timer = setTimeout(close, noticeMs);
  session.once("close", () => clearTimeout(timer));
  socket.write(notice); // whole frames are written at once, so it stands between two of the session's
  if (session.closed || session.destroyed || !session.ping(close)) close();
}
