"""Queries: a table or an SQL statement, as a stream that goes on after an interruption where it can."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Mapping, Optional, Sequence, Tuple, Union

import grpc

from opsdb.catalog import Catalog
from opsdb.conditions import OrderBy, Related, Where, to_condition, to_order
from opsdb.errors import OpsDbError, error_of
from opsdb.results import QueryHeader, Row, RowReader, query_header
from opsdb.retry import Deadline, Retrier, RetryPolicy
from opsdb.steps import Emit, Method, Open, Receive, Steps, connected, pause_after
from opsdb.v1 import query_pb2
from opsdb.values import to_value

_QUERY = Method("QueryService", "Query")

#: A function's name, as in "count", or the function and its column, as in ("sum", "size_bytes").
AggregateSpec = Union[str, Tuple[str, str]]
#: What a query emits: its header, then rows.
QueryPart = Union[QueryHeader, "list[Row]"]


@dataclass(frozen=True)
class TableQuery:
    """A query of one table; see OpsDb.query."""

    table: str
    columns: Sequence[str] = ()
    where: Optional[Where] = None
    order_by: Union[OrderBy, Sequence[OrderBy]] = ()
    limit: Optional[int] = None
    aggregates: Optional[Mapping[str, AggregateSpec]] = None
    group_by: Sequence[str] = ()
    related: Sequence[Related] = ()


@dataclass(frozen=True)
class SqlQuery:
    """One SQL statement; see OpsDb.sql."""

    statement: str
    parameters: Sequence[Any] = ()
    limit: Optional[int] = None


@dataclass(frozen=True)
class ReadOptions:
    """How a query is read."""

    consistency: str = "merged"
    token: Optional[bytes] = None
    max_age: Union[timedelta, float, None] = None
    batch_size: int = 0
    timeout: Optional[float] = None


def query(
    catalog: Catalog,
    policy: RetryPolicy,
    asked: Union[TableQuery, SqlQuery],
    options: ReadOptions,
    patience: float,
) -> Steps[None]:
    """Emits the header and then lists of rows. Gives up where nothing came for so many seconds of trying again."""
    deadline = Deadline(options.timeout)
    request = yield from _request(catalog, asked, options, Deadline(deadline.within(patience)))
    retrier = Retrier(policy, patience)
    reader: Optional[RowReader] = None
    columns: Any = None
    has_rows = False
    while True:
        received = 0
        try:
            yield from connected(retrier, policy, deadline)
            yield Open(_QUERY, request, None if options.timeout is None else deadline.remaining)
            while True:
                message = yield Receive()
                part = None if message is None else message.WhichOneof("part")
                if part == "header":
                    header = query_header(message.header)
                    if reader is not None and header.columns != columns:
                        raise _incomplete("the columns have changed since it was interrupted", grpc.StatusCode.ABORTED)
                    reader, columns = RowReader(message.header), header.columns
                    yield Emit(header)
                elif part == "batch" and reader is not None:
                    rows = reader.rows(message.batch)
                    received += len(rows)
                    has_rows = has_rows or bool(rows)
                    request.resume_after = message.batch.resume_point
                    yield Emit(rows)
                elif part == "trailer" and message.trailer.row_count == received:
                    return
                else:
                    raise _incomplete("it ended too early", grpc.StatusCode.UNAVAILABLE)
                retrier.succeeded()
        except OpsDbError as error:
            if has_rows and not request.resume_after:
                raise
            failure = yield from pause_after(error, retrier, deadline, "query")
            if failure is not None:
                raise failure


def _request(
    catalog: Catalog, asked: Union[TableQuery, SqlQuery], options: ReadOptions, deadline: Deadline
) -> Steps[query_pb2.QueryRequest]:
    request = query_pb2.QueryRequest(batch_size=options.batch_size, token=options.token or b"")
    consistency = f"CONSISTENCY_{options.consistency.upper()}"
    if options.consistency not in ("merged", "local", "main"):
        raise ValueError(f"{options.consistency!r} is not one of merged, local, main")
    request.consistency = query_pb2.Consistency.Value(consistency)
    if options.max_age is not None:
        age = options.max_age if isinstance(options.max_age, timedelta) else timedelta(seconds=options.max_age)
        request.max_age.FromTimedelta(age)
    if asked.limit is not None:
        request.limit = asked.limit
    if isinstance(asked, SqlQuery):
        request.sql = asked.statement
        for index, parameter in enumerate(asked.parameters):
            request.parameters.append(to_value(parameter, None, f"parameters[{index}]"))
        return request
    request.table = asked.table
    request.columns.extend(_names(asked.columns))
    request.order_by.extend(to_order(asked.order_by))
    request.group_by.extend(_names(asked.group_by))
    yield from _where(request, asked.table, asked.where, "where", catalog, deadline)
    for name, spec in (asked.aggregates or {}).items():
        function, column = (spec, "") if isinstance(spec, str) else spec
        function_name = f"AGGREGATE_FUNCTION_{function.upper()}"
        if function_name not in query_pb2.AggregateFunction.keys():
            raise ValueError(f"no such aggregate: {function}")
        request.aggregates.add(function=query_pb2.AggregateFunction.Value(function_name), column=column, name=name)
    for index, each in enumerate(asked.related):
        related = request.related.add(table=each.table, foreign_key=each.foreign_key)
        related.columns.extend(_names(each.columns))
        related.order_by.extend(to_order(each.order_by))
        if each.limit is not None:
            related.limit = each.limit
        yield from _where(related, each.table, each.where, f"related[{index}].where", catalog, deadline)
    return request


def _where(
    target: Any, table: str, where: Optional[Where], path: str, catalog: Catalog, deadline: Deadline
) -> Steps[None]:
    if where is None:
        return
    condition = to_condition(where)
    types = (yield from catalog.types([table], deadline)) if condition.needs_types() else {}
    target.where.CopyFrom(condition.to_message(types.get(table, {}), path))


def _names(columns: Union[str, Sequence[str]]) -> Sequence[str]:
    return [columns] if isinstance(columns, str) else columns


def _incomplete(why: str, code: grpc.StatusCode) -> OpsDbError:
    return error_of(code, f"the result is incomplete: {why}")
