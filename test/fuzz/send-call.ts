import * as http from "node:http";
import * as http2 from "node:http2";
import type { PlannedCall } from "./planned-call.ts";

/** What came of a call. */
export interface Outcome {
  /** A gRPC code by its name, or what else happened. */
  code: string;
  /** Of the error, or of the connection's end. */
  message: string;
  /** Bytes of the answer, without the frames' prefixes where they were understood. */
  body: Buffer;
}

/** A call that nobody left and that is not answered by then, milliseconds, hangs. */
const HANGS_MS = 20_000;

export const grpcCodes = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
] as const;

/** Sends calls to one address, over connections that are opened again where the server has ended them. */
export class CallSender implements Disposable {
  readonly #address: string;
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
  readonly #sessions: http2.ClientHttp2Session[] = [];
  #next = 0;

  /** host:port. */
  constructor(address: string) {
    this.#address = address;
  }

  send(call: PlannedCall): Promise<Outcome> {
    return call.http === 2 ? this.#http2(call) : this.#http1(call);
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
    for (const session of this.#sessions) session.destroy();
  }

  #session(): http2.ClientHttp2Session {
    const at = this.#next++ % 4;
    const known = this.#sessions[at];
    if (known && !known.closed && !known.destroyed) return known;
    const session = http2.connect(`http://${this.#address}`, { maxSessionMemory: 1_000 }); // of the largest bodies
    session.on("error", () => {}); // its streams report it
    this.#sessions[at] = session;
    return session;
  }

  #http2(call: PlannedCall): Promise<Outcome> {
    const answer = new Answer(call);
    let stream: http2.ClientHttp2Stream;
    try {
      stream = this.#session().request(
        { ":method": call.method, ":path": call.path, ...call.headers },
        { endStream: false },
      );
    } catch (error) {
      return Promise.resolve({ code: "not sent", message: String(error), body: Buffer.alloc(0) });
    }
    stream.on("response", (headers) => answer.head(headers));
    stream.on("trailers", (trailers) => answer.trailers(trailers));
    stream.on("data", (chunk: Buffer) => answer.data(chunk));
    stream.on("error", (error) => answer.failed(error));
    for (const piece of call.body) stream.write(piece);
    if (call.ends) stream.end();
    const leave = (): void => {
      answer.left();
      stream.close(http2.constants.NGHTTP2_CANCEL);
    };
    // Whoever has the whole answer ends the call, as clients do, whatever was not sent yet.
    stream.on("end", () => {
      if (!stream.writableFinished) stream.close(http2.constants.NGHTTP2_CANCEL);
    });
    return answer.until((ended) => stream.once("close", ended), leave);
  }

  #http1(call: PlannedCall): Promise<Outcome> {
    const answer = new Answer(call);
    const [host, port] = this.#address.split(":");
    let request: http.ClientRequest;
    try {
      request = http.request({
        host,
        port,
        path: call.path,
        method: call.method,
        headers: call.headers,
        agent: this.#agent,
      });
    } catch (error) {
      return Promise.resolve({ code: "not sent", message: String(error), body: Buffer.alloc(0) });
    }
    request.on("response", (response) => {
      answer.head({ ...response.headers, ":status": response.statusCode ?? 0 });
      response.on("data", (chunk: Buffer) => answer.data(chunk));
      response.on("error", (error) => answer.failed(error));
      response.on("end", () => {
        answer.trailers(response.trailers);
        if (!request.writableFinished) request.destroy(); // as over HTTP/2
      });
    });
    request.on("error", (error) => answer.failed(error));
    for (const piece of call.body) request.write(piece);
    if (call.ends) request.end();
    else request.flushHeaders();
    const leave = (): void => {
      answer.left();
      request.destroy();
    };
    return answer.until((ended) => request.once("close", ended), leave);
  }
}

type Headers = Record<string, number | string | string[] | undefined>;

/** Puts the answer together and reads the status out of it, wherever its protocol has it. */
class Answer {
  readonly #call: PlannedCall;
  readonly #chunks: Buffer[] = [];
  #head: Headers | undefined;
  #trailers: Headers = {};
  #error: Error | undefined;
  #left = false;

