"""Native Python values to and from opsdb.v1.Value."""

from __future__ import annotations

import json
import re
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Callable, Mapping, Optional
from uuid import UUID

from opsdb.errors import invalid
from opsdb.v1.value_pb2 import Value

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NAIVE_EPOCH = datetime(1970, 1, 1)


class Json:
    """A value for a json or jsonb column that is not a dict: Json("text"), Json(None), Json([1, 2]).

    A dict is JSON anyway, and a list where its column says so. A plain str is taken as JSON text there, and None as
    SQL NULL.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Json({self.value!r})"


def to_value(value: Any, column_type: Optional[str] = None, field: str = "value") -> Value:
    """The message for a value. The column's type, where it is known, decides between JSON and array for a list.

    Raises InvalidRequest, which names the field, for what has no exact counterpart.
    """
    try:
        return _encode(value, column_type, field)
    except (UnicodeEncodeError, OverflowError, RecursionError) as error:
        raise _unfit(str(error), field) from error


def from_value(value: Value, column_type: Optional[str] = None) -> Any:
    """The native value of a message."""
    return decoder(column_type)(value)


def decoder(column_type: Optional[str]) -> Callable[[Value], Any]:
    """Makes the function that reads the values of a column of this type.

    What Python's types cannot hold (infinity as a date, years beyond 9999, intervals with months) comes as
    PostgreSQL's text.
    """
    base = element_type(column_type or "")
    from_text = _text_readers.get(base, str)
    naive = base == "timestamp without time zone"

    def read(value: Value) -> Any:
        kind = value.WhichOneof("kind")
        if kind == "string_value":
            return from_text(value.string_value)
        if kind == "null_value":
            return None
        if kind == "timestamp_value":
            stamp = value.timestamp_value
            epoch = _NAIVE_EPOCH if naive else _EPOCH
            return epoch + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
        if kind == "numeric_value":
            return Decimal(value.numeric_value)
        if kind == "uuid_value":
            return UUID(value.uuid_value)
        if kind == "json_value":
            return json.loads(value.json_value)
        if kind == "array_value":
            return [read(each) for each in value.array_value.values]
        if kind is None:
            raise ValueError("a value of a kind that this version of the package does not know")
        return getattr(value, kind)

    return read


def element_type(column_type: str) -> str:
    """The type without its modifier and array brackets: of "numeric(6,2)[]" it is "numeric"."""
    return re.sub(r"\(.*?\)|\[\]", "", column_type)


def is_ambiguous(value: Any) -> bool:
    """Whether the column's type decides how the value is sent."""
    return isinstance(value, (list, tuple)) or _numpy_kind(value) == "ndarray"


def _encode(value: Any, column_type: Optional[str], field: str) -> Value:
    if value is None:
        return Value(null_value=0)
    encode = _encoders.get(type(value))
    if encode is not None:
        return encode(value, column_type, field)
    return _encode_other(value, column_type, field)


def _encode_other(value: Any, column_type: Optional[str], field: str) -> Value:
    """Subclasses, views of bytes, and scalars and arrays of NumPy and pandas."""
    if type(value).__name__ in ("NaTType", "NAType"):
        return Value(null_value=0)
    numpy_kind = _numpy_kind(value)
    if numpy_kind == "datetime64":
        return _encode_datetime64(value, column_type, field)
    if numpy_kind == "timedelta64":
        return _encode_timedelta64(value, column_type, field)
    if numpy_kind == "ndarray":
        if value.dtype.kind in "mM":
            return _encode_list(list(value), column_type, field)
        return _encode(value.tolist(), column_type, field)
    if numpy_kind is not None:
        plain = value.item()
        if type(plain) is type(value):
            raise _unfit(f"a {type(value).__name__} has no counterpart", field)
        return _encode(plain, column_type, field)
    if isinstance(value, Enum):
        return _encode(value.value, column_type, field)
    for known, encode in _encoders.items():
        if isinstance(value, known):
            return encode(value, column_type, field)
    if isinstance(value, Mapping):
        return _encode_json(dict(value), column_type, field)
    raise _unfit(f"a {type(value).__name__} cannot be stored", field)


def _numpy_kind(value: Any) -> Optional[str]:
    """Without importing NumPy: only who has it can have such a value."""
    for each in type(value).__mro__:
        if each.__module__ == "numpy" and each.__name__ in ("ndarray", "generic", "datetime64", "timedelta64"):
            return each.__name__
    return None


def _encode_int(value: int, column_type: Optional[str], field: str) -> Value:
    value = int(value)
    if -(2**63) <= value < 2**63:
        return Value(int64_value=value)
    return Value(numeric_value=str(value))


def _encode_decimal(value: Decimal, column_type: Optional[str], field: str) -> Value:
    if value.is_snan() or (value.is_nan() and str(value) != "NaN"):
        raise _unfit(f"{value} cannot be stored", field)
    return Value(numeric_value=str(value))


def _encode_datetime(value: datetime, column_type: Optional[str], field: str) -> Value:
    if getattr(value, "nanosecond", 0):
        raise _unfit("a time is finer than microseconds", field)
    if value.tzinfo is None or value.utcoffset() is None:
        # As text, so that the service refuses it where the column needs an instant: nobody has to guess the zone.
        return Value(string_value=value.replace(tzinfo=None).isoformat(" "))
    since = value - _EPOCH
    result = Value()
    result.timestamp_value.seconds = since.days * 86_400 + since.seconds
    result.timestamp_value.nanos = since.microseconds * 1000
    return result


