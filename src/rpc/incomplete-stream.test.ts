import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from "node:net";
import { fromBinary } from "@bufbuild/protobuf";
import { Code, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import { Client, credentials } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { type QueryResponse, QueryResponseSchema } from "../../gen/ts/opsdb/v1/query_pb.ts";
import { QueryService } from "../../gen/ts/opsdb/v1/query_service_pb.ts";
import { header } from "../../test/support/site-stub.ts";
import { collect, StubServer } from "../../test/support/stub-server.ts";
import type { QueryPart } from "../query/table-query.ts";

const rows = Array.from({ length: 12 }, (_, n) => [`row ${n}`, String(n)]);

async function* result(): AsyncGenerator<QueryPart> {
  yield header;
  for (let from = 0; from < rows.length; from += 4) yield { kind: "batch", rows: rows.slice(from, from + 4) };
  yield { kind: "trailer", rowCount: rows.length };
}

type Ask = (baseUrl: string) => Promise<QueryResponse[]>;

const over =
  (transport: (baseUrl: string) => Transport): Ask =>
  (baseUrl) =>
    collect(createClient(QueryService, transport(baseUrl)).query({ table: "files" }, { timeoutMs: 10_000 }));

const protocols: [string, Ask][] = [
  ["gRPC", askOverGrpc],
  ["gRPC, the gRPC project's client", askOverGrpcJs],
  ["gRPC-Web", over((baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }))],
  ["Connect", over((baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: true }))],
  [
    "Connect with JSON",
    over((baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: false })),
  ],
];

test.each(protocols)("a result that is cut off at any byte never looks complete: %s", async (_, ask) => {
  await using stub = await StubServer.open();
  stub.site.onQuery = () => result();
  await using cutter = await Cutter.open(stub.port);
  const whole = await ask(cutter.url);
  expect(isComplete(whole)).toBe(true);
  const { passed } = cutter;
  expect(passed).toBeGreaterThan(300);
  let errors = 0;
  const step = Math.ceil(passed / 60);
  for (let bytes = 0; bytes < passed; bytes += step)
    for (const how of ["end", "resetAndDestroy"] as const) {
      cutter.cutAfter(bytes, how);
      try {
        expect(isComplete(await ask(cutter.url)), `${bytes} of ${passed} bytes, then ${how}`).toBe(true);
      } catch (error) {
        if (!isCallError(error)) throw error;
        errors += 1;
      }
    }
  expect(errors).toBeGreaterThan(60);
});

test("a result that the site ends without a trailer is an error", async () => {
  await using stub = await StubServer.open();
  stub.site.onQuery = async function* () {
    yield header;
    yield { kind: "batch", rows };
  };
  await expect(askOverGrpc(stub.url)).rejects.toMatchObject({ code: Code.Internal });
});

async function askOverGrpc(baseUrl: string): Promise<QueryResponse[]> {
  const sessionManager = new Http2SessionManager(baseUrl);
  try {
    return await over(() => createGrpcTransport({ baseUrl, sessionManager }))(baseUrl);
  } finally {
    sessionManager.abort();
  }
}

async function askOverGrpcJs(baseUrl: string): Promise<QueryResponse[]> {
  const client = new Client(new URL(baseUrl).host, credentials.createInsecure(), { "grpc.enable_retries": 0 });
  const same = (bytes: Buffer): Buffer => bytes;
  try {
    const request = Buffer.from([0x0a, 5, ...Buffer.from("files")]);
    const options = { deadline: Date.now() + 10_000 };
    const call = client.makeServerStreamRequest("/opsdb.v1.QueryService/Query", same, same, request, options);
    return (await collect<Buffer>(call)).map((bytes) => fromBinary(QueryResponseSchema, bytes));
  } finally {
    client.close();
  }
}

function isComplete(parts: QueryResponse[]): boolean {
  const last = parts.at(-1)?.part;
  const count = parts.reduce((sum, { part }) => sum + (part.case === "batch" ? part.value.rows.length : 0), 0);
  return last?.case === "trailer" && last.value.rowCount === BigInt(count) && count === rows.length;
}

/** What clients tell of a call; anything else is the test's own. */
function isCallError(error: unknown): boolean {
  return error instanceof Error && "code" in error && !("actual" in error);
}

/** Passes everything on, but so many bytes of the server's answer on each connection. */
class Cutter implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #left = Number.POSITIVE_INFINITY;
  #how: "end" | "resetAndDestroy" = "end";
  /** Bytes of the answer that came through on the newest connection. */
  passed = 0;

  static async open(port: number): Promise<Cutter> {
    const cutter = new Cutter(port);
    await new Promise<void>((resolve) => cutter.#server.listen(0, "127.0.0.1", resolve));
    return cutter;
  }

  private constructor(port: number) {
    this.#server = createServer((near) => {
      const far = dial(port, "127.0.0.1");
      for (const socket of [near, far]) this.#sockets.add(socket.on("error", () => {}));
      near.pipe(far);
      this.passed = 0;
      far.on("data", (chunk: Buffer) => {
        const through = chunk.subarray(0, Math.max(0, this.#left - this.passed));
        this.passed += through.length;
        if (through.length > 0) near.write(through);
        if (this.passed < this.#left) return;
        near[this.#how]();
        far.destroy();
      });
      far.on("close", () => near.end());
      near.on("close", () => far.destroy());
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  cutAfter(bytes: number, how: "end" | "resetAndDestroy"): void {
    this.#left = bytes;
    this.#how = how;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
