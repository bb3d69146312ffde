"""What a client does, written down once for synchronous and asyncio use.

A call is a generator of steps: it yields what is to be done next and is sent the answer, or has an OpsDbError thrown
in. `OpsDb` and `AsyncOpsDb` carry the steps out, each in its way; what is decided in between stands here alone.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Generator, Optional, TypeVar, Union

from opsdb.errors import OpsDbError
from opsdb.retry import Deadline, Retrier, RetryPolicy, may_pass

_log = logging.getLogger("opsdb")

T = TypeVar("T")


@dataclass(frozen=True)
class Method:
    """A call of the service by its stub."""

    service: str
    name: str


@dataclass(frozen=True)
class Call:
    """One unary call. Answered with the response."""

    method: Method
    request: Any
    timeout: float
    wait_for_ready: bool = False


@dataclass(frozen=True)
class Open:
    """Begins a stream, in place of the one before."""

    method: Method
    request: Any
    timeout: Optional[float]


@dataclass(frozen=True)
class Receive:
    """Answered with the stream's next message, or None at its end."""


@dataclass(frozen=True)
class Pause:
    """A wait before the next attempt."""

    seconds: float


@dataclass(frozen=True)
class Emit:
    """Something for the caller of a stream."""

    item: Any


_PROBE = Method("Health", "Check")

Step = Union[Call, Open, Receive, Pause, Emit]
Steps = Generator[Step, Any, T]


def pause_after(error: OpsDbError, retrier: Retrier, deadline: Deadline, what: str) -> Steps[Optional[OpsDbError]]:
    """Waits until the next attempt; where there is to be none, answers at once with the error to raise."""
    wait = retrier.wait_after(error, deadline)
    if wait is None:
        return retrier.telling(error)
    _log.warning("%s failed and is tried again in %.2f s: %s", what, wait, error)
    yield Pause(wait)
    return None


def connected(retrier: Retrier, policy: RetryPolicy, deadline: Deadline) -> Steps[None]:
    """Waits for a connection before a stream is opened again: a stream has no time of its own in which to wait."""
    if not retrier.waits_for_connection:
        return
    timeout = deadline.within(min(policy.attempt_timeout, retrier.patience_left))
    try:
        yield Call(_PROBE, b"", timeout, wait_for_ready=True)
    except OpsDbError as error:
        # Any other answer comes from a server as well.
        if error.reason is None and may_pass(error):
            raise


def call(method: Method, request: Any, policy: RetryPolicy, deadline: Deadline) -> Steps[Any]:
    """A unary call that may be repeated without harm, until the deadline."""
    retrier = Retrier(policy)
    while True:
        try:
            timeout = deadline.within(policy.attempt_timeout)
            return (yield Call(method, request, timeout, retrier.waits_for_connection))
        except OpsDbError as error:
            failure = yield from pause_after(error, retrier, deadline, method.name)
            if failure is not None:
                raise failure
