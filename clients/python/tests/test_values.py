"""Native values: what goes out comes back as it was."""

from __future__ import annotations

import json
import random
from collections import OrderedDict
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from uuid import UUID

import pytest
from opsdb import InvalidRequest, Json
from opsdb.v1.value_pb2 import Value
from opsdb.values import from_value, to_value
from random_values import generators, same


@pytest.mark.parametrize("column_type", generators)
def test_random_values_come_back_as_they_were(column_type):
    for seed in range(300):
        chance = random.Random(f"{column_type} {seed}")
        value = generators[column_type](chance)
        message = Value.FromString(to_value(value, column_type).SerializeToString())
        back = from_value(message, column_type)
        assert same(back, value), f"seed {seed}: {value!r} came back as {back!r}"


def test_an_instant_is_the_same_in_every_zone():
    utc = datetime(2026, 4, 2, 3, 4, 5, 678901, tzinfo=timezone.utc)
    for hours in (-12, -3, 5.5, 14):
        assert to_value(utc.astimezone(timezone(timedelta(hours=hours)))) == to_value(utc)


def test_a_time_without_zone_is_sent_as_text_so_that_nobody_guesses_its_zone():
    assert to_value(datetime(2026, 4, 2, 3, 4, 5)).string_value == "2026-04-02 03:04:05"


@pytest.mark.parametrize(
    ("text", "column_type", "expected"),
    [
        ("2 days -00:00:01.5", "interval", timedelta(days=2, seconds=-1.5)),
        ("-1 days", "interval", timedelta(days=-1)),
        ("100:00:00", "interval", timedelta(hours=100)),
        ("1 mon 2 days", "interval", "1 mon 2 days"),
        ("infinity", "interval", "infinity"),
        ("infinity", "date", "infinity"),
        ("0044-03-15 BC", "date", "0044-03-15 BC"),
        ("20000-01-01", "date", "20000-01-01"),
        ("24:00:00", "time without time zone", "24:00:00"),
        ("03:04:05.06-03:30", "time with time zone", time(3, 4, 5, 60_000, timezone(-timedelta(hours=3.5)))),
        ("infinity", "timestamp with time zone", "infinity"),
        ("2026-04-02", "text", "2026-04-02"),
        ("2026-04-02", None, "2026-04-02"),
    ],
)
def test_text_is_read_by_its_type_and_stays_text_where_python_has_no_such_value(text, column_type, expected):
    assert from_value(Value(string_value=text), column_type) == expected


def test_timestamps_are_aware_for_timestamptz_alone():
    message = to_value(datetime(2026, 1, 1, tzinfo=timezone.utc))
    assert from_value(message, "timestamp(3) with time zone") == datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert from_value(message, "timestamp(3) without time zone") == datetime(2026, 1, 1)


def test_a_list_is_json_or_an_array_as_its_column_says():
    assert to_value([1, "a"], "jsonb").json_value == '[1, "a"]'
    assert [each.int64_value for each in to_value([1, 2], "integer[]").array_value.values] == [1, 2]
    assert to_value((1,)).WhichOneof("kind") == "array_value"
    assert to_value([], "double precision[]").WhichOneof("kind") == "array_value"
    documents = to_value([{"a": 1}, [2], None], "jsonb[]").array_value.values
    assert [each.WhichOneof("kind") for each in documents] == ["json_value", "array_value", "null_value"]


def test_a_dict_is_json_with_what_it_holds():
    given = {
        "id": UUID(int=1),
        "at": datetime(2026, 1, 1, tzinfo=timezone.utc),
        "day": date(2026, 1, 1),
        "list": (1, None),
    }
    assert json.loads(to_value(OrderedDict(given)).json_value) == {
        "id": "00000000-0000-0000-0000-000000000001",
        "at": "2026-01-01T00:00:00+00:00",
        "day": "2026-01-01",
        "list": [1, None],
    }
    assert to_value(Json("text"), "jsonb").json_value == '"text"'
    assert to_value(Json(None), "jsonb").json_value == "null"
    assert to_value(None, "jsonb").WhichOneof("kind") == "null_value"


