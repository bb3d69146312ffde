"""Results by columns, and as frames of pandas."""

from __future__ import annotations

from typing import Any, Sequence

from opsdb.results import Column, Row
from opsdb.values import element_type


def to_columns(columns: Sequence[Column], rows: Sequence[Row]) -> dict[str, list[Any]]:
    """The values of each column. Of columns with the same name, as SQL may have them, the first."""
    return {column.name: [row[column.name] for row in rows] for column in columns}


def to_pandas(columns: Sequence[Column], rows: Sequence[Row]) -> Any:
    """A DataFrame. Integers and booleans with NULLs have pandas' nullable types; numeric stays Decimal."""
    import pandas

    values = [[row[place] for row in rows] for place in range(len(columns))]
    return pandas.concat(
        [pandas.Series(each, dtype=_dtype(column, each), name=column.name) for column, each in zip(columns, values)],
        axis=1,
    )


def _dtype(column: Column, values: Sequence[Any]) -> str:
    if column.type.endswith("[]"):
        return "object"
    of_type = element_type(column.type)
    if of_type in ("smallint", "integer", "bigint", "oid"):
        return "Int64" if None in values else "int64"
    if of_type == "boolean":
        return "boolean" if None in values else "bool"
    if of_type in ("real", "double precision"):
        return "float64"
    if any(isinstance(value, str) for value in values):
        return "object"
    if of_type == "interval":
        return "timedelta64[us]"
    if of_type.startswith("timestamp"):
        return "datetime64[us, UTC]" if of_type == "timestamp with time zone" else "datetime64[us]"
    return "object"
