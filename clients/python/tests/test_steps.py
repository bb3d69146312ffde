"""What the client decides between attempts, step by step: nothing is sent and nobody waits."""

from __future__ import annotations

import uuid

import grpc
import pytest
from opsdb import DeadlineExceeded, FailedPrecondition, InvalidRequest, ResourceExhausted, RetryPolicy, Unavailable
from opsdb import WriteRejected, insert, new_write_id
from opsdb.catalog import Catalog
from opsdb.errors import error_of
from opsdb.reading import ReadOptions, TableQuery, query
from opsdb.status_details import StatusDetails
from opsdb.steps import Call, Emit, Open, Pause, Receive
from opsdb.v1 import catalog_service_pb2, query_pb2, replication_pb2, write_pb2
from opsdb.v1.value_pb2 import Value
from opsdb.watching import watch_replication, watch_writes
from opsdb.writing import write

code = grpc.StatusCode
policy = RetryPolicy()
cut = error_of(code.UNAVAILABLE, "connection reset")


def error(of, reason=None, retry_after=None, metadata={}):
    return error_of(of, "message", StatusDetails(reason=reason, retry_after=retry_after, metadata=metadata))


class Script:
    """Answers the steps of one call, in order: an error is thrown in, everything else is sent."""

    def __init__(self, steps, *answers):
        self.calls = []
        self.pauses = []
        self.emitted = []
        self.opened = []
        self.probes = 0
        self.ready = []
        self.result = None
        answers = list(answers)
        answer, failure = None, None
        while True:
            try:
                step = steps.send(answer) if failure is None else steps.throw(failure)
            except StopIteration as end:
                self.result = end.value
                assert answers == []
                return
            answer, failure = None, None
            if isinstance(step, Pause):
                self.pauses.append(step.seconds)
            elif isinstance(step, Emit):
                self.emitted.append(step.item)
            elif isinstance(step, Open):
                self.opened.append(type(step.request).FromString(step.request.SerializeToString()))
            elif isinstance(step, Call) and step.method.name == "Check":
                self.probes += 1
            elif isinstance(step, Call) and step.method.name == "DescribeTable":
                answer = described("timestamp with time zone")
            else:
                if isinstance(step, Call):
                    self.ready.append(step.wait_for_ready)
                    self.calls.append((type(step.request).FromString(step.request.SerializeToString()), step.timeout))
                else:
                    assert isinstance(step, Receive)
                if not answers:
                    steps.close()
                    return
                answer = answers.pop(0)
                if isinstance(answer, Exception):
                    answer, failure = None, answer


def described(column_type, column="at"):
    table = catalog_service_pb2.Table(name="t", columns=[dict(name=column, type=column_type)])
    return catalog_service_pb2.DescribeTableResponse(table=table)


def acknowledged(state="ACCEPTED", **more):
    status = write_pb2.WriteStatus(write_id="w", state=f"WRITE_STATE_{state}", site="ccat", position="1-0")
    return write_pb2.WriteResponse(status=status, **more)


def written(*answers, values={"a": 1}, wait_for="accepted", timeout=30.0, write_id=None, catalog=None):
    steps = write(
        catalog or Catalog(policy),
        policy,
        [insert("t", values)],
        write_id=write_id,
        mode="critical",
        wait_for=wait_for,
        timeout=timeout,
    )
    return Script(steps, *answers)


def test_a_write_is_sent_again_with_the_same_id_and_content_until_it_is_acknowledged():
    failures = [cut, error(code.DEADLINE_EXCEEDED), error(code.INTERNAL), error(code.UNKNOWN), error(code.CANCELLED)]
    script = written(*failures, error(code.UNAVAILABLE, "BUFFER_UNAVAILABLE"), acknowledged(duplicate=True))
    requests = [request for request, _ in script.calls]
    assert len(requests) == 7 and all(request == requests[0] for request in requests)
    assert uuid.UUID(requests[0].write_id).version == 7
    assert (script.result.state, script.result.duplicate, script.result.attempts) == ("ACCEPTED", True, 7)


def test_after_a_lost_connection_an_attempt_waits_for_the_next_one():
    # Old versions of gRPC move a connection on only while a call waits for it.
    script = written(
        error(code.UNAVAILABLE, "BUFFER_UNAVAILABLE"), cut, cut, error(code.DEADLINE_EXCEEDED), acknowledged()
    )
    assert script.ready == [False, False, True, True, True]
    assert read(cut, header("n"), trailer(0)).probes == 1
    assert read(error(code.UNAVAILABLE, "LOCAL_UNAVAILABLE"), header("n"), trailer(0)).probes == 0


def test_the_error_after_the_deadline_says_why_there_was_no_connection():
    with pytest.raises(Unavailable, match="connection reset"):
        written(cut, error(code.DEADLINE_EXCEEDED, retry_after=60.0))


def test_waits_grow_up_to_the_longest_and_vary():
    pauses = written(*[cut] * 9, acknowledged(), timeout=1e6).pauses
    for failures, pause in enumerate(pauses):
        full = min(policy.longest_wait, policy.first_wait * 2**failures)
        assert full / 2 <= pause <= full
    assert len(set(pauses)) == len(pauses)


