import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type * as pb from "../../gen/ts/opsdb/v1/query_pb.ts";
import { Consistency } from "../../gen/ts/opsdb/v1/query_pb.ts";
import type { QueryService } from "../../gen/ts/opsdb/v1/query_service_pb.ts";
import { formatLsn } from "../lsn.ts";
import type { QueryHeader, ResultColumn } from "../query/table-query.ts";
import type { Site } from "../site/site.ts";
import { waitBudgetMs } from "./deadline.ts";
import { decodeQuery, decodeReuse } from "./query-request.ts";
import { messageRowEncoder, type RowEncoder } from "./row-encoder.ts";
import { decodeSqlQuery } from "./sql-request.ts";
import { wireRowEncoder } from "./wire-row-encoder.ts";
import { toDuration } from "./wire-time.ts";

/** Longest run of a query without a deadline: an hour, so that a forgotten reader does not hold a snapshot for ever. */
const defaultTimeoutMs = 3_600_000;

export function queryService(site: Site): ServiceImpl<typeof QueryService> {
  return {
    async *query(request: pb.QueryRequest, context: HandlerContext): AsyncGenerator<pb.QueryResponse> {
      const query = request.sql === "" ? decodeQuery(request) : decodeSqlQuery(request);
      const timeoutMs = waitBudgetMs(context.timeoutMs(), defaultTimeoutMs);
      let encodeRows: RowEncoder | undefined;
      let complete = false;
      const reuse = decodeReuse(request);
      for await (const part of site.query(query, { timeoutMs, signal: context.signal, reuse })) {
        switch (part.kind) {
          case "header":
            encodeRows = rowEncoderFor(context)(part.header);
            yield response({ case: "header", value: encodeHeader(part.header) });
            break;
          case "batch":
            if (encodeRows === undefined) throw new Error("a batch came before the header");
            if (part.rows.length > 0) yield encodeRows(part.rows, part.resumePoint);
            break;
          case "trailer":
            complete = true;
            yield response({
              case: "trailer",
              value: { $typeName: "opsdb.v1.QueryTrailer", rowCount: BigInt(part.rowCount) },
            });
        }
      }
      if (!complete) throw new Error("the result ended without its trailer");
    },
  };
}

/** Rows are most of a result, so they are written as bytes where the answer is binary. */
function rowEncoderFor(context: HandlerContext): typeof messageRowEncoder {
  return context.requestHeader.get("content-type")?.includes("json") ? messageRowEncoder : wireRowEncoder;
}

function response(part: pb.QueryResponse["part"]): pb.QueryResponse {
  return { $typeName: "opsdb.v1.QueryResponse", part };
}

function encodeHeader(header: QueryHeader): pb.QueryHeader {
  return {
    $typeName: "opsdb.v1.QueryHeader",
    columns: header.columns.map(encodeColumn),
    consistency: consistencies[header.consistency],
    lsn: formatLsn(header.lsn),
    timeline: header.timeline,
    pendingWrites: BigInt(header.pendingWrites),
    token: header.token,
    ...(header.replicaAgeMs !== undefined && { replicaAge: toDuration(header.replicaAgeMs) }),
    bufferUnreachable: header.bufferUnreachable,
    related: header.related.map(({ table, columns }) => ({
      $typeName: "opsdb.v1.RelatedHeader",
      table,
      columns: columns.map(encodeColumn),
    })),
    ...(header.ageMs !== undefined && { age: toDuration(header.ageMs) }),
  };
}

function encodeColumn({ name, type }: ResultColumn): pb.Column {
  return { $typeName: "opsdb.v1.Column", name, type };
}

const consistencies: Record<QueryHeader["consistency"], Consistency> = {
  merged: Consistency.MERGED,
  local: Consistency.LOCAL,
  main: Consistency.MAIN,
};
