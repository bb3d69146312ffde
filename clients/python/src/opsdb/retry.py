"""When a call is tried again, and how long it may take in all."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Optional

import grpc

from opsdb.errors import OpsDbError


@dataclass(frozen=True)
class RetryPolicy:
    """How failed attempts are repeated. All times are seconds."""

    #: Wait after the first failure; doubled after each further one, less up to a half by chance.
    first_wait: float = 0.05
    longest_wait: float = 2.0
    #: How long one attempt may go without an answer before it is given up and repeated.
    attempt_timeout: float = 5.0


class Deadline:
    """The moment by which a call, with all its attempts, is over."""

    def __init__(self, seconds: Optional[float]) -> None:
        self._at = None if seconds is None else time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        return float("inf") if self._at is None else max(0.0, self._at - time.monotonic())

    def within(self, seconds: float) -> float:
        return min(seconds, self.remaining)


class Retrier:
    """Decides after each failure of one call. The failures, and the seconds for which they are borne, count from the
    last success."""

    def __init__(self, policy: RetryPolicy, patience: Optional[float] = None) -> None:
        self._policy = policy
        self._patience = patience
        self._failures = 0
        self._until = Deadline(None)
        self._disconnected: Optional[OpsDbError] = None

    @property
    def patience_left(self) -> float:
        """Seconds for which failures are still borne."""
        return self._until.remaining

    @property
    def waits_for_connection(self) -> bool:
        """Whether the next attempt waits until there is a connection, instead of failing while there is none.

        It does after a failure of the connection: old versions of gRPC move a connection on only while a call waits
        for it, so one that is begun between two pauses would never be made.
        """
        return self._disconnected is not None

    def succeeded(self) -> None:
        self._failures = 0
        self._disconnected = None

    def telling(self, error: OpsDbError) -> OpsDbError:
        """The error to raise: that no connection came in time says less than why there was none."""
        if self._disconnected is None or error.reason is not None or not may_pass(error):
            return error
        self._disconnected.attempts = error.attempts
        return self._disconnected

    def wait_after(self, error: OpsDbError, deadline: Deadline) -> Optional[float]:
        """Seconds until the next attempt; None where there is none, for it would not help or comes too late."""
        if self._failures == 0:
            self._until = Deadline(self._patience)
        self._failures += 1
        error.attempts = self._failures
        if error.reason is None and error.code is grpc.StatusCode.UNAVAILABLE:
            self._disconnected = error
        if not may_pass(error):
            return None
        wait = min(self._policy.longest_wait, self._policy.first_wait * 2 ** min(self._failures - 1, 30))
        wait *= 1 - random.random() / 2
        if error.retry_after is not None:
            # Not earlier than asked, and not all clients at the same moment.
            wait = error.retry_after + min(wait, error.retry_after / 4)
        return wait if wait < min(deadline.remaining, self._until.remaining) else None


def may_pass(error: OpsDbError) -> bool:
    """Whether the same request may succeed later.

    Without a reason of the service it is the connection that failed, or something on the way, in any of several codes.
    """
    if error.retry_after is not None or error.code is grpc.StatusCode.UNAVAILABLE:
        return True
    return error.reason is None and error.code in _of_the_connection


def may_have_arrived(error: OpsDbError) -> bool:
    """Whether the request may have been carried out although it failed."""
    if error.reason is not None:
        # The service says so by naming the write.
        return "write_id" in error.metadata or error.reason == "SHUTTING_DOWN"
    return error.code in _of_the_connection


_of_the_connection = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.CANCELLED,
    }
)
