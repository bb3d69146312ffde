"""The client for programs without asyncio."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta
from typing import Any, Iterator, Mapping, Optional, Sequence, TypeVar, Union

import grpc

from opsdb import reading, watching, writing
from opsdb.catalog import Catalog
from opsdb.conditions import OrderBy, Related, Where
from opsdb.connection import Stubs, Target, Tls, Token
from opsdb.errors import OpsDbError, from_rpc_error
from opsdb.frames import to_columns, to_pandas
from opsdb.mutations import Mutation
from opsdb.reading import AggregateSpec, ReadOptions, SqlQuery, TableQuery
from opsdb.results import QueryHeader, ReplicationEvent, Row, WriteResult, WriteStatus
from opsdb.retry import Deadline, RetryPolicy
from opsdb.steps import Call, Emit, Open, Pause, Steps
from opsdb.v1 import catalog_service_pb2

T = TypeVar("T")


class OpsDb:
    """A connection to the service of one site. Threads may share it.

        with OpsDb("127.0.0.1:8080") as db:
            db.write(insert("weather_samples", {"station": "cerro", "sampled_at": now, "pwv_mm": 0.42}))

    It connects when it is first used, and again after each interruption. Every method raises OpsDbError.
    """

    def __init__(
        self,
        address: str,
        *,
        token: Optional[Token] = None,
        tls: Union[Tls, bool, None] = None,
        timeout: float = 30.0,
        retry: RetryPolicy = RetryPolicy(),
        allow_plaintext_token: bool = False,
    ) -> None:
        """
        address: host:port of the service.
        token: sent with each call; a function is asked for each attempt, for tokens that expire.
        tls: Tls(ca_file=..., cert_file=..., key_file=...), or True for the authorities that come with gRPC.
        timeout: seconds for a call with all its attempts; for streams, how long they are tried again without success.
        allow_plaintext_token: send the token without TLS to another host.
        """
        self._target = Target(address, token, tls, allow_plaintext_token)
        self._channel = self._target.open(grpc)
        self._stubs = Stubs(self._channel)
        self._timeout = timeout
        self._policy = retry
        self._catalog = Catalog(retry)

    @property
    def channel(self) -> grpc.Channel:
        """For the generated stubs in opsdb.v1, for what has no method here."""
        return self._channel

    def metadata(self) -> list[tuple[str, str]]:
        """The metadata with the token, for calls through the generated stubs."""
        return self._target.metadata()

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> OpsDb:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(
        self,
        *mutations: Mutation,
        wait_for: str = "accepted",
        mode: str = "critical",
        write_id: Union[uuid.UUID, str, None] = None,
        timeout: Optional[float] = None,
    ) -> WriteResult:
        """Stores one atomic write: all of the mutations, in order, or none.

        wait_for: "accepted" answers once it is durable at this site, "applied" once the main database has it,
            "replicated" once this site's replica has. Running out of time there is no error: see wait_timed_out.
        mode: "direct" writes to the site's local database; an error where that is a replica.
        write_id: the same id with the same content is one write, however often it is sent. Made here if not given, and
            kept over all attempts. An error has it, for trying again later.

        Raises WriteRejected where the main database has refused the write for good.
        """
        return self._run(
            writing.write(
                self._catalog,
                self._policy,
                mutations,
                write_id=write_id,
                mode=mode,
                wait_for=wait_for,
                timeout=self._within(timeout),
            )
        )

    def get_write(self, write_id: Union[uuid.UUID, str], *, timeout: Optional[float] = None) -> WriteStatus:
        """The outcome of a write, also long after. Raises NotFound for an id that nobody knows."""
        return self._run(writing.get_write(self._policy, write_id, self._within(timeout)))

    def query(
        self,
        table: str,
        columns: Sequence[str] = (),
        *,
        where: Optional[Where] = None,
        order_by: Union[OrderBy, Sequence[OrderBy]] = (),
        limit: Optional[int] = None,
        aggregates: Optional[Mapping[str, AggregateSpec]] = None,
        group_by: Sequence[str] = (),
        related: Sequence[Related] = (),
        consistency: str = "merged",
        token: Optional[bytes] = None,
        max_age: Union[timedelta, float, None] = None,
        batch_size: int = 0,
        timeout: Optional[float] = None,
    ) -> QueryResult:
        """Reads a table; the result is an iterator of rows, and asks when it is first used.

        where: col("status") == "RUNNING", joined with &, | and ~; or a dict of columns and the values they must have.
        order_by: columns, "-column" for descending; or asc and desc. An ordered result goes on after an interruption;
            another one begins again as long as no row was given.
        aggregates: name to function and column: {"files": "count", "bytes": ("sum", "size_bytes")}; with group_by.
        related: rows of other tables that come with each row, in row.related.
        consistency: "merged" includes this site's writes that are still on their way; "local" is the replica alone;
            "main" is the main database, over the link.
        token: of a write or of a header; reads at least as fresh as that.
        max_age: a result may be given that was read so many seconds ago.
        timeout: seconds for all of the result; without it, it may take as long as it does.
        """
        asked = TableQuery(table, columns, where, order_by, limit, aggregates, group_by, related)
        return self._query(asked, ReadOptions(consistency, token, max_age, batch_size, timeout))

    def sql(
        self,
        statement: str,
        *parameters: Any,
        limit: Optional[int] = None,
        consistency: str = "merged",
        token: Optional[bytes] = None,
        max_age: Union[timedelta, float, None] = None,
        batch_size: int = 0,
        timeout: Optional[float] = None,
    ) -> QueryResult:
        """Reads by one SQL statement with parameters $1, $2 and so on, where the service allows it."""
        asked = SqlQuery(statement, parameters, limit)
        return self._query(asked, ReadOptions(consistency, token, max_age, batch_size, timeout))

    def watch_replication(
        self,
        *,
        write_id: Union[uuid.UUID, str, None] = None,
        lsn: Optional[str] = None,
        until_done: bool = False,
        heartbeat: Optional[float] = None,
    ) -> Iterator[ReplicationEvent]:
        """The state of replication at once, then each change, then heartbeats; follows a write or an LSN.

        until_done: ends once the write is replicated or rejected and the LSN is replayed.
        heartbeat: seconds between heartbeats. Default 10.
        """
        return self._stream(
            watching.watch_replication(
                self._policy,
                write_id=write_id,
                lsn=lsn,
                until_done=until_done,
                heartbeat=heartbeat,
                patience=self._timeout,
            )
        )

    def watch_writes(
        self,
        *,
        report: str = "replicated",
        after_position: Optional[str] = None,
        rejected_only: bool = False,
    ) -> Iterator[WriteStatus]:
        """The outcome of each of the site's writes, once and in order, as soon as it is "applied" or "replicated".

        after_position: goes on after the write with this position. Without it: writes from now on.
        """
        return self._stream(
            watching.watch_writes(
                self._policy,
                report=report,
                after_position=after_position,
                rejected_only=rejected_only,
                patience=self._timeout,
            )
        )

    def tables(self, *, timeout: Optional[float] = None) -> list[catalog_service_pb2.TableName]:
        """What can be written and read."""
        return self._run(self._catalog.tables(Deadline(self._within(timeout))))

    def describe(self, table: str, *, timeout: Optional[float] = None) -> catalog_service_pb2.Table:
        """A table's columns, keys and constraints."""
        return self._run(self._catalog.describe(table, Deadline(self._within(timeout))))

    def _within(self, timeout: Optional[float]) -> float:
        return self._timeout if timeout is None else timeout

    def _query(self, asked: Union[TableQuery, SqlQuery], options: ReadOptions) -> QueryResult:
        return QueryResult(self._stream(reading.query(self._catalog, self._policy, asked, options, self._timeout)))

    def _begin(self, step: Union[Call, Open]) -> Any:
        method = self._stubs.method(step.method.service, step.method.name)
        ready = isinstance(step, Call) and step.wait_for_ready
        return method(step.request, timeout=step.timeout, metadata=self._target.metadata(), wait_for_ready=ready)

    def _run(self, steps: Steps[T]) -> T:
        """Carries the steps of a unary call out."""
        answer: Any = None
        error: Optional[OpsDbError] = None
        while True:
            try:
                step = steps.send(answer) if error is None else steps.throw(error)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            answer = error = None
            if isinstance(step, Pause):
                time.sleep(step.seconds)
            elif isinstance(step, Call):
                try:
                    answer = self._begin(step)
                except grpc.RpcError as failed:
                    error = from_rpc_error(failed)

    def _stream(self, steps: Steps[None]) -> Iterator[Any]:
        """Carries the steps of a stream out; gives what they emit."""
        answer: Any = None
        error: Optional[OpsDbError] = None
        stream: Any = None
        try:
            while True:
                try:
                    step = steps.send(answer) if error is None else steps.throw(error)
                except StopIteration:
                    return
                answer = error = None
                if isinstance(step, Emit):
                    yield step.item
                elif isinstance(step, Pause):
                    time.sleep(step.seconds)
                else:
                    try:
                        if isinstance(step, Open):
                            stream = self._begin(step)
                        elif isinstance(step, Call):
                            answer = self._begin(step)
                        else:
                            answer = next(stream, None)
                    except grpc.RpcError as failed:
                        error = from_rpc_error(failed)
        finally:
            steps.close()
            if stream is not None:
                stream.cancel()