def _encode_datetime64(value: Any, column_type: Optional[str], field: str) -> Value:
    text = str(value)
    if text == "NaT":
        return Value(null_value=0)
    if re.fullmatch(r"\d{4}(-\d\d){0,2}", text):
        return _encode(date.fromisoformat((text + "-01-01")[:10]), column_type, field)
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d(?::\d\d(?::\d\d(?:\.\d{1,6})?)?)?)0*", text)
    if not match:
        raise _unfit(f"{text} is finer than microseconds, or out of range", field)
    stamp = match[1] + ":00" if len(match[1]) == 13 else match[1]
    return Value(string_value=stamp.replace("T", " "))


def _encode_timedelta64(value: Any, column_type: Optional[str], field: str) -> Value:
    if str(value) == "NaT":
        return Value(null_value=0)
    exact = value.astype("timedelta64[us]")
    if exact != value:
        raise _unfit(f"{value} is finer than microseconds, or out of range", field)
    return _encode_timedelta(exact.item(), column_type, field)


def _encode_timedelta(value: timedelta, column_type: Optional[str], field: str) -> Value:
    if getattr(value, "nanoseconds", 0):
        raise _unfit("a duration is finer than microseconds", field)
    sign = "-" if value < timedelta(0) else ""
    value = abs(value)
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours:02}:{minutes:02}:{seconds:02}.{value.microseconds:06}"
    return Value(string_value=f"{sign}{value.days} days {sign}{clock}")


def _encode_json(value: Any, column_type: Optional[str], field: str) -> Value:
    try:
        return Value(json_value=json.dumps(value, allow_nan=False, default=_json_default))
    except (TypeError, ValueError) as error:
        raise _unfit(f"no JSON: {error}", field) from error


def _json_default(value: Any) -> Any:
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Json):
        return value.value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    numpy_kind = _numpy_kind(value)
    if numpy_kind == "ndarray":
        return value.tolist()
    if numpy_kind == "generic" and type(value.item()) is not type(value):
        return value.item()
    raise TypeError(f"a {type(value).__name__} is not JSON; a Decimal is a float or a str there, for you to choose")


def _encode_list(value: Any, column_type: Optional[str], field: str) -> Value:
    if column_type is not None and not column_type.endswith("[]") and element_type(column_type) in ("json", "jsonb"):
        return _encode_json(list(value), column_type, field)
    element = element_type(column_type) if column_type and element_type(column_type) not in ("json", "jsonb") else None
    result = Value()
    result.array_value.SetInParent()
    for index, each in enumerate(value):
        result.array_value.values.append(_encode(each, element, f"{field}.array_value.values[{index}]"))
    return result


# In this order for subclasses: a bool is an int, and a datetime is a date.
_encoders: dict[type, Callable[[Any, Optional[str], str], Value]] = {
    bool: lambda value, *_: Value(bool_value=value),
    int: _encode_int,
    float: lambda value, *_: Value(double_value=float(value)),
    str: lambda value, *_: Value(string_value=str(value)),
    Decimal: _encode_decimal,
    datetime: _encode_datetime,
    date: lambda value, *_: Value(string_value=value.isoformat()),
    time: lambda value, *_: Value(string_value=value.isoformat()),
    timedelta: _encode_timedelta,
    UUID: lambda value, *_: Value(uuid_value=str(value)),
    bytes: lambda value, *_: Value(bytes_value=bytes(value)),
    bytearray: lambda value, *_: Value(bytes_value=bytes(value)),
    memoryview: lambda value, *_: Value(bytes_value=bytes(value)),
    dict: _encode_json,
    Json: lambda value, column_type, field: _encode_json(value.value, column_type, field),
    list: _encode_list,
    tuple: _encode_list,
}


def _unfit(message: str, field: str) -> Exception:
    return invalid("INVALID_VALUE", message, field)


def _read_date(text: str) -> Any:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return text


_CLOCK = re.compile(r"(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(?:([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?)?")


def _read_time(text: str) -> Any:
    match = _CLOCK.fullmatch(text)
    if not match or match[1] == "24":
        return text
    zone = None
    if match[5]:
        offset = timedelta(hours=int(match[6]), minutes=int(match[7] or 0), seconds=int(match[8] or 0))
        zone = timezone(-offset if match[5] == "-" else offset)
    micros = int((match[4] or "").ljust(6, "0"))
    return time(int(match[1]), int(match[2]), int(match[3]), micros, tzinfo=zone)


_INTERVAL = re.compile(r"(?:([+-]?\d+) days?)?(?: ?([+-]?)(\d+):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?")


def _read_interval(text: str) -> Any:
    match = _INTERVAL.fullmatch(text)
    if not match or not text:
        return text
    clock = timedelta(
        hours=int(match[3] or 0),
        minutes=int(match[4] or 0),
        seconds=int(match[5] or 0),
        microseconds=int((match[6] or "").ljust(6, "0")),
    )
    try:
        return timedelta(days=int(match[1] or 0)) + (-clock if match[2] == "-" else clock)
    except OverflowError:
        return text


_text_readers: dict[str, Callable[[str], Any]] = {
    "date": _read_date,
    "time without time zone": _read_time,
    "time with time zone": _read_time,
    "interval": _read_interval,
}
