from google.protobuf import duration_pb2 as _duration_pb2
from opsdb.v1 import value_pb2 as _value_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

COMPARISON_OPERATOR_EQUAL: ComparisonOperator
COMPARISON_OPERATOR_GREATER: ComparisonOperator
COMPARISON_OPERATOR_GREATER_OR_EQUAL: ComparisonOperator
COMPARISON_OPERATOR_LESS: ComparisonOperator
COMPARISON_OPERATOR_LESS_OR_EQUAL: ComparisonOperator
COMPARISON_OPERATOR_LIKE: ComparisonOperator
COMPARISON_OPERATOR_NOT_EQUAL: ComparisonOperator
COMPARISON_OPERATOR_UNSPECIFIED: ComparisonOperator
CONSISTENCY_LOCAL: Consistency
CONSISTENCY_MAIN: Consistency
CONSISTENCY_MERGED: Consistency
CONSISTENCY_UNSPECIFIED: Consistency
DESCRIPTOR: _descriptor.FileDescriptor

class Column(_message.Message):
    __slots__ = ["name", "type"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ...) -> None: ...

class Comparison(_message.Message):
    __slots__ = ["column", "operator", "value"]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    column: str
    operator: ComparisonOperator
    value: _value_pb2.Value
    def __init__(self, column: _Optional[str] = ..., operator: _Optional[_Union[ComparisonOperator, str]] = ..., value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ...) -> None: ...

class Condition(_message.Message):
    __slots__ = ["comparison", "is_null"]
    AND_FIELD_NUMBER: _ClassVar[int]
    COMPARISON_FIELD_NUMBER: _ClassVar[int]
    IN_FIELD_NUMBER: _ClassVar[int]
    IS_NULL_FIELD_NUMBER: _ClassVar[int]
    NOT_FIELD_NUMBER: _ClassVar[int]
    OR_FIELD_NUMBER: _ClassVar[int]
    comparison: Comparison
    is_null: NullTest
    def __init__(self, comparison: _Optional[_Union[Comparison, _Mapping]] = ..., is_null: _Optional[_Union[NullTest, _Mapping]] = ..., **kwargs) -> None: ...

class ConditionList(_message.Message):
    __slots__ = ["conditions"]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    conditions: _containers.RepeatedCompositeFieldContainer[Condition]
    def __init__(self, conditions: _Optional[_Iterable[_Union[Condition, _Mapping]]] = ...) -> None: ...

class InList(_message.Message):
    __slots__ = ["column", "values"]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    column: str
    values: _containers.RepeatedCompositeFieldContainer[_value_pb2.Value]
    def __init__(self, column: _Optional[str] = ..., values: _Optional[_Iterable[_Union[_value_pb2.Value, _Mapping]]] = ...) -> None: ...

class NullTest(_message.Message):
    __slots__ = ["column"]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    column: str
    def __init__(self, column: _Optional[str] = ...) -> None: ...

class OrderTerm(_message.Message):
    __slots__ = ["column", "descending"]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    DESCENDING_FIELD_NUMBER: _ClassVar[int]
    column: str
    descending: bool
    def __init__(self, column: _Optional[str] = ..., descending: bool = ...) -> None: ...

class QueryHeader(_message.Message):
    __slots__ = ["buffer_unreachable", "columns", "consistency", "lsn", "pending_writes", "replica_age", "timeline", "token"]
    BUFFER_UNREACHABLE_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_FIELD_NUMBER: _ClassVar[int]
    LSN_FIELD_NUMBER: _ClassVar[int]
    PENDING_WRITES_FIELD_NUMBER: _ClassVar[int]
    REPLICA_AGE_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    buffer_unreachable: bool
    columns: _containers.RepeatedCompositeFieldContainer[Column]
    consistency: Consistency
    lsn: str
    pending_writes: int
    replica_age: _duration_pb2.Duration
    timeline: int
    token: bytes
    def __init__(self, columns: _Optional[_Iterable[_Union[Column, _Mapping]]] = ..., consistency: _Optional[_Union[Consistency, str]] = ..., lsn: _Optional[str] = ..., timeline: _Optional[int] = ..., pending_writes: _Optional[int] = ..., token: _Optional[bytes] = ..., replica_age: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., buffer_unreachable: bool = ...) -> None: ...

class QueryRequest(_message.Message):
    __slots__ = ["batch_size", "columns", "consistency", "limit", "order_by", "table", "token", "where"]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    WHERE_FIELD_NUMBER: _ClassVar[int]
    batch_size: int
    columns: _containers.RepeatedScalarFieldContainer[str]
    consistency: Consistency
    limit: int
    order_by: _containers.RepeatedCompositeFieldContainer[OrderTerm]
    table: str
    token: bytes
    where: Condition
    def __init__(self, table: _Optional[str] = ..., columns: _Optional[_Iterable[str]] = ..., where: _Optional[_Union[Condition, _Mapping]] = ..., order_by: _Optional[_Iterable[_Union[OrderTerm, _Mapping]]] = ..., limit: _Optional[int] = ..., consistency: _Optional[_Union[Consistency, str]] = ..., token: _Optional[bytes] = ..., batch_size: _Optional[int] = ...) -> None: ...

class QueryResponse(_message.Message):
    __slots__ = ["batch", "header", "trailer"]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    HEADER_FIELD_NUMBER: _ClassVar[int]
    TRAILER_FIELD_NUMBER: _ClassVar[int]
    batch: RowBatch
    header: QueryHeader
    trailer: QueryTrailer
    def __init__(self, header: _Optional[_Union[QueryHeader, _Mapping]] = ..., batch: _Optional[_Union[RowBatch, _Mapping]] = ..., trailer: _Optional[_Union[QueryTrailer, _Mapping]] = ...) -> None: ...

class QueryTrailer(_message.Message):
    __slots__ = ["row_count"]
    ROW_COUNT_FIELD_NUMBER: _ClassVar[int]
    row_count: int
    def __init__(self, row_count: _Optional[int] = ...) -> None: ...

class Row(_message.Message):
    __slots__ = ["values"]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[_value_pb2.Value]
    def __init__(self, values: _Optional[_Iterable[_Union[_value_pb2.Value, _Mapping]]] = ...) -> None: ...

class RowBatch(_message.Message):
    __slots__ = ["rows"]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[Row]
    def __init__(self, rows: _Optional[_Iterable[_Union[Row, _Mapping]]] = ...) -> None: ...

class Consistency(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class ComparisonOperator(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
