"""Details of errors, read from the wire."""

from __future__ import annotations

import random

from opsdb.status_details import StatusDetails, parse_status_details


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def detail(name, value):
    return field(3, field(1, f"type.googleapis.com/google.rpc.{name}") + field(2, value))


status = (
    field(1, 3)
    + field(2, "no")
    + detail(
        "ErrorInfo",
        field(1, "CHECK_VIOLATION") + field(2, "opsdb.v1") + field(3, field(1, "type") + field(2, "x" * 300)),
    )
    + detail(
        "BadRequest",
        field(1, field(1, 'values["ra"]') + field(2, "too large")) + field(1, field(1, "b") + field(2, "c")),
    )
    + detail("RetryInfo", field(1, field(1, 300) + field(2, 250_000_000)))
    + detail("Help", field(1, "something else"))
)


def test_reason_fields_and_retry_delay_are_read():
    assert parse_status_details(status) == StatusDetails(
        reason="CHECK_VIOLATION",
        domain="opsdb.v1",
        metadata={"type": "x" * 300},
        violations=(('values["ra"]', "too large"), ("b", "c")),
        retry_after=300.25,
    )


def test_fields_that_are_new_are_passed_over():
    more = field(9, 1) + b"\x51" + b"8bytes.." + b"\x5d" + b"4by." + status
    assert parse_status_details(more) == parse_status_details(status)


def test_bytes_that_are_cut_or_changed_never_fail():
    chance = random.Random(1)
    for _ in range(5000):
        broken = bytearray(status[: chance.randrange(len(status) + 1)])
        for _ in range(chance.randrange(4)):
            if broken:
                broken[chance.randrange(len(broken))] = chance.randrange(256)
        parse_status_details(bytes(broken))
