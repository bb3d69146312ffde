"""What calls answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Iterator, Mapping, Optional, Sequence, Union

import grpc

from opsdb.errors import OpsDbError, WriteRejected
from opsdb.status_details import StatusDetails
from opsdb.v1 import query_pb2, replication_pb2, write_pb2
from opsdb.values import decoder


@dataclass(frozen=True)
class Rejection:
    """Why the main database refused a write for good."""

    reason: str
    message: str
    sqlstate: Optional[str] = None
    #: Index of the mutation at fault, where it is known.
    mutation: Optional[int] = None


@dataclass(frozen=True)
class WriteStatus:
    """A write and how far it has come: ACCEPTED, APPLIED, REPLICATED or REJECTED."""

    write_id: str
    state: str
    site: str
    #: Where it stands in its site's order; None where it went through no buffer.
    position: Optional[str] = None
    #: Commit LSN on the main database, once it is known.
    lsn: Optional[str] = None
    applied_at: Optional[datetime] = None
    rejection: Optional[Rejection] = None

    @property
    def is_done(self) -> bool:
        return self.state in ("REPLICATED", "REJECTED")


@dataclass(frozen=True)
class WriteResult:
    """The acknowledgement of a write."""

    status: WriteStatus
    #: For each mutation the values that were written, with generated keys and defaults.
    rows: list[dict[str, Any]]
    #: Reads with this token see the write.
    token: bytes
    #: The state asked for was not reached in time; the write goes on.
    wait_timed_out: bool = False
    #: The service had this write already, from an earlier call or an earlier attempt of this one.
    duplicate: bool = False
    #: How often it was sent until an answer arrived.
    attempts: int = 1

    @property
    def write_id(self) -> str:
        return self.status.write_id

    @property
    def state(self) -> str:
        return self.status.state

    @property
    def row(self) -> dict[str, Any]:
        """The row of the first mutation."""
        return self.rows[0]


@dataclass(frozen=True)
class Column:
    """A column of a result, with its PostgreSQL type."""

    name: str
    type: str


@dataclass(frozen=True)
class RelatedColumns:
    """The columns of the related rows of one table."""

    table: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class QueryHeader:
    """What was read: columns and the state of the data. After an interruption that of the last attempt's snapshot."""

    columns: tuple[Column, ...]
    consistency: str
    #: Reads with this token are at least as fresh as this result.
    token: bytes
    #: Replay LSN of the replica, or write LSN of the main database.
    lsn: str
    timeline: int
    #: Writes still on their way that were merged in.
    pending_writes: int
    #: Age of the newest transaction that the replica had replayed.
    replica_age: Optional[timedelta] = None
    #: Redis could not be asked: writes of other processes of this site may be missing.
    buffer_unreachable: bool = False
    #: Age of a result that was not read now.
    age: Optional[timedelta] = None
    related: tuple[RelatedColumns, ...] = ()


class Row(Mapping[str, Any]):
    """One row: a mapping of column names to values, which also takes the position of a column."""

    __slots__ = ("_places", "_values", "related")

    def __init__(self, places: Mapping[str, int], values: Sequence[Any], related: Mapping[str, list[Row]] = {}) -> None:
        self._places = places
        self._values = values
        #: Rows of other tables, by the tables' names.
        self.related = related

    def __getitem__(self, column: Union[str, int]) -> Any:
        return self._values[column if isinstance(column, int) else self._places[column]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        return f"Row({dict(self)!r})"


@dataclass(frozen=True)
class ReplicationEvent:
    """One event of watch_replication; exactly one of its parts is set."""

    #: The whole state of replication.
    status: Optional[replication_pb2.ReplicationStatus] = None
    #: The followed write is in a new state.
    write: Optional[WriteStatus] = None
    #: The followed LSN is replayed on the local database.
    lsn_replayed: Optional[str] = None
    #: Nothing has changed until then.
    heartbeat: Optional[datetime] = None


class RowReader:
    """Makes rows of the messages of one result."""

    def __init__(self, header: query_pb2.QueryHeader) -> None:
        self._table = _table_reader(header.columns)
        self._related = [(each.table, *_table_reader(each.columns)) for each in header.related]

    def rows(self, batch: query_pb2.RowBatch) -> list[Row]:
        places, read = self._table
        if not self._related:
            return [Row(places, read(row)) for row in batch.rows]
        return [Row(places, read(row), self._relatives(row)) for row in batch.rows]

    def _relatives(self, row: query_pb2.Row) -> dict[str, list[Row]]:
        return {
            table: [Row(places, read(each)) for each in relatives.rows]
            for (table, places, read), relatives in zip(self._related, row.related)
        }


def _table_reader(columns: Sequence[query_pb2.Column]) -> Any:
    readers = [decoder(column.type) for column in columns]
    # Of columns with the same name, as SQL may have them, the first is found by it.
    places = {column.name: place for place, column in reversed(list(enumerate(columns)))}
    places = {column.name: places[column.name] for column in columns}

    def read(row: query_pb2.Row) -> tuple[Any, ...]:
        return tuple([reader(value) for reader, value in zip(readers, row.values)])

    return places, read


def query_header(header: query_pb2.QueryHeader) -> QueryHeader:
    def columns(messages: Sequence[query_pb2.Column]) -> tuple[Column, ...]:
        return tuple(Column(each.name, each.type) for each in messages)

    return QueryHeader(
        columns=columns(header.columns),
        consistency=query_pb2.Consistency.Name(header.consistency).rpartition("_")[2].lower(),
        token=header.token,
        lsn=header.lsn,
        timeline=header.timeline,
        pending_writes=header.pending_writes,
        replica_age=header.replica_age.ToTimedelta() if header.HasField("replica_age") else None,
        buffer_unreachable=header.buffer_unreachable,
        age=header.age.ToTimedelta() if header.HasField("age") else None,
        related=tuple(RelatedColumns(each.table, columns(each.columns)) for each in header.related),
    )


def write_status(status: write_pb2.WriteStatus) -> WriteStatus:
    rejection = None
    if status.HasField("rejection"):
        given = status.rejection
        rejection = Rejection(
            given.reason, given.message, given.sqlstate or None, given.mutation if given.HasField("mutation") else None
        )
    return WriteStatus(
        write_id=status.write_id,
        state=write_pb2.WriteState.Name(status.state).rpartition("_")[2],
        site=status.site,
        position=status.position or None,
        lsn=status.lsn or None,
        applied_at=instant(status.applied_at) if status.HasField("applied_at") else None,
        rejection=rejection,
    )


def instant(timestamp: Any) -> datetime:
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(
        seconds=timestamp.seconds, microseconds=timestamp.nanos // 1000
    )


def row_values(row: write_pb2.ColumnValues, types: Mapping[str, str]) -> dict[str, Any]:
    """The values of a written row, in the order of the table's columns."""
    names = [name for name in types if name in row.values] + sorted(set(row.values) - set(types))
    return {name: decoder(types.get(name))(row.values[name]) for name in names}


def rejected(status: WriteStatus) -> OpsDbError:
    rejection = status.rejection or Rejection("", "the main database refused the write")
    details = StatusDetails(reason=rejection.reason or None)
    error = WriteRejected(rejection.message, code=grpc.StatusCode.FAILED_PRECONDITION, details=details)
    error.sqlstate, error.mutation = rejection.sqlstate, rejection.mutation
    error.write_id = status.write_id
    return error
