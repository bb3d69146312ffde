import { readFileSync } from "node:fs";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type CallOptions, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-node";
import { type ServiceError, status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../gen/ts/google/rpc/error_details_pb.ts";
import { ErrorReason } from "../../gen/ts/opsdb/v1/error_reason_pb.ts";
import type { Consistency, QueryRequestSchema } from "../../gen/ts/opsdb/v1/query_pb.ts";
import { QueryService } from "../../gen/ts/opsdb/v1/query_service_pb.ts";
import { ReplicationService } from "../../gen/ts/opsdb/v1/replication_service_pb.ts";
import { type WriteMode, WriteRequestSchema } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { WriteService } from "../../gen/ts/opsdb/v1/write_service_pb.ts";
import { header } from "../../test/support/site-stub.ts";
import { collect, errorInfo, StubServer } from "../../test/support/stub-server.ts";
import { OpsDbError, reasons } from "../errors.ts";

const path = "/opsdb.v1.WriteService/Write";
const values = { id: { kind: { case: "stringValue" as const, value: "a" } } };
const insert = { table: "files", operation: { case: "insert" as const, value: { values } } };

const exists = { case: "rowExists" as const, value: true };

async function refused(call: Promise<unknown>): Promise<ConnectError> {
  return ConnectError.from(
    await call.then(
      () => expect.fail("the call went through"),
      (error: unknown) => error,
    ),
  );
}

async function refusedByGrpcJs(call: Promise<unknown>): Promise<[number, string | undefined]> {
  const error = (await call.then(
    () => expect.fail("the call went through"),
    (e: unknown) => e,
  )) as ServiceError;
  return [error.code, errorInfo(error)?.reason];
}

function field(error: ConnectError): string | undefined {
  return error.findDetails(BadRequestSchema)[0]?.fieldViolations[0]?.field;
}

test("every reason of the service is in the contract, and no other", () => {
  const inContract = Object.keys(ErrorReason).filter((name) => Number.isNaN(Number(name)) && name !== "UNSPECIFIED");
  expect(inContract.sort()).toEqual(Object.keys(reasons).sort());
});

test("the contract's comment on each reason names its gRPC code", () => {
  const proto = readFileSync(new URL("../../proto/opsdb/v1/error_reason.proto", import.meta.url), "utf8");
  for (const [reason, code] of Object.entries(reasons)) {
    const before = proto.slice(0, proto.indexOf(`ERROR_REASON_${reason} =`));
    expect(before.slice(before.lastIndexOf(";\n")), reason).toContain(`// ${code}: `);
  }
});

test.each<[string, MessageInitShape<typeof WriteRequestSchema>]>([
  ["mutations", {}],
  ["write_id", { writeId: "7", mutations: [insert] }],
  ["mutations[0].table", { mutations: [{}] }],
  ["mutations[1]", { mutations: [insert, { table: "files" }] }],
  [
    'mutations[0].insert.values["id"]',
    { mutations: [{ table: "f", operation: { case: "insert" as const, value: { values: { id: {} } } } }] },
  ],
  [
    "mutations[0].update.key",
    { mutations: [{ table: "f", operation: { case: "update" as const, value: { values } } }] },
  ],
  [
    "mutations[0].update.values",
    { mutations: [{ table: "f", operation: { case: "update" as const, value: { key: values } } }] },
  ],
  ["mutations[0].delete.key", { mutations: [{ table: "f", operation: { case: "delete" as const, value: {} } }] }],
  ["mutations[0].preconditions[0]", { mutations: [{ ...insert, preconditions: [{}] }] }],
  [
    "mutations",
    { mutations: [{ ...insert, preconditions: Array.from({ length: 10_001 }, () => ({ condition: exists })) }] },
  ],
  ["mode", { mutations: [insert], mode: 9 as WriteMode }],
  ["wait_for", { mutations: [insert], waitFor: 4 }],
  ["wait_timeout", { mutations: [insert], waitTimeout: { seconds: -1n } }],
])("a write at fault is refused with the path %s", async (expected, request) => {
  await using stub = await StubServer.open();
  const error = await refused(createClient(WriteService, stub.connect()).write(request));
  expect([error.code, field(error)]).toEqual([Code.InvalidArgument, expected]);
  expect(error.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: "INVALID_FIELD", domain: "opsdb.v1" }]);
  expect(stub.site.writes).toEqual([]);
});

