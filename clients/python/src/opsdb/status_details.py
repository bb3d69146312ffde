"""The details of an error: google.rpc.Status with ErrorInfo, BadRequest and RetryInfo, as far as a client needs them.

They are read from the wire format by hand. The Python package with these messages would be one more dependency, and
messages of one's own under the same names clash with it where it is installed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Iterator, Optional, Union


@dataclass(frozen=True)
class StatusDetails:
    """What the server says about an error beyond its code and message."""

    reason: Optional[str] = None
    domain: Optional[str] = None
    metadata: dict[str, str] = field(default_factory=dict)
    #: Path of the request's field at fault and what is wrong with it, each.
    violations: tuple[tuple[str, str], ...] = ()
    #: Seconds after which trying again makes sense.
    retry_after: Optional[float] = None


def parse_status_details(status: bytes) -> StatusDetails:
    """Reads the value of grpc-status-details-bin. What is not understood is left out."""
    try:
        return _parse(status)
    except (ValueError, IndexError):
        return StatusDetails()


def _parse(status: bytes) -> StatusDetails:
    reason = domain = None
    metadata: dict[str, str] = {}
    violations: list[tuple[str, str]] = []
    retry_after = None
    for detail in _bytes(status, 3):
        kind = _text(detail, 1).rpartition("/")[2]
        for value in _bytes(detail, 2):
            if kind == "google.rpc.ErrorInfo":
                reason, domain = _text(value, 1), _text(value, 2)
                metadata = {_text(entry, 1): _text(entry, 2) for entry in _bytes(value, 3)}
            elif kind == "google.rpc.BadRequest":
                violations += [(_text(each, 1), _text(each, 2)) for each in _bytes(value, 1)]
            elif kind == "google.rpc.RetryInfo":
                for delay in _bytes(value, 1):
                    retry_after = _number(delay, 1) + _number(delay, 2) / 1e9
    return StatusDetails(reason, domain, metadata, tuple(violations), retry_after)


def _bytes(message: bytes, number: int) -> list[bytes]:
    return [value for field, value in _fields(message) if field == number and isinstance(value, bytes)]


def _text(message: bytes, number: int) -> str:
    return b"".join(_bytes(message, number)[-1:]).decode()


def _number(message: bytes, number: int) -> int:
    return next((value for field, value in _fields(message) if field == number and isinstance(value, int)), 0)


def _fields(message: bytes) -> Iterator[tuple[int, Union[int, bytes]]]:
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if kind == 2:
            length, at = _varint(message, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if at + length > len(message):
            raise ValueError("cut short")
        if kind == 2:
            yield tag >> 3, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
