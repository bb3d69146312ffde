"""Ids of writes: UUIDs of version 7, which sort by the time at which they were made."""

from __future__ import annotations

import os
import time
import uuid


def new_write_id() -> uuid.UUID:
    """48 bits of milliseconds, 74 random bits. Made once for a write and kept for all its attempts."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    high = (milliseconds & (1 << 48) - 1) << 16 | 0x7000 | random >> 68
    low = 0b10 << 62 | random & (1 << 62) - 1
    return uuid.UUID(int=high << 64 | low)


def to_write_id(given: uuid.UUID | str | None) -> str:
    """The id that the caller chose, or a new one."""
    if given is None:
        return str(new_write_id())
    return str(given if isinstance(given, uuid.UUID) else uuid.UUID(given))
