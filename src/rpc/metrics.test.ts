import { createClient } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { QueryService } from "../../gen/ts/opsdb/v1/query_service_pb.ts";
import { WriteService } from "../../gen/ts/opsdb/v1/write_service_pb.ts";
import { collect, StubServer } from "../../test/support/stub-server.ts";
import { OpsDbError } from "../errors.ts";

test("every method and code has its series from the start, under the names of go-grpc-prometheus", async () => {
  await using stub = await StubServer.open();
  const text = await stub.registry.metrics();
  for (const [type, service, method] of [
    ["unary", "opsdb.v1.WriteService", "Write"],
    ["server_stream", "opsdb.v1.QueryService", "Query"],
    ["server_stream", "grpc.health.v1.Health", "Watch"],
    ["bidi_stream", "grpc.reflection.v1.ServerReflection", "ServerReflectionInfo"],
  ]) {
    const labels = `grpc_type="${type}",grpc_service="${service}",grpc_method="${method}"`;
    for (const name of ["started", "msg_received", "msg_sent"])
      expect(text).toContain(`\ngrpc_server_${name}_total{${labels}} 0\n`);
    for (const code of goCodes)
      expect(text).toContain(`\ngrpc_server_handled_total{${labels},grpc_code="${code}"} 0\n`);
    expect(text).toContain(`\ngrpc_server_handling_seconds_count{${labels}} 0\n`);
  }
  expect(text.match(/grpc_server_handled_total\{.*method="Write"/g)).toHaveLength(goCodes.length);
});

test("messages of a stream are counted, and its end by its code", async () => {
  await using stub = await StubServer.open();
  const { query } = createClient(QueryService, stub.connect());
  await collect(query({ table: "files" }));
  stub.site.onQuery = () => {
    throw new OpsDbError("LOCAL_UNAVAILABLE", "away");
  };
  await collect(query({ table: "files" })).catch(() => {});
  const value = await valuesOf(stub);
  const labels = 'grpc_type="server_stream",grpc_service="opsdb.v1.QueryService",grpc_method="Query"';
  expect(value(`grpc_server_started_total{${labels}}`)).toBe("2");
  expect(value(`grpc_server_msg_received_total{${labels}}`)).toBe("2");
  expect(value(`grpc_server_msg_sent_total{${labels}}`)).toBe("2"); // header and trailer of the first
  expect(value(`grpc_server_handled_total{${labels},grpc_code="OK"}`)).toBe("1");
  expect(value(`grpc_server_handled_total{${labels},grpc_code="Unavailable"}`)).toBe("1");
  expect(value(`grpc_server_handling_seconds_count{${labels}}`)).toBe("2");
});

test("a refusal is counted by its reason, and what the service did not foresee as INTERNAL", async () => {
  await using stub = await StubServer.open();
  const { getWrite } = createClient(WriteService, stub.connect());
  await getWrite({ writeId: "no id" }).catch(() => {});
  stub.site.getWrite = () => Promise.reject(new Error("a bug"));
  await getWrite({ writeId: "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11" }).catch(() => {});
  const value = await valuesOf(stub);
  const refusals = ["INVALID_FIELD", "INTERNAL", "BUFFER_FULL"].map((reason) =>
    value(`opsdb_refusals_total{reason="${reason}"}`),
  );
  expect(refusals).toEqual(["1", "1", "0"]);
});

test("a reader that goes away is counted once, as Canceled", async () => {
  await using stub = await StubServer.open();
  const { watchWrites } = createClient(WriteService, stub.connect());
  await collect(watchWrites({}, { signal: AbortSignal.timeout(100) })).catch(() => {});
  await stub.site.open.until((open) => open === 0, AbortSignal.timeout(5_000));
  const labels = 'grpc_type="server_stream",grpc_service="opsdb.v1.WriteService",grpc_method="WatchWrites"';
  const canceled = async () => (await valuesOf(stub))(`grpc_server_handled_total{${labels},grpc_code="Canceled"}`);
  await expect.poll(canceled).toBe("1");
  expect((await valuesOf(stub))(`grpc_server_handling_seconds_count{${labels}}`)).toBe("1");
});

/** As Go's codes.Code prints them. */
const goCodes = [
  ...["OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists"],
  ...["PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented"],
  ...["Internal", "Unavailable", "DataLoss", "Unauthenticated"],
];

async function valuesOf(stub: StubServer): Promise<(series: string) => string | undefined> {
  const lines = (await stub.registry.metrics()).split("\n");
  return (series) => lines.find((line) => line.startsWith(`${series} `))?.slice(series.length + 1);
}
