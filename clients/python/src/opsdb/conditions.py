"""Conditions, orders and related rows of a query: col("status") == "RUNNING", desc("start_time")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Iterator, Literal, Mapping, Optional, Sequence, Union

from opsdb.v1 import query_pb2
from opsdb.values import Json, is_ambiguous, to_value

#: A condition, or columns and the values that they must all have.
Where = Union["Condition", Mapping[str, Any]]
#: A column, "-column" for descending, or what asc and desc make.
OrderBy = Union[str, "Order"]


class Condition:
    """A condition on one row. Conditions are joined with &, | and ~, in parentheses."""

    def __init__(self, kind: str, column: str = "", values: Sequence[Any] = (), **rest: Any) -> None:
        self._kind = kind
        self._column = column
        self._values = values
        self._rest = rest

    def __and__(self, other: Condition) -> Condition:
        return Condition("and", parts=(self, other))

    def __or__(self, other: Condition) -> Condition:
        return Condition("or", parts=(self, other))

    def __invert__(self) -> Condition:
        return Condition("not", parts=(self,))

    def __bool__(self) -> bool:
        raise TypeError("join conditions with &, | and ~ in parentheses, not with and, or and not")

    def __repr__(self) -> str:
        parts = [repr(part) for part in (self._column, *self._values, *self._rest.values()) if part != ""]
        return f"Condition({self._kind}: {', '.join(parts)})"

    def needs_types(self) -> bool:
        """Whether the types of the columns decide how a value is sent."""
        return any(map(is_ambiguous, self._values)) or any(part.needs_types() for part in self._rest.get("parts", ()))

    def to_message(self, types: Mapping[str, str], path: str) -> query_pb2.Condition:
        message = query_pb2.Condition()
        kind, column_type = self._kind, types.get(self._column)
        if kind in ("and", "or"):
            target = getattr(message, kind)
            target.SetInParent()
            for index, part in enumerate(self._rest["parts"]):
                target.conditions.append(part.to_message(types, f"{path}.{kind}.conditions[{index}]"))
        elif kind == "not":
            getattr(message, "not").CopyFrom(self._rest["parts"][0].to_message(types, f"{path}.not"))
        elif kind == "is_null":
            message.is_null.column = self._column
        elif kind == "between":
            low, high = self._values
            message.between.column = self._column
            message.between.low.CopyFrom(to_value(low, column_type, f"{path}.between.low"))
            message.between.high.CopyFrom(to_value(high, column_type, f"{path}.between.high"))
        elif kind == "in":
            target = getattr(message, "in")
            target.column = self._column
            for index, value in enumerate(self._values):
                target.values.append(to_value(value, column_type, f"{path}.in.values[{index}]"))
        else:
            comparison = message.comparison
            comparison.column = self._column
            comparison.operator = getattr(query_pb2, f"COMPARISON_OPERATOR_{kind}")
            comparison.path.extend(map(str, self._rest.get("path", ())))
            of = "text[]" if kind in ("HAS_ANY_KEY", "HAS_ALL_KEYS") else column_type
            comparison.value.CopyFrom(to_value(self._values[0], of, f"{path}.comparison.value"))
        return message


class Col:
    """A column in a condition. Made by col."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, name: str, path: tuple[Union[str, int], ...] = ()) -> None:
        self._name = name
        self._path = path

    def __getitem__(self, key: Union[str, int]) -> Col:
        """What lies under this key or index of a json column."""
        return Col(self._name, (*self._path, key))

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("a column is not a sequence")

    def _compare(self, operator: str, value: Any) -> Condition:
        if self._path and not isinstance(value, (str, Json)):
            # What lies under a path is JSON, whatever it is compared with; a str is compared with its text.
            value = Json(value)
        return Condition(operator, self._name, (value,), path=self._path)

    def __eq__(self, value: Any) -> Condition:  # type: ignore[override]
        return self.is_null() if value is None and not self._path else self._compare("EQUAL", value)

    def __ne__(self, value: Any) -> Condition:  # type: ignore[override]
        return ~self.is_null() if value is None and not self._path else self._compare("NOT_EQUAL", value)

    def __lt__(self, value: Any) -> Condition:
        return self._compare("LESS", value)

    def __le__(self, value: Any) -> Condition:
        return self._compare("LESS_OR_EQUAL", value)

    def __gt__(self, value: Any) -> Condition:
        return self._compare("GREATER", value)

    def __ge__(self, value: Any) -> Condition:
        return self._compare("GREATER_OR_EQUAL", value)

    def is_null(self) -> Condition:
        return Condition("is_null", self._name)

    def in_(self, values: Iterable[Any]) -> Condition:
        return Condition("in", self._name, tuple(values))

    def between(self, low: Any, high: Any) -> Condition:
        """Both bounds are included."""
        return Condition("between", self._name, (low, high))

    def compare(self, operator: str, value: Any) -> Condition:
        """Any operator of opsdb.v1.ComparisonOperator by its name without the prefix, as in "STRICTLY_LEFT"."""
        if f"COMPARISON_OPERATOR_{operator}" not in query_pb2.ComparisonOperator.keys():
            raise ValueError(f"no such operator: {operator}")
        return self._compare(operator, value)

    def like(self, pattern: str) -> Condition:
        return self._compare("LIKE", pattern)

    def ilike(self, pattern: str) -> Condition:
        return self._compare("ILIKE", pattern)

    def matches(self, regular_expression: str) -> Condition:
        return self._compare("REGEX", regular_expression)

    def contains(self, value: Any) -> Condition:
        """Arrays, jsonb and ranges."""
        return self._compare("CONTAINS", value)

    def contained_by(self, value: Any) -> Condition:
        return self._compare("CONTAINED_BY", value)

    def overlaps(self, value: Any) -> Condition:
        return self._compare("OVERLAPS", value)

    def has_key(self, key: str) -> Condition:
        return self._compare("HAS_KEY", key)


