import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { expect, test } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../gen/ts/grpc/health/v1/health_pb.ts";
import * as v1 from "../../gen/ts/grpc/reflection/v1/reflection_pb.ts";
import * as v1alpha from "../../gen/ts/grpc/reflection/v1alpha/reflection_pb.ts";
import { CatalogService } from "../../gen/ts/opsdb/v1/catalog_service_pb.ts";
import { ComparisonOperator } from "../../gen/ts/opsdb/v1/query_pb.ts";
import { QueryService } from "../../gen/ts/opsdb/v1/query_service_pb.ts";
import { ReplicationService } from "../../gen/ts/opsdb/v1/replication_service_pb.ts";
import { WriteState } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { WriteService } from "../../gen/ts/opsdb/v1/write_service_pb.ts";
import { header } from "../../test/support/site-stub.ts";
import { collect, StubServer } from "../../test/support/stub-server.ts";
import type { QueryPart } from "../query/table-query.ts";

const insert = {
  table: "files",
  operation: {
    case: "insert" as const,
    value: { values: { id: { kind: { case: "stringValue" as const, value: "a" } } } },
  },
};

async function* rows(...batches: string[][][]): AsyncGenerator<QueryPart> {
  yield header;
  for (const batch of batches) yield { kind: "batch", rows: batch };
  yield { kind: "trailer", rowCount: batches.flat().length };
}

test("a write goes through the gRPC project's client and comes back completed", async () => {
  await using stub = await StubServer.open();
  const answer = await stub.call(WriteService.method.write, { mutations: [insert], waitFor: WriteState.APPLIED }, 5000);
  expect(answer.status).toMatchObject({ state: WriteState.ACCEPTED, site: "stub", position: "7-1", lsn: "" });
  expect(answer.rows[0]?.values.size?.kind).toEqual({ case: "int64Value", value: 42n });
  const [asked] = stub.site.writes;
  expect(asked?.write).toMatchObject({
    writeId: answer.status?.writeId,
    fresh: true,
    mutations: [{ table: "files", operation: "insert", values: { id: { kind: "string", value: "a" } } }],
  });
  expect(asked?.options).toMatchObject({ mode: "critical", waitFor: "APPLIED" });
  expect(asked?.options.waitMs).toBeGreaterThan(0);
  expect(asked?.options.waitMs).toBeLessThanOrEqual(4500);
});

test("wait_timeout bounds the wait, and 60 s do without a deadline", async () => {
  await using stub = await StubServer.open();
  const { write } = createClient(WriteService, stub.connect());
  await write({ mutations: [insert] });
  await write({ mutations: [insert], waitTimeout: { seconds: 1n, nanos: 500_000_000 } });
  expect(stub.site.writes.map(({ options }) => options.waitMs)).toEqual([60_000, 1500]);
});

test.each(["gRPC", "gRPC-Web", "Connect"])("a query streams header, rows and trailer over %s", async (protocol) => {
  await using stub = await StubServer.open();
  stub.site.onQuery = () =>
    rows(
      [
        ["a", "1"],
        ["b", "2"],
      ],
      [["c", "3"]],
    );
  const http = { baseUrl: stub.url, httpVersion: "1.1" as const };
  const transports = {
    gRPC: stub.connect(),
    "gRPC-Web": createGrpcWebTransport(http),
    Connect: createConnectTransport(http),
  };
  const client = createClient(QueryService, transports[protocol as keyof typeof transports]);
  const parts = await collect(client.query({ table: "files" }));
  expect(parts.map(({ part }) => part.case)).toEqual(["header", "batch", "batch", "trailer"]);
  const values = parts.flatMap(({ part }) => (part.case === "batch" ? part.value.rows : []));
  expect(values.map((row) => row.values.map((value) => value.kind.value))).toEqual([
    ["a", 1n],
    ["b", 2n],
    ["c", 3n],
  ]);
  expect(parts[0]?.part.value).toMatchObject({ lsn: "1/AB", timeline: 3, pendingWrites: 2n });
  expect(parts.at(-1)?.part.value).toMatchObject({ rowCount: 3n });
});

test("a query arrives as the client meant it", async () => {
  await using stub = await StubServer.open();
  const { query } = createClient(QueryService, stub.connect());
  const value = { kind: { case: "int64Value" as const, value: 5n } };
  const larger = {
    condition: { case: "comparison" as const, value: { column: "size", operator: ComparisonOperator.GREATER, value } },
  };
  const missing = { condition: { case: "isNull" as const, value: { column: "id" } } };
  const where = {
    condition: {
      case: "and" as const,
      value: { conditions: [larger, { condition: { case: "not" as const, value: missing } }] },
    },
  };
  await collect(query({ table: "files", where, orderBy: [{ column: "id", descending: true }], limit: 0n }));
  expect(stub.site.queries[0]).toMatchObject({
    query: {
      table: "files",
      columns: [],
      where: {
        kind: "and",
        conditions: [
          { kind: "comparison", column: "size", operator: ">", field: "where.and.conditions[0].comparison" },
          { kind: "not", condition: { kind: "is_null", field: "where.and.conditions[1].not.is_null" } },
        ],
      },
      orderBy: [{ column: "id", descending: true }],
      limit: 0n,
      consistency: "merged",
      batchSize: 1000,
    },
    options: { timeoutMs: 3_600_000 },
  });
});