  constructor(call: PlannedCall) {
    this.#call = call;
  }

  head(headers: Headers): void {
    this.#head = headers;
  }

  trailers(trailers: Headers): void {
    this.#trailers = trailers;
  }

  data(chunk: Buffer): void {
    this.#chunks.push(chunk);
  }

  failed(error: Error): void {
    this.#error = error;
  }

  left(): void {
    this.#left = true;
  }

  async until(onEnd: (ended: () => void) => void, leave: () => void): Promise<Outcome> {
    const { leavesAfterMs, ends } = this.#call;
    let hangs = false;
    let atLast: NodeJS.Timeout | undefined;
    const hung = (): void => {
      hangs = true;
      leave();
    };
    // Nobody answers a request that does not end, so its caller goes away soon.
    const away = leavesAfterMs ?? (ends ? undefined : 50);
    const timer = away === undefined ? setTimeout(hung, HANGS_MS) : setTimeout(leave, away);
    await new Promise<void>((resolve) => {
      onEnd(resolve);
      atLast = setTimeout(resolve, HANGS_MS + 2_000); // where not even leaving ends it
    });
    clearTimeout(atLast);
    clearTimeout(timer);
    const body = Buffer.concat(this.#chunks);
    if (hangs) return { code: "hangs", message: "", body };
    return { ...this.#status(body), body };
  }

  #status(body: Buffer): { code: string; message: string } {
    const head = this.#head;
    const inTrailer = this.#call.protocol === "grpc-web" ? webTrailer(body) : {};
    const status = this.#trailers["grpc-status"] ?? head?.["grpc-status"] ?? inTrailer["grpc-status"];
    const message = this.#trailers["grpc-message"] ?? head?.["grpc-message"] ?? inTrailer["grpc-message"];
    if (status !== undefined)
      return { code: grpcCodes[Number(status)] ?? `grpc ${status}`, message: decode(String(message ?? "")) };
    if (this.#left) return { code: "left", message: "" };
    if (head === undefined) return { code: "no answer", message: String(this.#error ?? "") };
    const end = connectError(body);
    if (end) return { code: end.code.toUpperCase().replace("CANCELED", "CANCELLED"), message: end.message ?? "" };
    const http = Number(head[":status"]);
    if (http !== 200) return { code: `HTTP ${http}`, message: body.toString().slice(0, 200) };
    if (this.#error) return { code: "broken", message: String(this.#error) };
    return { code: this.#call.protocol === "connect" ? "OK" : "no status", message: "" };
  }
}

function decode(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch {
    return message;
  }
}

/** The trailers that gRPC-Web has in the last frame of the body. */
function webTrailer(body: Buffer): Record<string, string> {
  const frame = frames(body).find(({ flags }) => flags & 0x80);
  const lines = frame?.data.toString().split("\r\n") ?? [];
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
  );
}

/** The error of Connect: the whole body of a unary call, the last frame of a stream. */
function connectError(body: Buffer): { code: string; message?: string } | undefined {
  const last = frames(body).find(({ flags }) => flags & 2);
  for (const text of [last?.data.toString(), body.toString()]) {
    try {
      const parsed = JSON.parse(text ?? "") as { error?: { code?: string }; code?: unknown };
      const error = parsed.error ?? parsed;
      if (typeof error.code === "string") return error as { code: string };
    } catch {
      // not the one
    }
  }
  return undefined;
}

/** The frames of a stream of messages, as far as they are whole. */
export function frames(body: Buffer): { flags: number; data: Buffer }[] {
  const found: { flags: number; data: Buffer }[] = [];
  for (let at = 0; at + 5 <= body.length; ) {
    const length = body.readUInt32BE(at + 1);
    if (at + 5 + length > body.length) break;
    found.push({ flags: body[at] ?? 0, data: body.subarray(at + 5, at + 5 + length) });
    at += 5 + length;
  }
  return found;
}