test.each<[string, MessageInitShape<typeof QueryRequestSchema>]>([
  ["table", {}],
  ["columns[1]", { table: "f", columns: ["a", ""] }],
  ["columns", { table: "f", columns: Array.from({ length: 1_665 }, () => "a") }],
  ["related[0].columns", { table: "f", related: [{ table: "g", columns: Array.from({ length: 1_665 }, () => "a") }] }],
  ["order_by", { table: "f", orderBy: Array.from({ length: 1_665 }, () => ({ column: "a" })) }],
  ["batch_size", { table: "f", batchSize: 10_001 }],
  ["consistency", { table: "f", consistency: 9 as Consistency }],
  ["order_by[0].column", { table: "f", orderBy: [{}] }],
  ["where", { table: "f", where: {} }],
  ["where.not", { table: "f", where: { condition: { case: "not" as const, value: {} } } }],
  ["where.comparison.column", { table: "f", where: { condition: { case: "comparison" as const, value: {} } } }],
  [
    "where.in.values[0]",
    { table: "f", where: { condition: { case: "in" as const, value: { column: "a", values: [{}] } } } },
  ],
])("a query at fault is refused with the path %s", async (expected, request) => {
  await using stub = await StubServer.open();
  const error = await refused(collect(createClient(QueryService, stub.connect()).query(request)));
  expect([error.code, field(error)]).toEqual([Code.InvalidArgument, expected]);
});

test.each([
  ["write_id", { writeId: "7" }],
  ["lsn", { lsn: "0/X" }],
  ["heartbeat", { heartbeat: { nanos: 1_000_000 } }],
])("a watch at fault is refused with the path %s", async (expected, request) => {
  await using stub = await StubServer.open();
  const error = await refused(collect(createClient(ReplicationService, stub.connect()).watchReplication(request)));
  expect([error.code, field(error)]).toEqual([Code.InvalidArgument, expected]);
});

test("an error of the site goes out with reason, metadata and the time to retry", async () => {
  await using stub = await StubServer.open();
  stub.site.onWrite = () =>
    Promise.reject(
      new OpsDbError("BUFFER_FULL", "the buffer is full", { retryAfterMs: 1500, metadata: { writes: "9" } }),
    );
  const error = await refused(createClient(WriteService, stub.connect()).write({ mutations: [insert] }));
  expect([error.code, error.rawMessage]).toEqual([Code.ResourceExhausted, "the buffer is full"]);
  expect(error.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: "BUFFER_FULL", metadata: { writes: "9" } }]);
  expect(error.findDetails(RetryInfoSchema)).toMatchObject([{ retryDelay: { seconds: 1n, nanos: 500_000_000 } }]);
});

test("an error in the middle of a stream has its status as well", async () => {
  await using stub = await StubServer.open();
  stub.site.onQuery = async function* () {
    yield header;
    throw new OpsDbError("LOCAL_UNAVAILABLE", "the replica went away");
  };
  const seen: (string | undefined)[] = [];
  const { query } = createClient(QueryService, stub.connect());
  const read = async (): Promise<void> => {
    for await (const { part } of query({ table: "files" })) seen.push(part.case);
  };
  expect((await refused(read())).code).toBe(Code.Unavailable);
  expect(seen).toEqual(["header"]);
});

test("a bug is answered without its details and logged with them", async () => {
  await using stub = await StubServer.open();
  stub.site.onWrite = () => Promise.reject(new TypeError("secret of the house"));
  const call = stub.call(WriteService.method.write, { mutations: [insert] });
  const error = (await call.catch((e: unknown) => e)) as ServiceError;
  expect([error.code, errorInfo(error)?.reason]).toEqual([status.INTERNAL, "INTERNAL"]);
  expect(error.message).not.toContain("secret");
  expect(stub.logged.join()).toContain("secret of the house");
});

test("bytes that are not protobuf, and text that is not UTF-8, are the caller's fault", async () => {
  await using stub = await StubServer.open();
  const invalidUtf8 = Buffer.from([0x0a, 0x02, 0xc3, 0x28]);
  const expected = [status.INVALID_ARGUMENT, "INVALID_FIELD"];
  expect(await refusedByGrpcJs(stub.callBytes(path, Buffer.from([0xff, 0xff, 0xff])))).toEqual(expected);
  expect(await refusedByGrpcJs(stub.callBytes(path, invalidUtf8))).toEqual(expected);
  expect(await refusedByGrpcJs(stub.callBytes("/opsdb.v1.WriteService/GetWrite", invalidUtf8))).toEqual(expected);
  const json = await stub.json("opsdb.v1.WriteService/Write", new Uint8Array([0x7b, 0xff, 0x7d]));
  expect(json).toMatchObject({
    status: 400,
    body: { code: "invalid_argument", details: [{ debug: { reason: "INVALID_FIELD" } }] },
  });
  const unknown = await stub.json("opsdb.v1.WriteService/Write", '{"wait_fro":1}');
  expect(unknown).toMatchObject({ status: 400, body: { details: [{ debug: { reason: "INVALID_FIELD" } }] } });
  const proto = await stub.json("opsdb.v1.WriteService/Write", invalidUtf8 as never, {
    "content-type": "application/proto",
  });
  expect(proto).toMatchObject({ status: 400, body: { details: [{ debug: { reason: "INVALID_FIELD" } }] } });
  expect(stub.logged).toEqual([]);
});

