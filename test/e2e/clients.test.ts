import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import {
  type DescMethod,
  type DescService,
  fromBinary,
  fromJson,
  type JsonValue,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { type Client, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport, createGrpcWebTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { credentials, Client as GrpcJsClient, type ServiceError } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ErrorInfoSchema } from "../../gen/ts/google/rpc/error_details_pb.ts";
import { Health } from "../../gen/ts/grpc/health/v1/health_pb.ts";
import { CatalogService } from "../../gen/ts/opsdb/v1/catalog_service_pb.ts";
import { QueryService } from "../../gen/ts/opsdb/v1/query_service_pb.ts";
import { ReplicationService } from "../../gen/ts/opsdb/v1/replication_service_pb.ts";
import { WriteService } from "../../gen/ts/opsdb/v1/write_service_pb.ts";
import { errorInfo } from "../support/stub-server.ts";
import { needPython, needTools } from "../support/tools.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";

/** One call with the JSON form of its messages; rejects with the reason in the error's text. */
type Call = (service: DescService, method: string, request: JsonValue) => Promise<JsonValue[]>;

const run = promisify(execFile);
const projectRoot = join(import.meta.dirname, "..", "..");
const callMs = 20_000;

let sites: TwoSite;
let tests = 0;

beforeAll(async () => {
  sites = await startTwoSite();
});

afterAll(async () => {
  await sites?.[Symbol.asyncDispose]();
});

test("Connect's gRPC client", async () => {
  const baseUrl = sites.secondary.baseUrl;
  const sessionManager = new Http2SessionManager(baseUrl);
  await session(over(createGrpcTransport({ baseUrl, sessionManager })));
  sessionManager.abort();
});

test("gRPC-Web over HTTP/1.1", async () => {
  await session(over(createGrpcWebTransport({ baseUrl: sites.secondary.baseUrl, httpVersion: "1.1" })));
});

test("the gRPC project's own client", async () => {
  const client = new GrpcJsClient(sites.secondary.grpc, credentials.createInsecure());
  await session((service, name, request) => grpcJsCall(client, methodOf(service, name), request));
  client.close();
});

test("JSON over HTTP/1.1 with fetch alone", async () => {
  await session(fetchCall);
});

test("buf curl, by reflection", async () => {
  const buf = join(projectRoot, "node_modules", ".bin", "buf");
  const common = ["curl", "--protocol", "grpc", "--http2-prior-knowledge"];
  const { stdout } = await run(buf, [...common, "--list-methods", sites.secondary.baseUrl]);
  expect(stdout.split("\n")).toContain("opsdb.v1.WriteService/Write");
  await session(async (service, method, request) => {
    const url = `${sites.secondary.baseUrl}/${service.typeName}/${method}`;
    return await commandCall(buf, [...common, "-d", JSON.stringify(request), url]);
  });
});

test("grpcurl lists, describes and calls without a proto file", async ({ skip }) => {
  const [grpcurl] = needTools(["grpcurl"], skip);
  const address = sites.secondary.grpc;
  const list = (await run(grpcurl, ["-plaintext", address, "list"])).stdout.trim().split("\n");
  expect(list).toEqual(
    expect.arrayContaining(["grpc.health.v1.Health", "opsdb.v1.CatalogService", "opsdb.v1.WriteService"]),
  );
  const { stdout } = await run(grpcurl, ["-plaintext", address, "describe", "opsdb.v1.WriteRequest"]);
  expect(stdout).toContain("repeated .opsdb.v1.Mutation mutations = 2;");
  const methods = await run(grpcurl, ["-plaintext", address, "describe", "opsdb.v1.QueryService"]);
  expect(methods.stdout).toContain("returns ( stream .opsdb.v1.QueryResponse )");
  await session((service, method, request) =>
    commandCall(grpcurl, ["-plaintext", "-d", JSON.stringify(request), address, `${service.typeName}/${method}`]),
  );
});

test("the generated Python stubs", async ({ skip }) => {
  const python = needPython(skip);
  const script = join(import.meta.dirname, "python_client.py");
  const { stdout } = await run(python, [script, sites.secondary.grpc, `station ${tests++}`], { timeout: callMs });
  expect(JSON.parse(stdout)).toEqual({
    tables: expect.arrayContaining(["observatories", "weather_samples"]),
    accepted: "WRITE_STATE_ACCEPTED",
    rows: 1,
    sampled_at: "2026-11-20T04:30:00.123456Z",
    temperature_c: "-7.25",
    humidity_is_null: true,
    last_state: "WRITE_STATE_REPLICATED",
    refused: "NOT_FOUND",
  });
});

/** What every client must be able to do: look around, write, read it merged, follow it home, be refused. */
async function session(call: Call): Promise<void> {
  const station = `station ${tests++}`;
  const service = WriteService.typeName;
  expect(await call(Health, "Check", { service })).toEqual([{ status: "SERVING" }]);
  expect(await call(CatalogService, "ListTables", {})).toMatchObject([
    { tables: expect.arrayContaining([expect.objectContaining({ name: "weather_samples", writable: true })]) },
  ]);
  expect(await call(CatalogService, "DescribeTable", { table: "weather_samples" })).toMatchObject([
    { table: { name: "weather_samples", primaryKey: ["station", "sampled_at"] } },
  ]);

  const values = {
    station: { stringValue: station },
    sampled_at: { timestampValue: "2026-11-20T04:30:00.123456Z" },
    temperature_c: { numericValue: "-7.25" },
    pwv_mm: { doubleValue: 0.5 },
  };
  const mutation = { table: "weather_samples", insert: { values } };
  const [written] = await call(WriteService, "Write", { mutations: [mutation] });
  expect(written).toMatchObject({ status: { state: "WRITE_STATE_ACCEPTED", site: "ccat" }, rows: [{ values }] });
  const { status, token } = written as { status: { writeId: string }; token: string };

  const where = {
    comparison: { column: "station", operator: "COMPARISON_OPERATOR_EQUAL", value: values.station },
  };
  const columns = ["station", "sampled_at", "temperature_c", "pwv_mm", "relative_humidity"];
  const query = { table: "weather_samples", columns, where, token };
  expect(await call(QueryService, "Query", query)).toMatchObject([
    { header: { columns: columns.map((name) => ({ name })), consistency: "CONSISTENCY_MERGED" } },
    {
      batch: { rows: [{ values: [...Object.values(values), { nullValue: expect.toBeOneOf([null, "NULL_VALUE"]) }] }] },
    },
    { trailer: { rowCount: "1" } },
  ]);

  const { writeId } = status;
  const events = await call(ReplicationService, "WatchReplication", { writeId, untilDone: true });
  expect(events[0]).toMatchObject({ status: { site: "ccat", role: "SITE_ROLE_SECONDARY" } });
  expect(events.at(-1)).toMatchObject({ write: { writeId, state: "WRITE_STATE_REPLICATED" } });
  expect(await call(WriteService, "GetWrite", { writeId })).toMatchObject([
    { status: { writeId, state: "WRITE_STATE_REPLICATED" } },
  ]);

  // buf curl prints details as they come over the wire, and the message.
  const refused = /TABLE_NOT_FOUND|"not_found".*there is no table/s;
  const unknown = { mutations: [{ ...mutation, table: "planets" }] };
  await expect(call(WriteService, "Write", unknown)).rejects.toThrow(refused);
  await expect(call(QueryService, "Query", { table: "planets" })).rejects.toThrow(refused);
}

/** Calls through a transport of Connect. */
function over(transport: Transport): Call {
  return async (service, name, request) => {
    const { input, output, localName, methodKind } = methodOf(service, name);
    const client = createClient(service, transport) as Client<DescService>;
    const method = client[localName] as unknown as (message: unknown, options: object) => unknown;
    try {
      const answer = method(fromJson(input, request), { timeoutMs: callMs });
      if (methodKind === "unary") return [toJson(output, (await answer) as never)];
      return (await Array.fromAsync(answer as AsyncIterable<never>)).map((message) => toJson(output, message));
    } catch (error) {
      const reason = ConnectError.from(error).findDetails(ErrorInfoSchema)[0]?.reason;
      throw new Error(reason ?? String(error), { cause: error });
    }
  };
}

function grpcJsCall(client: GrpcJsClient, method: DescMethod, request: JsonValue): Promise<JsonValue[]> {
  const path = `/${method.parent.typeName}/${method.name}`;
  const encode = (json: JsonValue): Buffer => Buffer.from(toBinary(method.input, fromJson(method.input, json)));
  const decode = (bytes: Buffer): JsonValue => toJson(method.output, fromBinary(method.output, bytes));
  const options = { deadline: Date.now() + callMs };
  return new Promise((resolve, reject) => {
    const fail = (error: ServiceError): void => reject(new Error(errorInfo(error)?.reason ?? error.message));
    if (method.methodKind === "unary") {
      client.makeUnaryRequest(path, encode, decode, request, options, (error, answer) => {
        if (error) fail(error);
        else resolve([answer as JsonValue]);
      });
      return;
    }
    const messages: JsonValue[] = [];
    client
      .makeServerStreamRequest(path, encode, decode, request, options)
      .on("data", (message: JsonValue) => messages.push(message))
      .on("end", () => resolve(messages))
      .on("error", (error) => fail(error as ServiceError));
  });
}

/** The Connect protocol by hand: plain JSON for one message, messages in envelopes for a stream. */
async function fetchCall(service: DescService, name: string, request: JsonValue): Promise<JsonValue[]> {
  const streams = methodOf(service, name).methodKind === "server_streaming";
  const json = Buffer.from(JSON.stringify(request));
  const response = await fetch(`${sites.secondary.baseUrl}/${service.typeName}/${name}`, {
    method: "POST",
    headers: { "content-type": streams ? "application/connect+json" : "application/json" },
    body: streams ? envelope(json) : json,
    signal: AbortSignal.timeout(callMs),
  });
  if (!streams) {
    const answer = (await response.json()) as JsonValue;
    if (!response.ok) throw new Error(JSON.stringify(answer));
    return [answer];
  }
  const messages: JsonValue[] = [];
  let bytes = Buffer.from(await response.arrayBuffer());
  while (bytes.length > 0) {
    const end = 5 + bytes.readUInt32BE(1);
    const message = JSON.parse(bytes.subarray(5, end).toString()) as { error?: JsonValue };
    if (bytes[0] !== 2) messages.push(message as JsonValue);
    else if (message.error) throw new Error(JSON.stringify(message.error));
    bytes = bytes.subarray(end);
  }
  return messages;
}

function envelope(message: Buffer): Buffer<ArrayBuffer> {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** Reads the messages that a program prints as JSON, one after the other. */
async function commandCall(command: string, args: string[]): Promise<JsonValue[]> {
  const { stdout } = await run(command, args, { timeout: callMs });
  const parts = stdout.trim().split(/\}\s*\n(?=\{)/);
  return parts.map((part, i) => JSON.parse(i < parts.length - 1 ? `${part}}` : part) as JsonValue);
}

function methodOf(service: DescService, name: string): DescMethod {
  const method = service.methods.find((each) => each.name === name);
  if (!method) throw new Error(`no method ${name}`);
  return method;
}
