"""What a write consists of: insert, update, upsert and delete of one row each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Mapping, Optional

from opsdb.v1 import write_pb2
from opsdb.values import to_value

#: Column name to value.
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Mutation:
    """One change of one row. Made by insert, update, upsert and delete."""

    operation: Literal["insert", "update", "upsert", "delete"]
    table: str
    key: Values = field(default_factory=dict)
    values: Values = field(default_factory=dict)
    row_exists: Optional[bool] = None
    columns_equal: Optional[Values] = None


def insert(table: str, values: Values, *, row_exists: Optional[bool] = None) -> Mutation:
    """Adds a row; its key must not exist. Columns left out take their default, keys with a default too."""
    return Mutation("insert", table, values=values, row_exists=row_exists)


def update(
    table: str,
    key: Values,
    values: Values,
    *,
    columns_equal: Optional[Values] = None,
) -> Mutation:
    """Changes columns of the row with this key, which must exist.

    With columns_equal the whole write is rejected unless the row has these values when it is applied.
    """
    return Mutation("update", table, key, values, columns_equal=columns_equal)


def upsert(
    table: str,
    values: Values,
    *,
    row_exists: Optional[bool] = None,
    columns_equal: Optional[Values] = None,
) -> Mutation:
    """Adds the row, or changes the given columns where its key exists.

    With row_exists or columns_equal the whole write is rejected unless that holds when it is applied.
    """
    return Mutation("upsert", table, values=values, row_exists=row_exists, columns_equal=columns_equal)


def delete(
    table: str,
    key: Values,
    *,
    row_exists: Optional[bool] = None,
    columns_equal: Optional[Values] = None,
) -> Mutation:
    """Removes the row with this key. A row that is not there is no error, unless row_exists is True."""
    return Mutation("delete", table, key, row_exists=row_exists, columns_equal=columns_equal)


def to_mutation(mutation: Mutation, types: Mapping[str, str], path: str) -> write_pb2.Mutation:
    """The message for a mutation, with the types of the table's columns as far as they are known."""
    message = write_pb2.Mutation(table=mutation.table)
    operation = getattr(message, mutation.operation)
    operation.SetInParent()
    path_of = f"{path}.{mutation.operation}"
    if mutation.operation in ("update", "delete"):
        _fill(operation.key, mutation.key, types, f"{path_of}.key")
    if mutation.operation != "delete":
        _fill(operation.values, mutation.values, types, f"{path_of}.values")
    if mutation.row_exists is not None:
        message.preconditions.add(row_exists=mutation.row_exists)
    if mutation.columns_equal is not None:
        path_of = f"{path}.preconditions[{len(message.preconditions)}].columns_equal.values"
        equal = message.preconditions.add().columns_equal
        equal.SetInParent()
        _fill(equal.values, mutation.columns_equal, types, path_of)
    return message


def _fill(target: Any, values: Values, types: Mapping[str, str], path: str) -> None:
    for column, value in values.items():
        target[column].CopyFrom(to_value(value, types.get(column), f'{path}["{column}"]'))
