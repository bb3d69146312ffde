import { createClient } from "@connectrpc/connect";
import { SpanKind, SpanStatusCode } from "@opentelemetry/api";
import { expect, test } from "vitest";
import { QueryService } from "../../gen/ts/opsdb/v1/query_service_pb.ts";
import { WriteService } from "../../gen/ts/opsdb/v1/write_service_pb.ts";
import { RecordedSpans } from "../../test/support/recorded-spans.ts";
import { header } from "../../test/support/site-stub.ts";
import { collect, StubServer } from "../../test/support/stub-server.ts";

const traceId = "0af7651916cd43dd8448eb211c80319c";
const callerId = "b7ad6b7169203331";
const headers = { traceparent: `00-${traceId}-${callerId}-01` };
const write = "opsdb.v1.WriteService/Write";

test("a call is a server span in its caller's trace", async () => {
  await using spans = new RecordedSpans();
  await using stub = await StubServer.open();
  await createClient(WriteService, stub.connect())
    .getWrite({ writeId: "x" }, { headers })
    .catch(() => {});
  const span = spans.named("opsdb.v1.WriteService/GetWrite");
  expect(span?.spanContext().traceId).toBe(traceId);
  expect(span?.parentSpanContext?.spanId).toBe(callerId);
  expect(span).toMatchObject({
    kind: SpanKind.SERVER,
    status: { code: SpanStatusCode.UNSET }, // it is the caller who is wrong
    attributes: {
      "rpc.system.name": "grpc",
      "rpc.method": "opsdb.v1.WriteService/GetWrite",
      "rpc.response.status_code": "INVALID_ARGUMENT",
    },
  });
});

test("without a caller's trace a call begins one, over Connect as well", async () => {
  await using spans = new RecordedSpans();
  await using stub = await StubServer.open();
  await stub.json(write, '{"mutations": [{"table": "files", "upsert": {"values": {"id": {"stringValue": "a"}}}}]}');
  expect(spans.named(write)?.parentSpanContext).toBeUndefined();
  expect(spans.named(write)?.attributes).toMatchObject({
    "rpc.system.name": "connectrpc",
    "rpc.response.status_code": "ok",
  });
});

test("what a stream does until its end, and what is logged meanwhile, is in the trace of the call", async () => {
  await using spans = new RecordedSpans();
  await using stub = await StubServer.open();
  stub.site.onQuery = async function* () {
    yield header;
    throw new Error("a bug");
  };
  const { query } = createClient(QueryService, stub.connect());
  await collect(query({ table: "files" }, { headers })).catch(() => {});
  const span = spans.named("opsdb.v1.QueryService/Query");
  expect(span).toMatchObject({
    status: { code: SpanStatusCode.ERROR },
    attributes: { "rpc.response.status_code": "INTERNAL", "error.type": "INTERNAL" },
  });
  const [line = "{}"] = stub.logged.filter((each) => each.includes("a call failed by a bug"));
  expect(JSON.parse(line)).toMatchObject({ trace_id: traceId, span_id: span?.spanContext().spanId });
});

test("a reader that goes away ends its span", async () => {
  await using spans = new RecordedSpans();
  await using stub = await StubServer.open();
  const reader = createClient(WriteService, stub.connect()).watchWrites({}, { signal: AbortSignal.timeout(100) });
  await collect(reader).catch(() => {});
  await stub.site.open.until((open) => open === 0, AbortSignal.timeout(5_000));
  await expect
    .poll(() => spans.named("opsdb.v1.WriteService/WatchWrites")?.attributes["rpc.response.status_code"])
    .toBe("CANCELLED");
});

test("without an SDK nothing is traced and no log line has a trace id", async () => {
  await using stub = await StubServer.open();
  stub.site.onQuery = () => {
    throw new Error("a bug");
  };
  await collect(createClient(QueryService, stub.connect()).query({ table: "files" }, { headers })).catch(() => {});
  const [line = ""] = stub.logged.filter((each) => each.includes("a call failed by a bug"));
  expect(line).not.toContain("trace_id");
});
