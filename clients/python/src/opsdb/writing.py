"""Writes: one id for all attempts, so that a write is stored once however often it is sent."""

from __future__ import annotations

import uuid
from typing import Any, Mapping, Optional, Sequence, Union

from opsdb.catalog import Catalog
from opsdb.errors import OpsDbError
from opsdb.mutations import Mutation, to_mutation
from opsdb.results import WriteResult, WriteStatus, rejected, row_values, write_status
from opsdb.retry import Deadline, Retrier, RetryPolicy, may_have_arrived, may_pass
from opsdb.steps import Call, Method, Pause, Steps, call, pause_after
from opsdb.v1 import write_pb2
from opsdb.write_id import to_write_id

_WRITE = Method("WriteService", "Write")
_GET_WRITE = Method("WriteService", "GetWrite")

#: Longest wait within one attempt: whoever waits longer asks again, and so notices a dead connection.
_WAIT_STEP = 10.0
#: Between a wait that the service ended early and the next.
_WAIT_PAUSE = 0.2


def write(
    catalog: Catalog,
    policy: RetryPolicy,
    mutations: Sequence[Mutation],
    *,
    write_id: Union[uuid.UUID, str, None],
    mode: str,
    wait_for: str,
    timeout: float,
) -> Steps[WriteResult]:
    if not mutations:
        raise ValueError("a write has at least one mutation")
    wait_for_state = _enum(write_pb2.WriteState, "WRITE_STATE_", wait_for, ("accepted", "applied", "replicated"))
    request = write_pb2.WriteRequest(
        write_id=to_write_id(write_id),
        mode=_enum(write_pb2.WriteMode, "WRITE_MODE_", mode, ("critical", "direct")),
        wait_for=wait_for_state,
    )
    waits = wait_for != "accepted"
    deadline = Deadline(timeout)
    retrier = Retrier(policy)
    tables = [mutation.table for mutation in mutations]
    may_be_stale = catalog.knows(tables)
    outcome_unknown = False
    attempts = 0
    first: Optional[write_pb2.WriteResponse] = None
    try:
        types = yield from _fill(request, mutations, catalog, deadline)
    except OpsDbError as error:
        error.write_id = request.write_id
        raise
    while True:
        seconds = policy.attempt_timeout
        if waits:
            step = deadline.within(_WAIT_STEP)
            request.wait_timeout.FromMilliseconds(int(step * 1000))
            seconds += step
        attempts += 1
        try:
            answer = yield Call(_WRITE, request, deadline.within(seconds), retrier.waits_for_connection)
        except OpsDbError as error:
            if error.reason == "INVALID_VALUE" and may_be_stale:
                # The column's type may have changed since it was asked for, and with it how its values are sent.
                may_be_stale = False
                catalog.forget(tables)
                before = list(request.mutations)
                types = yield from _fill(request, mutations, catalog, deadline)
                if list(request.mutations) != before:
                    continue
            outcome_unknown = outcome_unknown or may_have_arrived(error)
            failure = yield from pause_after(error, retrier, deadline, f"write {request.write_id}")
            if failure is None:
                continue
            if first is not None and may_pass(error):
                return _result(first, write_status(first.status), types, tables, attempts)
            failure.write_id = request.write_id
            failure.outcome_unknown = outcome_unknown and first is None
            failure.attempts = attempts
            raise failure
        retrier.succeeded()
        first = first or answer
        status = write_status(answer.status)
        if status.state == "REJECTED":
            raise rejected(status)
        if answer.wait_timed_out and deadline.remaining > 2 * _WAIT_PAUSE:
            yield Pause(_WAIT_PAUSE)
            continue
        first.wait_timed_out = answer.wait_timed_out
        return _result(first, status, types, tables, attempts)


def get_write(policy: RetryPolicy, write_id: Union[uuid.UUID, str], timeout: float) -> Steps[WriteStatus]:
    request = write_pb2.GetWriteRequest(write_id=to_write_id(write_id))
    answer = yield from call(_GET_WRITE, request, policy, Deadline(timeout))
    return write_status(answer.status)


def _fill(
    request: write_pb2.WriteRequest, mutations: Sequence[Mutation], catalog: Catalog, deadline: Deadline
) -> Steps[dict[str, Mapping[str, str]]]:
    types = yield from catalog.types((mutation.table for mutation in mutations), deadline)
    del request.mutations[:]
    for index, mutation in enumerate(mutations):
        request.mutations.append(to_mutation(mutation, types[mutation.table], f"mutations[{index}]"))
    return types


def _result(
    first: write_pb2.WriteResponse,
    status: WriteStatus,
    types: Mapping[str, Mapping[str, str]],
    tables: Sequence[str],
    attempts: int,
) -> WriteResult:
    """The rows are those of the first answer: a later one may know less of them."""
    return WriteResult(
        status=status,
        rows=[row_values(row, types[table]) for table, row in zip(tables, first.rows)],
        token=first.token,
        wait_timed_out=first.wait_timed_out,
        duplicate=first.duplicate,
        attempts=attempts,
    )


def _enum(enum: Any, prefix: str, name: str, names: Sequence[str]) -> Any:
    if name not in names:
        raise ValueError(f"{name!r} is not one of {', '.join(names)}")
    return enum.Value(prefix + name.upper())