class QueryResult:
    """The rows of a query, once: iterate over it, or take all of it by all, to_columns or to_pandas."""

    def __init__(self, parts: Iterator[Any]) -> None:
        self._parts = parts
        self._header: Optional[QueryHeader] = None
        self._rows = self._read()

    def __iter__(self) -> Iterator[Row]:
        return self._rows

    def __next__(self) -> Row:
        return next(self._rows)

    def header(self) -> QueryHeader:
        """The columns, and what was read."""
        if self._header is None:
            first = next(self._parts)
            assert isinstance(first, QueryHeader)
            self._header = first
        return self._header

    def all(self) -> list[Row]:
        """All rows that are left."""
        return list(self._rows)

    def one(self) -> Row:
        """The only row. Raises ValueError where there is none, or more than one."""
        (row,) = self._rows
        return row

    def to_columns(self) -> dict[str, list[Any]]:
        """The rows that are left, by column."""
        rows = self.all()
        return to_columns(self.header().columns, rows)

    def to_pandas(self) -> Any:
        """The rows that are left as a pandas.DataFrame."""
        rows = self.all()
        return to_pandas(self.header().columns, rows)

    def close(self) -> None:
        """Ends a result of which not all is wanted."""
        self._parts.close()  # type: ignore[attr-defined]

    def __enter__(self) -> QueryResult:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> Iterator[Row]:
        for part in self._parts:
            if isinstance(part, QueryHeader):
                self._header = part
            else:
                yield from part