def col(name: str) -> Col:
    """A column, for conditions: col("status") == "RUNNING", col("tuning")["line"] == "CO 7-6"."""
    return Col(name)


@dataclass(frozen=True)
class Order:
    """One term of an order. Made by asc and desc."""

    column: str
    descending: bool = False
    nulls: Optional[Literal["first", "last"]] = None


def asc(column: str, *, nulls: Optional[Literal["first", "last"]] = None) -> Order:
    return Order(column, False, nulls)


def desc(column: str, *, nulls: Optional[Literal["first", "last"]] = None) -> Order:
    return Order(column, True, nulls)


@dataclass(frozen=True)
class Related:
    """Rows of another table that come with each row, along a foreign key of either of the two."""

    table: str
    columns: Sequence[str] = ()
    where: Optional[Where] = None
    order_by: Union[OrderBy, Sequence[OrderBy]] = ()
    limit: Optional[int] = None
    foreign_key: str = ""


def to_condition(where: Where) -> Condition:
    if isinstance(where, Condition):
        return where
    if not isinstance(where, Mapping):
        raise TypeError(f"where is a condition or a mapping of columns to values, not a {type(where).__name__}")
    parts = tuple(col(column) == value for column, value in where.items())
    return parts[0] if len(parts) == 1 else Condition("and", parts=parts)


def to_order(order_by: Union[OrderBy, Sequence[OrderBy]]) -> Iterator[query_pb2.OrderTerm]:
    for term in (order_by,) if isinstance(order_by, (str, Order)) else order_by:
        if isinstance(term, str):
            term = Order(term[1:], True) if term.startswith("-") else Order(term)
        nulls = f"NULLS_ORDER_{(term.nulls or 'unspecified').upper()}"
        yield query_pb2.OrderTerm(column=term.column, descending=term.descending, nulls=getattr(query_pb2, nulls))
