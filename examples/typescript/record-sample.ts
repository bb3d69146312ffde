// Records a sample of the weather, reads it back before the main site has it, follows it there and back, asks for its
// outcome, and is refused a bad value.
//
// usage: node record-sample.ts HOST:PORT [STATION]

import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampDate, timestampNow } from "@bufbuild/protobuf/wkt";
import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/ts/google/rpc/error_details_pb.ts";
import { ComparisonOperator } from "../../gen/ts/opsdb/v1/query_pb.ts";
import { QueryService } from "../../gen/ts/opsdb/v1/query_service_pb.ts";
import { ReplicationService } from "../../gen/ts/opsdb/v1/replication_service_pb.ts";
import type { Value, ValueSchema } from "../../gen/ts/opsdb/v1/value_pb.ts";
import { WriteState, WriteStateSchema } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { WriteService } from "../../gen/ts/opsdb/v1/write_service_pb.ts";

const [address, station = "cerro"] = process.argv.slice(2);
if (!address) throw new Error("usage: node record-sample.ts HOST:PORT [STATION]");

const baseUrl = `http://${address}`;
const session = new Http2SessionManager(baseUrl);
const transport = createGrpcTransport({ baseUrl, sessionManager: session, defaultTimeoutMs: 30_000 });
const writes = createClient(WriteService, transport);
const queries = createClient(QueryService, transport);
const replication = createClient(ReplicationService, transport);

const text = (value: string): MessageInitShape<typeof ValueSchema> => ({ kind: { case: "stringValue", value } });

// The id is ours: after a lost answer the same request may be sent again, and stays one write.
const writeId = randomUUID();
await writes.write({
  writeId,
  mutations: [
    {
      table: "weather_samples",
      operation: {
        case: "insert",
        value: {
          values: {
            station: text(station),
            sampled_at: { kind: { case: "timestampValue", value: timestampNow() } },
            pwv_mm: { kind: { case: "doubleValue", value: 0.42 } },
          },
        },
      },
    },
  ],
});
console.log(`accepted ${writeId}`);

const where = {
  condition: {
    case: "comparison",
    value: { column: "station", operator: ComparisonOperator.EQUAL, value: text(station) },
  },
} as const;
const columns = ["station", "sampled_at", "pwv_mm"];
for await (const { part } of queries.query({ table: "weather_samples", columns, where })) {
  if (part.case !== "batch") continue;
  for (const row of part.value.rows) console.log(`read ${row.values.map(show).join(" ")}`);
}

for await (const { event } of replication.watchReplication({ writeId, untilDone: true })) {
  if (event.case === "write") console.log(`is ${stateName(event.value.state)}`);
}

const { status } = await writes.getWrite({ writeId });
console.log(`outcome ${stateName(status?.state ?? WriteState.UNSPECIFIED)}`);

try {
  const values = { station: text(station), sampled_at: text("yesterday-ish") };
  await writes.write({ mutations: [{ table: "weather_samples", operation: { case: "insert", value: { values } } }] });
} catch (error) {
  const refusal = ConnectError.from(error);
  const reason = refusal.findDetails(ErrorInfoSchema)[0]?.reason;
  const field = refusal.findDetails(BadRequestSchema)[0]?.fieldViolations[0]?.field;
  console.log(`refused ${reason} ${field}`);
}
session.abort();

function stateName(state: WriteState): string {
  return WriteStateSchema.value[state]?.localName ?? String(state);
}

function show({ kind }: Value): string {
  return kind.case === "timestampValue" ? timestampDate(kind.value).toISOString() : String(kind.value);
}