test("JSON over HTTP/1.1 needs no client at all", async () => {
  await using stub = await StubServer.open();
  const values = { id: { string_value: "a" } };
  const write = {
    write_id: "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
    mutations: [{ table: "files", upsert: { values } }],
  };
  const { status, body } = await stub.json("opsdb.v1.WriteService/Write", JSON.stringify(write));
  expect(status).toBe(200);
  expect(body).toMatchObject({ status: { writeId: "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11" } });
  expect(stub.site.writes[0]?.write).toMatchObject({ fresh: false, mutations: [{ operation: "upsert" }] });
});

test("tables are listed and described", async () => {
  await using stub = await StubServer.open();
  const { listTables, describeTable } = createClient(CatalogService, stub.connect());
  expect((await listTables({})).tables).toMatchObject([{ name: "files", writable: true, comment: "raw data files" }]);
  const { table } = await describeTable({ table: "files" });
  expect(table).toMatchObject({ name: "files", primaryKey: ["id"], columns: [{ name: "id", type: "text" }, {}] });
});

test("health follows the site, by the name of each service", async () => {
  await using stub = await StubServer.open();
  const client = createClient(Health, stub.connect());
  const check = async (service: string): Promise<Status> => (await client.check({ service })).status;
  expect([await check(""), await check("opsdb.v1.WriteService")]).toEqual([Status.SERVING, Status.SERVING]);
  const watched = client.watch({ service: "opsdb.v1.WriteService" })[Symbol.asyncIterator]();
  expect((await watched.next()).value?.status).toBe(Status.SERVING);
  const next = watched.next();
  stub.site.health.set({ ...stub.site.health.value, write: { serving: false, reason: "Redis is away" } });
  expect((await next).value?.status).toBe(Status.NOT_SERVING);
  expect(await check("opsdb.v1.QueryService")).toBe(Status.SERVING);
  expect(Object.keys((await client.list({})).statuses).sort()).toEqual([
    "",
    "opsdb.v1.CatalogService",
    "opsdb.v1.QueryService",
    "opsdb.v1.ReplicationService",
    "opsdb.v1.WriteService",
    "opsdb.v1.WriteService/headroom",
  ]);
  for (const nobody of ["nobody", "constructor", "__proto__"]) await expect(check(nobody)).rejects.toThrow("not_found");
});

test.each([
  ["v1", v1],
  ["v1alpha", v1alpha],
])("reflection %s lists services and describes what they need", async (_name, version) => {
  await using stub = await StubServer.open();
  const { serverReflectionInfo } = createClient(version.ServerReflection as typeof v1.ServerReflection, stub.connect());
  const questions: v1.ServerReflectionRequest["messageRequest"][] = [
    { case: "listServices", value: "" },
    { case: "fileContainingSymbol", value: "opsdb.v1.WriteService.Write" },
    { case: "fileContainingSymbol", value: "opsdb.v1.WRITE_STATE_APPLIED" },
    { case: "fileContainingSymbol", value: "opsdb.v1.Nothing" },
  ];
  async function* ask() {
    for (const messageRequest of questions) yield { messageRequest };
  }
  const answers = await collect(serverReflectionInfo(ask()));
  const [list, method, enumValue, nothing] = answers.map((answer) => answer.messageResponse);
  const services = list?.case === "listServicesResponse" ? list.value.service.map((service) => service.name) : [];
  expect(services).toContain("opsdb.v1.WriteService");
  expect(services).toContain(`grpc.reflection.${_name}.ServerReflection`);
  expect([method?.case, enumValue?.case, nothing?.case]).toEqual([
    "fileDescriptorResponse",
    "fileDescriptorResponse",
    "errorResponse",
  ]);
});

test("a watcher over gRPC sees the status, its write and the end", async () => {
  await using stub = await StubServer.open();
  const writeId = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
  const state = { writeId, site: "stub", lsn: 0xabn, appliedAt: new Date(1234) };
  stub.site.followed.set([
    { ...state, state: "APPLIED" },
    { ...state, state: "REPLICATED" },
  ]);
  const { watchReplication } = createClient(ReplicationService, stub.connect());
  const events = await collect(watchReplication({ writeId, untilDone: true }));
  expect(events.map(({ event }) => event.case)).toEqual(["status", "write", "write"]);
  expect(events[1]?.event.value).toMatchObject({ state: WriteState.APPLIED, lsn: "0/AB" });
});

test("/metrics counts calls by code, and /healthz says what serves", async () => {
  await using stub = await StubServer.open();
  await stub.call(WriteService.method.write, { mutations: [insert] });
  await stub.json("opsdb.v1.WriteService/Write", "{}");
  const text = await (await fetch(`${stub.url}/metrics`)).text();
  const call = 'grpc_type="unary",grpc_service="opsdb.v1.WriteService",grpc_method="Write"';
  expect(text).toContain(`grpc_server_handled_total{${call},grpc_code="OK"} 1`);
  expect(text).toContain(`grpc_server_handled_total{${call},grpc_code="InvalidArgument"} 1`);
  expect(text).toContain(`grpc_server_started_total{${call}} 2`);
  const health = await fetch(`${stub.url}/healthz`);
  expect([health.status, await health.json()]).toMatchObject([200, { serving: true }]);
  expect((await fetch(`${stub.url}/nothing`)).status).toBe(404);
});
