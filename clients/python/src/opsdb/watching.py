"""Watches: streams that go on by themselves after an interruption, without leaving a write out."""

from __future__ import annotations

import uuid
from typing import Any, Optional, Union

import grpc

from opsdb.errors import OpsDbError, error_of
from opsdb.results import ReplicationEvent, instant, write_status
from opsdb.retry import Deadline, Retrier, RetryPolicy
from opsdb.steps import Emit, Method, Open, Receive, Steps, connected, pause_after
from opsdb.v1 import replication_pb2, write_pb2
from opsdb.write_id import to_write_id

_WATCH_REPLICATION = Method("ReplicationService", "WatchReplication")
_WATCH_WRITES = Method("WriteService", "WatchWrites")


def watch_replication(
    policy: RetryPolicy,
    *,
    write_id: Union[uuid.UUID, str, None],
    lsn: Optional[str],
    until_done: bool,
    heartbeat: Optional[float],
    patience: float,
) -> Steps[None]:
    request = replication_pb2.WatchReplicationRequest(lsn=lsn or "", until_done=until_done)
    if write_id is not None:
        request.write_id = to_write_id(write_id)
    _set_heartbeat(request, heartbeat)
    told_state: Optional[str] = None
    told_lsn = False
    messages = _messages(_WATCH_REPLICATION, request, policy, patience, ends=until_done)
    while True:
        message = yield from messages.next()
        if message is None:
            return
        event = message.WhichOneof("event")
        if event == "status":
            yield Emit(ReplicationEvent(status=message.status))
        elif event == "write":
            status = write_status(message.write)
            # After an interruption the state comes again.
            if status.state != told_state:
                told_state = status.state
                yield Emit(ReplicationEvent(write=status))
        elif event == "lsn_replayed" and not told_lsn:
            told_lsn = True
            yield Emit(ReplicationEvent(lsn_replayed=message.lsn_replayed))
        elif event == "heartbeat":
            yield Emit(ReplicationEvent(heartbeat=instant(message.heartbeat)))


def watch_writes(
    policy: RetryPolicy,
    *,
    report: str,
    after_position: Optional[str],
    rejected_only: bool,
    patience: float,
) -> Steps[None]:
    if report not in ("applied", "replicated"):
        raise ValueError(f"{report!r} is not one of applied, replicated")
    request = write_pb2.WatchWritesRequest(
        report=write_pb2.WriteState.Value(f"WRITE_STATE_{report.upper()}"), rejected_only=rejected_only
    )
    # With a position from the start, an interruption before the first write leaves none out.
    request.after_position = after_position or (yield from _last_position(policy, patience))
    messages = _messages(_WATCH_WRITES, request, policy, patience, ends=False)
    while True:
        message = yield from messages.next()
        if message.WhichOneof("event") == "write":
            request.after_position = message.write.position
            yield Emit(write_status(message.write))


def _last_position(policy: RetryPolicy, patience: float) -> Steps[str]:
    request = replication_pb2.WatchReplicationRequest()
    messages = _messages(_WATCH_REPLICATION, request, policy, patience, ends=False)
    while True:
        message = yield from messages.next()
        if message.WhichOneof("event") == "status":
            # A main site has no buffer, and WatchWrites says so.
            return message.status.buffer.last_position or "0-0"


class _messages:
    """The messages of a stream that is opened again, as the request then is, after each interruption."""

    def __init__(self, method: Method, request: Any, policy: RetryPolicy, patience: float, *, ends: bool) -> None:
        self._method = method
        self._request = request
        self._policy = policy
        self._retrier = Retrier(policy, patience)
        self._ends = ends
        self._is_open = False

    def next(self) -> Steps[Any]:
        """The next message, or None at the end of a stream that may end."""
        while True:
            try:
                if not self._is_open:
                    yield from connected(self._retrier, self._policy, Deadline(None))
                    yield Open(self._method, self._request, None)
                    self._is_open = True
                message = yield Receive()
                if message is None and not self._ends:
                    raise error_of(grpc.StatusCode.UNAVAILABLE, "the watch ended by itself")
                self._retrier.succeeded()
                return message
            except OpsDbError as error:
                self._is_open = False
                failure = yield from pause_after(error, self._retrier, Deadline(None), self._method.name)
                if failure is not None:
                    raise failure


def _set_heartbeat(request: Any, seconds: Optional[float]) -> None:
    if seconds is not None:
        request.heartbeat.FromMilliseconds(int(seconds * 1000))