def test_an_attempt_has_a_time_of_its_own_within_the_deadline():
    assert written(acknowledged(), timeout=100).calls[0][1] == policy.attempt_timeout
    assert written(acknowledged(), timeout=2).calls[0][1] <= 2


def test_a_delay_that_the_service_asks_for_is_kept():
    full = error(code.RESOURCE_EXHAUSTED, "BUFFER_FULL", retry_after=3.0)
    script = written(full, acknowledged())
    assert len(script.pauses) == 1 and 3.0 <= script.pauses[0] <= 3.75
    with pytest.raises(ResourceExhausted) as late:
        written(error(code.RESOURCE_EXHAUSTED, "BUFFER_FULL", retry_after=60.0))
    assert late.value.retry_after == 60.0 and not late.value.outcome_unknown


@pytest.mark.parametrize(
    ("refusal", "class_"),
    [
        (error(code.INVALID_ARGUMENT, "CHECK_VIOLATION"), InvalidRequest),
        (error(code.FAILED_PRECONDITION, "PRECONDITION_FAILED"), FailedPrecondition),
        (error(code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE"), ResourceExhausted),
        (error(code.DEADLINE_EXCEEDED, "NOT_FRESH_IN_TIME"), DeadlineExceeded),
    ],
)
def test_what_cannot_pass_is_not_tried_again(refusal, class_):
    with pytest.raises(class_) as raised:
        written(refusal)
    assert (raised.value.attempts, raised.value.outcome_unknown) == (1, False)


def test_the_error_after_the_deadline_says_that_the_write_may_have_been_stored_and_under_which_id():
    chosen = new_write_id()
    with pytest.raises(Unavailable) as raised:
        written(cut, write_id=chosen, timeout=0.001)
    assert (raised.value.write_id, raised.value.outcome_unknown) == (str(chosen), True)
    with pytest.raises(Unavailable) as raised:
        written(error(code.UNAVAILABLE, "BUFFER_UNAVAILABLE", metadata={"write_id": str(chosen)}), timeout=0.001)
    assert raised.value.outcome_unknown
    with pytest.raises(Unavailable) as raised:
        written(error(code.UNAVAILABLE, "BUFFER_NOT_DURABLE"), timeout=0.001)
    assert not raised.value.outcome_unknown


def test_a_lost_answer_stays_unknown_when_a_later_attempt_is_refused():
    with pytest.raises(ResourceExhausted) as raised:
        written(cut, error(code.RESOURCE_EXHAUSTED, "BUFFER_FULL", retry_after=60.0))
    assert raised.value.outcome_unknown


def test_a_wait_goes_on_after_an_attempt_and_keeps_the_first_rows():
    rows = [write_pb2.ColumnValues(values={"at": Value(string_value="first")})]
    first = acknowledged(rows=rows, token=b"t", wait_timed_out=True)
    script = written(
        first, cut, acknowledged("APPLIED", wait_timed_out=True), acknowledged("REPLICATED"), wait_for="replicated"
    )
    assert script.result.state == "REPLICATED" and not script.result.wait_timed_out
    assert (script.result.row, script.result.token) == ({"at": "first"}, b"t")
    assert all(request.wait_for == write_pb2.WRITE_STATE_REPLICATED for request, _ in script.calls)


def test_a_wait_that_runs_out_is_no_error():
    script = written(acknowledged(wait_timed_out=True), timeout=0.1, wait_for="applied")
    assert (script.result.state, script.result.wait_timed_out) == ("ACCEPTED", True)
    script = written(acknowledged(wait_timed_out=True), error(code.UNAVAILABLE, retry_after=60.0), wait_for="applied")
    assert (script.result.state, script.result.wait_timed_out) == ("ACCEPTED", True)


def test_a_write_that_main_refused_is_an_error_with_its_reason():
    answer = acknowledged("REJECTED")
    answer.status.rejection.CopyFrom(
        write_pb2.Rejection(reason="UNIQUE_VIOLATION", message="taken", sqlstate="23505", mutation=0)
    )
    with pytest.raises(WriteRejected, match="UNIQUE_VIOLATION: taken") as raised:
        written(answer, wait_for="applied")
    assert (raised.value.sqlstate, raised.value.mutation, raised.value.write_id) == ("23505", 0, "w")


def test_a_column_whose_type_has_changed_is_looked_up_again():
    catalog = Catalog(policy)
    catalog._types["t"] = {"list": "jsonb"}
    steps = write(
        catalog, policy, [insert("t", {"list": [1]})], write_id=None, mode="critical", wait_for="accepted", timeout=9
    )
    first = steps.send(None)
    assert first.request.mutations[0].insert.values["list"].json_value == "[1]"
    asked = steps.throw(error(code.INVALID_ARGUMENT, "INVALID_VALUE"))
    assert asked.method.name == "DescribeTable"
    again = steps.send(described("integer[]", "list"))
    assert again.request.mutations[0].insert.values["list"].array_value.values[0].int64_value == 1
    with pytest.raises(InvalidRequest):
        steps.throw(error(code.INVALID_ARGUMENT, "INVALID_VALUE"))


def header(*columns):
    return query_pb2.QueryResponse(header=dict(columns=[dict(name=name, type="bigint") for name in columns]))


def batch(*numbers, resume=b""):
    rows = [dict(values=[dict(int64_value=number)]) for number in numbers]
    return query_pb2.QueryResponse(batch=dict(rows=rows, resume_point=resume))


def trailer(count):
    return query_pb2.QueryResponse(trailer=dict(row_count=count))


def read(*answers, order_by="n", patience=30.0):
    steps = query(Catalog(policy), policy, TableQuery("t", order_by=order_by), ReadOptions(), patience)
    script = Script(steps, *answers)
    script.rows = [row["n"] for part in script.emitted if isinstance(part, list) for row in part]
    return script


def test_an_ordered_result_goes_on_after_the_last_row_that_arrived():
    script = read(
        cut,
        header("n"),
        cut,
        header("n"),
        batch(1, 2, resume=b"2"),
        cut,
        header("n"),
        batch(3, resume=b"3"),
        trailer(1),
    )
    assert script.rows == [1, 2, 3]
    assert [request.resume_after for request in script.opened] == [b"", b"", b"", b"2"]


def test_a_result_without_order_begins_again_only_as_long_as_no_row_was_given():
    assert read(header("n"), cut, header("n"), batch(1), trailer(1), order_by=()).rows == [1]
    with pytest.raises(Unavailable):
        read(header("n"), batch(1), cut, order_by=())


@pytest.mark.parametrize("end", [None, trailer(2)])
def test_a_result_without_its_end_is_interrupted(end):
    script = read(header("n"), batch(1, resume=b"1"), end, header("n"), batch(2, resume=b"2"), trailer(1))
    assert script.rows == [1, 2]
    with pytest.raises(Unavailable, match="incomplete"):
        read(header("n"), batch(1), end, order_by=())


def test_a_result_whose_columns_change_on_the_way_is_an_error():
    with pytest.raises(Exception, match="columns have changed"):
        read(header("n"), batch(1, resume=b"1"), cut, header("m"))


def test_a_result_is_given_up_when_nothing_came_for_too_long():
    with pytest.raises(Unavailable) as raised:
        read(header("n"), cut, patience=0.001)
    assert raised.value.attempts == 1


def told(position, state="REPLICATED"):
    status = write_pb2.WriteStatus(write_id="w", state=f"WRITE_STATE_{state}", position=position)
    return write_pb2.WatchWritesResponse(write=status)


def status_event(last_position):
    status = replication_pb2.ReplicationStatus(site="ccat", buffer=dict(last_position=last_position))
    return replication_pb2.WatchReplicationResponse(status=status)


def test_a_watch_of_writes_leaves_none_out_and_tells_none_twice():
    steps = watch_writes(policy, report="replicated", after_position=None, rejected_only=False, patience=30.0)
    script = Script(steps, status_event("7-0"), cut, told("8-0"), told("9-0"), None, told("10-0"))
    assert [status.position for status in script.emitted] == ["8-0", "9-0", "10-0"]
    assert [request.after_position for request in script.opened[1:]] == ["7-0", "7-0", "9-0"]


def test_a_watch_of_an_empty_buffer_begins_before_its_first_write():
    steps = watch_writes(policy, report="applied", after_position=None, rejected_only=False, patience=30.0)
    assert [request.after_position for request in Script(steps, status_event("")).opened[1:]] == ["0-0"]


def test_a_watch_of_replication_goes_on_by_itself_and_tells_each_state_once():
    def event(state):
        return replication_pb2.WatchReplicationResponse(write=dict(write_id="w", state=f"WRITE_STATE_{state}"))

    steps = watch_replication(policy, write_id=new_write_id(), lsn=None, until_done=True, heartbeat=0.5, patience=30.0)
    script = Script(steps, event("ACCEPTED"), cut, event("ACCEPTED"), event("APPLIED"), event("REPLICATED"), None)
    assert [each.write.state for each in script.emitted] == ["ACCEPTED", "APPLIED", "REPLICATED"]
    assert len(script.opened) == 2


def test_a_watch_is_given_up_when_it_cannot_be_opened_for_too_long():
    steps = watch_replication(policy, write_id=None, lsn=None, until_done=False, heartbeat=None, patience=0.001)
    with pytest.raises(Unavailable):
        Script(steps, status_event(""), cut)


def test_bad_words_are_refused_before_anything_is_sent():
    with pytest.raises(ValueError, match="accepted, applied, replicated"):
        written(wait_for="sometime")
    with pytest.raises(ValueError, match="at least one mutation"):
        Script(write(Catalog(policy), policy, [], write_id=None, mode="critical", wait_for="accepted", timeout=1))
    with pytest.raises(ValueError):
        written(write_id="not a uuid")
