"""A client of the generated Python stubs: writes, reads merged, follows the write home, and tells as JSON what it saw."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "gen", "python"))

import grpc
from opsdb.v1 import (
    catalog_service_pb2,
    catalog_service_pb2_grpc,
    query_pb2,
    query_service_pb2_grpc,
    replication_pb2,
    replication_service_pb2_grpc,
    write_pb2,
    write_service_pb2_grpc,
)


def main(address: str, station: str) -> None:
    with grpc.insecure_channel(address) as channel:
        writes = write_service_pb2_grpc.WriteServiceStub(channel)
        queries = query_service_pb2_grpc.QueryServiceStub(channel)
        replication = replication_service_pb2_grpc.ReplicationServiceStub(channel)
        catalog = catalog_service_pb2_grpc.CatalogServiceStub(channel)

        tables = catalog.ListTables(catalog_service_pb2.ListTablesRequest(), timeout=10).tables

        request = write_pb2.WriteRequest()
        values = request.mutations.add(table="weather_samples").insert.values
        values["station"].string_value = station
        values["sampled_at"].timestamp_value.FromJsonString("2026-11-20T04:30:00.123456Z")
        values["temperature_c"].numeric_value = "-7.25"
        values["pwv_mm"].double_value = 0.5
        written = writes.Write(request, timeout=10)

        query = query_pb2.QueryRequest(table="weather_samples", token=written.token)
        query.where.comparison.column = "station"
        query.where.comparison.operator = query_pb2.COMPARISON_OPERATOR_EQUAL
        query.where.comparison.value.string_value = station
        parts = list(queries.Query(query, timeout=10))
        rows = [row for part in parts for row in part.batch.rows]
        columns = [column.name for column in parts[0].header.columns]
        row = dict(zip(columns, rows[0].values))

        watch = replication_pb2.WatchReplicationRequest(write_id=written.status.write_id, until_done=True)
        states = [
            write_pb2.WriteState.Name(event.write.state)
            for event in replication.WatchReplication(watch, timeout=20)
            if event.WhichOneof("event") == "write"
        ]

        request.mutations[0].table = "planets"
        try:
            writes.Write(request, timeout=10)
            refused = "nothing"
        except grpc.RpcError as error:
            refused = error.code().name

        print(
            json.dumps(
                {
                    "tables": [table.name for table in tables],
                    "accepted": write_pb2.WriteState.Name(written.status.state),
                    "rows": len(rows),
                    "sampled_at": row["sampled_at"].timestamp_value.ToJsonString(),
                    "temperature_c": row["temperature_c"].numeric_value,
                    "humidity_is_null": row["relative_humidity"].WhichOneof("kind") == "null_value",
                    "last_state": states[-1],
                    "refused": refused,
                }
            )
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