def test_enums_and_subclasses_are_their_values():
    class Status(Enum):
        RUNNING = "RUNNING"

    class Text(str):
        pass

    class Named(str, Enum):
        DONE = "done"

    assert to_value(Status.RUNNING).string_value == "RUNNING"
    assert to_value(Named.DONE).string_value == "done"
    assert to_value(Text("a")).string_value == "a"
    assert to_value(True).WhichOneof("kind") == "bool_value"


def test_integers_beyond_64_bits_stay_exact():
    assert to_value(2**63).numeric_value == "9223372036854775808"
    assert to_value(-(2**63)).int64_value == -(2**63)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (object(), "v"),
        ([1, [object()]], "v.array_value.values[1].array_value.values[0]"),
        ({"a": float("nan")}, "v"),
        ({"a": Decimal("0.1")}, "v"),
        ({1, 2}, "v"),
        ("\ud800", "v"),
        (Decimal("sNaN"), "v"),
        (1j, "v"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_place(value, field):
    with pytest.raises(InvalidRequest) as refused:
        to_value(value, None, "v")
    assert (refused.value.reason, refused.value.field) == ("INVALID_VALUE", field)


def test_a_document_that_holds_itself_is_refused():
    endless = []
    endless.append(endless)
    for column_type in ("jsonb", "integer[]"):
        with pytest.raises(InvalidRequest):
            to_value(endless, column_type)


def test_numpy_values_are_taken_as_the_numbers_they_are():
    numpy = pytest.importorskip("numpy", reason="NumPy is not installed")
    assert to_value(numpy.int32(7)).int64_value == 7
    assert to_value(numpy.uint64(2**64 - 1)).numeric_value == "18446744073709551615"
    assert to_value(numpy.float32(0.5)).double_value == 0.5
    assert to_value(numpy.float64(0.1)).double_value == 0.1
    assert to_value(numpy.bool_(True)).bool_value is True
    assert to_value(numpy.str_("a")).string_value == "a"
    assert to_value(numpy.bytes_(b"a")).bytes_value == b"a"
    assert from_value(to_value(numpy.array([[1, 2], [3, 4]]), "integer[]")) == [[1, 2], [3, 4]]
    assert to_value(numpy.array([1.5, 2]), "jsonb").json_value == "[1.5, 2.0]"
    assert to_value({"pwv": numpy.float32(0.5), "n": numpy.arange(2)}).json_value == '{"pwv": 0.5, "n": [0, 1]}'
    assert to_value(numpy.datetime64("2026-04-02T03:04:05.678901")).string_value == "2026-04-02 03:04:05.678901"
    assert (
        to_value(numpy.datetime64("2026-04-02T03:04:05.678901000", "ns")).string_value == "2026-04-02 03:04:05.678901"
    )
    assert to_value(numpy.datetime64("2026-04-02")).string_value == "2026-04-02"
    assert to_value(numpy.datetime64("2026-04-02T03", "h")).string_value == "2026-04-02 03:00"
    assert to_value(numpy.datetime64("NaT")).WhichOneof("kind") == "null_value"
    assert from_value(to_value(numpy.timedelta64(-90, "s")), "interval") == timedelta(seconds=-90)
    assert from_value(to_value(numpy.array(["2026-04-02"], dtype="datetime64[D]")), "date[]") == [date(2026, 4, 2)]
    for unfit in (numpy.datetime64(1, "ns"), numpy.timedelta64(1, "ns"), numpy.longdouble(1), numpy.complex64(1)):
        with pytest.raises(InvalidRequest):
            to_value(unfit)


def test_pandas_values_are_taken_where_they_are_exact():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    assert to_value(pandas.Timestamp("2026-04-02T03:04:05Z")).timestamp_value.seconds == 1775099045
    assert to_value(pandas.NaT).WhichOneof("kind") == "null_value"
    assert to_value(pandas.NA).WhichOneof("kind") == "null_value"
    assert from_value(to_value(pandas.Timedelta(seconds=90)), "interval") == timedelta(seconds=90)
    for unfit in (pandas.Timestamp(1, unit="ns", tz="UTC"), pandas.Timedelta(1, unit="ns")):
        with pytest.raises(InvalidRequest):
            to_value(unfit)
