"""Records a sample of the weather, reads it back before the main site has it, follows it there and back, asks for its
outcome, and is refused a bad value.

usage: python record_sample.py HOST:PORT [STATION]
"""

import os
import sys
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "gen", "python"))

import grpc
from opsdb.v1 import query_pb2, query_service_pb2_grpc, replication_pb2, replication_service_pb2_grpc
from opsdb.v1 import write_pb2, write_service_pb2_grpc


def main(address: str, station: str = "cerro") -> None:
    with grpc.insecure_channel(address) as channel:
        writes = write_service_pb2_grpc.WriteServiceStub(channel)

        # The id is ours: after a lost answer the same request may be sent again, and stays one write.
        request = write_pb2.WriteRequest(write_id=str(uuid.uuid4()))
        values = request.mutations.add(table="weather_samples").insert.values
        values["station"].string_value = station
        values["sampled_at"].timestamp_value.GetCurrentTime()
        values["sampled_at"].timestamp_value.nanos //= 1000
        values["sampled_at"].timestamp_value.nanos *= 1000  # PostgreSQL keeps microseconds
        values["pwv_mm"].double_value = 0.42
        writes.Write(request, timeout=30)
        print("accepted", request.write_id)

        query = query_pb2.QueryRequest(table="weather_samples", columns=["station", "sampled_at", "pwv_mm"])
        query.where.comparison.column = "station"
        query.where.comparison.operator = query_pb2.COMPARISON_OPERATOR_EQUAL
        query.where.comparison.value.string_value = station
        for part in query_service_pb2_grpc.QueryServiceStub(channel).Query(query, timeout=30):
            for row in part.batch.rows:
                name, at, pwv = row.values
                print("read", name.string_value, at.timestamp_value.ToJsonString(), pwv.double_value)

        watch = replication_pb2.WatchReplicationRequest(write_id=request.write_id, until_done=True)
        for event in replication_service_pb2_grpc.ReplicationServiceStub(channel).WatchReplication(watch, timeout=30):
            if event.HasField("write"):
                print("is", state_name(event.write.state))

        outcome = writes.GetWrite(write_pb2.GetWriteRequest(write_id=request.write_id), timeout=30)
        print("outcome", state_name(outcome.status.state))

        bad = write_pb2.WriteRequest()
        values = bad.mutations.add(table="weather_samples").insert.values
        values["station"].string_value = station
        values["sampled_at"].string_value = "yesterday-ish"
        try:
            writes.Write(bad, timeout=30)
        except grpc.RpcError as error:
            print("refused", error.code().name, error.details())


def state_name(state: int) -> str:
    return write_pb2.WriteState.Name(state).removeprefix("WRITE_STATE_")


if __name__ == "__main__":
    main(*sys.argv[1:])