test("a message over the limit is RESOURCE_EXHAUSTED in every protocol", async () => {
  await using stub = await StubServer.open();
  const large = { mutations: [{ table: "x".repeat(70_000) }] };
  const tooLarge = { code: Code.ResourceExhausted, reason: "MESSAGE_TOO_LARGE" };
  const bytes = Buffer.from(toBinary(WriteRequestSchema, create(WriteRequestSchema, large)));
  expect(await refusedByGrpcJs(stub.callBytes(path, bytes))).toEqual([tooLarge.code, tooLarge.reason]);
  const web = createClient(WriteService, createGrpcWebTransport({ baseUrl: stub.url, httpVersion: "1.1" }));
  const error = await refused(web.write(large));
  expect([error.code, error.findDetails(ErrorInfoSchema)[0]?.reason]).toEqual([tooLarge.code, tooLarge.reason]);
  const json = await stub.json("opsdb.v1.WriteService/Write", JSON.stringify(large));
  expect(json.body).toMatchObject({ code: "resource_exhausted", details: [{ debug: { reason: tooLarge.reason } }] });
});

test("an error about something very long fits into headers", async () => {
  await using stub = await StubServer.open();
  const long = "\u00e9".repeat(30_000);
  stub.site.onWrite = () =>
    Promise.reject(new OpsDbError("TABLE_NOT_FOUND", `no ${long}`, { field: long, metadata: { table: long } }));
  const call = stub.call(WriteService.method.write, { mutations: [insert] });
  const error = (await call.catch((e: unknown) => e)) as ServiceError;
  expect([error.code, errorInfo(error)?.reason]).toEqual([status.NOT_FOUND, "TABLE_NOT_FOUND"]);
  expect(error.details).toMatch(/^no \u00e9+\.\.\.$/);
  const headers = Object.values(error.metadata.getMap()).map((value) => value.length);
  expect(
    headers.reduce((sum, length) => sum + (length * 4) / 3, encodeURIComponent(error.details).length),
  ).toBeLessThan(8_000);
});

test.each([
  ["not compressed, and says that it is", "gzip"],
  ["compressed in no way that was named", "identity"],
])("a message that is %s is the caller's fault", async (_what, encoding) => {
  await using stub = await StubServer.open();
  const body = Buffer.from([1, 0, 0, 0, 2, 8, 1]);
  const headers = { "content-type": "application/grpc-web+proto", "grpc-encoding": encoding };
  const answer = await fetch(`${stub.url}${path}`, { method: "POST", headers, body });
  const said = (await answer.text()) + (answer.headers.get("grpc-status") ?? "");
  expect(said).toMatch(/grpc-status: 3\r|^3$/);
  expect(stub.logged).toEqual([]);
});

test("an unknown method is UNIMPLEMENTED", async () => {
  await using stub = await StubServer.open();
  const [code] = await refusedByGrpcJs(stub.callBytes("/opsdb.v1.WriteService/Nothing", Buffer.alloc(0)));
  expect(code).toBe(status.UNIMPLEMENTED);
});

test("a deadline longer than any timer is no deadline", async () => {
  await using stub = await StubServer.open();
  const years = { "connect-timeout-ms": "9999999999" };
  const body = JSON.stringify({ mutations: [{ table: "files", insert: {} }] });
  expect((await stub.json("opsdb.v1.WriteService/Write", body, years)).status).toBe(200);
  const { write } = createClient(WriteService, stub.connect());
  await write({ mutations: [insert] }, { headers: { "grpc-timeout": "99999999H" } });
  expect(stub.site.writes.every(({ options }) => options.waitMs >= 60_000)).toBe(true);
});

test.each<[string, Code, (signal: AbortSignal) => CallOptions]>([
  ["cancelled by its caller", Code.Canceled, (signal) => ({ signal })],
  ["past its deadline", Code.DeadlineExceeded, () => ({ timeoutMs: 50 })],
])("a call %s stops its work and is no error of the server", async (_name, code, options) => {
  await using stub = await StubServer.open();
  stub.site.onWrite = (_write, { signal }) =>
    new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("connection closed"))));
  const caller = new AbortController();
  const call = createClient(WriteService, stub.connect()).write({ mutations: [insert] }, options(caller.signal));
  const refusal = refused(call);
  await stub.site.open.until((open) => open === 1, AbortSignal.timeout(5000));
  caller.abort();
  expect((await refusal).code).toBe(code);
  await stub.site.open.until((open) => open === 0, AbortSignal.timeout(5000));
  expect(stub.logged).toEqual([]);
});
