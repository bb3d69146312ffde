"""Random values by the type of the column that holds them, each depending on its seed alone."""

from __future__ import annotations

import struct
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID


def same(a, b):
    """Equal, of the same type, in the same zone; NaN is the same as NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return (a == b or (a != a and b != b)) and getattr(a, "tzinfo", None) == getattr(b, "tzinfo", None)


def integer(bits):
    def value(chance):
        return chance.choice([0, 1, -1, 2 ** (bits - 1) - 1, -(2 ** (bits - 1)), chance.getrandbits(bits - 1)])

    return value


def double(chance):
    return chance.choice([0.0, -0.0, float("nan"), float("inf"), float("-inf"), 5e-324, bits(chance), chance.random()])


def bits(chance):
    return struct.unpack("<d", chance.getrandbits(64).to_bytes(8, "little"))[0]


def numeric(chance):
    digits = chance.randrange(1, 40)
    return chance.choice(
        [
            Decimal("NaN"),
            Decimal("0.00"),
            Decimal(chance.randrange(-(10**digits), 10**digits)).scaleb(-chance.randrange(0, 20)),
        ]
    )


def text(chance):
    return "".join(chance.choice("aZ é\n\t\"'\\{},🔭\u2028") for _ in range(chance.randrange(12)))


def day(chance):
    return date.fromordinal(chance.randrange(1, date.max.toordinal() + 1))


def clock(chance):
    return time(
        chance.randrange(24), chance.randrange(60), chance.randrange(60), chance.choice([0, 1, 500_000, 999_999])
    )


def naive(chance):
    return datetime.combine(day(chance), clock(chance))


def instant(chance):
    return naive(chance).replace(tzinfo=timezone.utc)


def duration(chance):
    return timedelta(chance.randrange(-40_000, 40_000), chance.randrange(-86_399, 86_400), chance.randrange(1_000_000))


def document(chance, depth=3):
    leaf = [None, True, 0, -1.5, chance.randrange(2**60), text(chance)]
    if depth == 0 or chance.random() < 0.3:
        return chance.choice(leaf)
    if chance.random() < 0.5:
        return [document(chance, depth - 1) for _ in range(chance.randrange(3))]
    return mapping(chance, depth)


def mapping(chance, depth=3):
    return {text(chance): document(chance, depth - 1) for _ in range(chance.randrange(3))}


def array(of):
    def value(chance):
        return [None if chance.random() < 0.2 else of(chance) for _ in range(chance.randrange(4))]

    return value


generators = {
    "boolean": lambda chance: chance.random() < 0.5,
    "smallint": integer(16),
    "integer": integer(32),
    "bigint": integer(64),
    "double precision": double,
    "numeric": numeric,
    "text": text,
    "bytea": lambda chance: chance.getrandbits(64).to_bytes(8, "big")[: chance.randrange(9)],
    "date": day,
    "time without time zone": clock,
    "timestamp with time zone": instant,
    "interval": duration,
    "uuid": lambda chance: UUID(int=chance.getrandbits(128)),
    "jsonb": mapping,
    "integer[]": array(integer(32)),
    "text[]": array(text),
    "numeric[]": array(numeric),
    "timestamp with time zone[]": array(instant),
    "date[]": array(day),
    "jsonb[]": array(mapping),
}
