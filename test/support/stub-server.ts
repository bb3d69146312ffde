import {
  create,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { Registry } from "prom-client";
import { type ErrorInfo, ErrorInfoSchema } from "../../gen/ts/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../gen/ts/google/rpc/status_pb.ts";
import { createLogger } from "../../src/lib/logger.ts";
import type { Keepalive } from "../../src/rpc/keepalive.ts";
import { createServer, defaultLimits, type Server } from "../../src/rpc/server.ts";
import { SiteStub } from "./site-stub.ts";

/** A server on a free port in front of a stub, with clients of two makes, for the tests of this folder. */
export class StubServer implements AsyncDisposable {
  readonly site = new SiteStub();
  readonly registry = new Registry();
  readonly logged: string[] = [];
  readonly server: Server;
  readonly #sessions: Http2SessionManager[] = [];
  readonly #clients: Client[] = [];
  port = 0;

  /** `prepare` puts the site into the state that it is to have when the server starts. */
  static async open(keepalive?: Keepalive, prepare?: (site: SiteStub) => void): Promise<StubServer> {
    const stub = new StubServer(keepalive);
    prepare?.(stub.site);
    stub.port = (await stub.server.listen({ host: "127.0.0.1", port: 0 })).port;
    return stub;
  }

  private constructor(keepalive: Keepalive | undefined) {
    const logger = createLogger({ level: "info", destination: { write: (line) => void this.logged.push(line) } });
    const limits = { ...defaultLimits, messageBytes: 64 * 1024 };
    const options = { site: this.site, registry: this.registry, limits, logger };
    this.server = createServer(keepalive === undefined ? options : { ...options, keepalive });
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Connect's own gRPC client, on a connection of its own. */
  connect(): Transport {
    const sessionManager = new Http2SessionManager(this.url);
    this.#sessions.push(sessionManager);
    return createGrpcTransport({ baseUrl: this.url, sessionManager });
  }

  /** The gRPC project's client. */
  grpcJs(): Client {
    const client = new Client(`127.0.0.1:${this.port}`, credentials.createInsecure());
    this.#clients.push(client);
    return client;
  }

  /** One unary call through the gRPC project's client. */
  async call<M extends DescMethodUnary>(
    method: M,
    request: MessageInitShape<M["input"]>,
    deadlineMs?: number,
    client?: Client,
  ): Promise<MessageShape<M["output"]>> {
    const bytes = Buffer.from(toBinary(method.input, create(method.input, request)));
    const answer = await this.callBytes(`/${method.parent.typeName}/${method.name}`, bytes, deadlineMs, client);
    return fromBinary(method.output, answer) as MessageShape<M["output"]>;
  }

  /** The same with bytes that may be anything. */
  async callBytes(path: string, bytes: Buffer, deadlineMs?: number, client = this.grpcJs()): Promise<Buffer> {
    const same = (buffer: Buffer): Buffer => buffer;
    const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(path, same, same, bytes, options, (error, answer) => {
        if (error) reject(error);
        else resolve(answer as Buffer);
      });
    });
  }

  async json(path: string, body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) {
    const response = await fetch(`${this.url}/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body,
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close();
    for (const session of this.#sessions) session.abort();
    await this.server.close(0);
  }
}

/** The ErrorInfo in an error of the gRPC project's client. */
export function errorInfo(error: ServiceError): ErrorInfo | undefined {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  if (!(bytes instanceof Buffer)) return undefined;
  const detail = fromBinary(StatusSchema, bytes).details.find((each) => each.typeUrl.endsWith("google.rpc.ErrorInfo"));
  return detail && fromBinary(ErrorInfoSchema, detail.value);
}

/** All messages of a stream. */
export async function collect<T>(messages: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const message of messages) all.push(message);
  return all;
}
