"""Errors of the service and of the way to it, as exceptions."""

from __future__ import annotations

from typing import Any, Mapping, Optional

import grpc

from opsdb.status_details import StatusDetails, parse_status_details


class OpsDbError(Exception):
    """A call failed. Its subclasses follow the gRPC codes; `reason` is the name to act upon.

    The reasons are those of opsdb.v1.ErrorReason, without the prefix. An error of the connection, which the service
    never saw, has none.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode,
        details: Optional[StatusDetails] = None,
    ) -> None:
        super().__init__(message)
        details = details or StatusDetails()
        self.message = message
        self.code = code
        self.reason: Optional[str] = details.reason
        #: More about the reason, by names that its description gives.
        self.metadata: Mapping[str, str] = details.metadata
        #: Each field of the request at fault, and what is wrong with it.
        self.violations: tuple[tuple[str, str], ...] = details.violations
        #: Seconds after which the service says that trying again makes sense.
        self.retry_after: Optional[float] = details.retry_after
        #: The id of the write that failed: write again with it, or ask with get_write, when its outcome is not known.
        self.write_id: Optional[str] = None
        #: Whether the write that failed may have been stored all the same.
        self.outcome_unknown = False
        #: How often the call was tried.
        self.attempts = 1

    @property
    def field(self) -> Optional[str]:
        """Path of the request's field at fault, as in mutations[0].insert.values["ra"]."""
        return self.violations[0][0] if self.violations else None

    def __str__(self) -> str:
        text = f"{self.code.name}{f' {self.reason}' if self.reason else ''}: {self.message}"
        if self.field:
            text += f" (field {self.field})"
        if self.attempts > 1:
            text += f" (after {self.attempts} attempts)"
        if self.outcome_unknown:
            text += f" (the write {self.write_id} may have been stored)"
        return text


class InvalidRequest(OpsDbError):
    """INVALID_ARGUMENT: a field of the request is at fault; see `field`."""


class NotFound(OpsDbError):
    """NOT_FOUND: no such table, column, row or write."""


class AlreadyExists(OpsDbError):
    """ALREADY_EXISTS: the row's key, another unique value, or the write id is taken."""


class FailedPrecondition(OpsDbError):
    """FAILED_PRECONDITION: what is there does not allow it."""


class ResourceExhausted(OpsDbError):
    """RESOURCE_EXHAUSTED: the buffer is full, a limit is reached, or something is too large."""


class Unavailable(OpsDbError):
    """UNAVAILABLE: the service, or a part that it needs, could not be reached in time."""


class DeadlineExceeded(OpsDbError):
    """DEADLINE_EXCEEDED: there was no answer in time."""


class Unauthenticated(OpsDbError):
    """UNAUTHENTICATED: no token, or one that does not hold."""


class PermissionDenied(OpsDbError):
    """PERMISSION_DENIED: the token does not allow it."""


class WriteRejected(OpsDbError):
    """The main database refused the write for good; nothing of it took effect. `reason` says why."""

    #: PostgreSQL's code, where the database refused it.
    sqlstate: Optional[str] = None
    #: Index of the mutation at fault, where it is known.
    mutation: Optional[int] = None


_classes = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
}


def error_of(code: grpc.StatusCode, message: str, details: Optional[StatusDetails] = None) -> OpsDbError:
    """An error of the class that goes with its code."""
    return _classes.get(code, OpsDbError)(message, code=code, details=details)


def from_rpc_error(error: Any) -> OpsDbError:
    """What gRPC raised, for synchronous and asyncio calls alike."""
    details = None
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            details = parse_status_details(value)
    return error_of(error.code(), error.details() or "", details)


def invalid(reason: str, message: str, field: str) -> InvalidRequest:
    """What the service would refuse as well, told before anything is sent."""
    details = StatusDetails(reason=reason, violations=((field, message),))
    return InvalidRequest(message, code=grpc.StatusCode.INVALID_ARGUMENT, details=details)
