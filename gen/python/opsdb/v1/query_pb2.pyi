from google.protobuf import duration_pb2 as _duration_pb2
from opsdb.v1 import value_pb2 as _value_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

AGGREGATE_FUNCTION_AVG: AggregateFunction
AGGREGATE_FUNCTION_COUNT: AggregateFunction
AGGREGATE_FUNCTION_COUNT_DISTINCT: AggregateFunction
AGGREGATE_FUNCTION_MAX: AggregateFunction
AGGREGATE_FUNCTION_MIN: AggregateFunction
AGGREGATE_FUNCTION_SUM: AggregateFunction
AGGREGATE_FUNCTION_UNSPECIFIED: AggregateFunction
COMPARISON_OPERATOR_ADJACENT: ComparisonOperator
COMPARISON_OPERATOR_CONTAINED_BY: ComparisonOperator
COMPARISON_OPERATOR_CONTAINS: ComparisonOperator
COMPARISON_OPERATOR_EQUAL: ComparisonOperator
COMPARISON_OPERATOR_GREATER: ComparisonOperator
COMPARISON_OPERATOR_GREATER_OR_EQUAL: ComparisonOperator
COMPARISON_OPERATOR_HAS_ALL_KEYS: ComparisonOperator
COMPARISON_OPERATOR_HAS_ANY_KEY: ComparisonOperator
COMPARISON_OPERATOR_HAS_KEY: ComparisonOperator
COMPARISON_OPERATOR_ILIKE: ComparisonOperator
COMPARISON_OPERATOR_IS_NOT_DISTINCT_FROM: ComparisonOperator
COMPARISON_OPERATOR_JSON_PATH_EXISTS: ComparisonOperator
COMPARISON_OPERATOR_LESS: ComparisonOperator
COMPARISON_OPERATOR_LESS_OR_EQUAL: ComparisonOperator
COMPARISON_OPERATOR_LIKE: ComparisonOperator
COMPARISON_OPERATOR_MATCHES: ComparisonOperator
COMPARISON_OPERATOR_NOT_EQUAL: ComparisonOperator
COMPARISON_OPERATOR_OVERLAPS: ComparisonOperator
COMPARISON_OPERATOR_REGEX: ComparisonOperator
COMPARISON_OPERATOR_REGEX_IGNORE_CASE: ComparisonOperator
COMPARISON_OPERATOR_STRICTLY_LEFT: ComparisonOperator
COMPARISON_OPERATOR_STRICTLY_RIGHT: ComparisonOperator
COMPARISON_OPERATOR_UNSPECIFIED: ComparisonOperator
CONSISTENCY_LOCAL: Consistency
CONSISTENCY_MAIN: Consistency
CONSISTENCY_MERGED: Consistency
CONSISTENCY_UNSPECIFIED: Consistency
DESCRIPTOR: _descriptor.FileDescriptor
NULLS_ORDER_FIRST: NullsOrder
NULLS_ORDER_LAST: NullsOrder
NULLS_ORDER_UNSPECIFIED: NullsOrder

class Aggregate(_message.Message):
    __slots__ = ["column", "function", "name"]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    column: str
    function: AggregateFunction
    name: str
    def __init__(self, function: _Optional[_Union[AggregateFunction, str]] = ..., column: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class Between(_message.Message):
    __slots__ = ["column", "high", "low"]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    column: str
    high: _value_pb2.Value
    low: _value_pb2.Value
    def __init__(self, column: _Optional[str] = ..., low: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., high: _Optional[_Union[_value_pb2.Value, _Mapping]] = ...) -> None: ...

class Column(_message.Message):
    __slots__ = ["name", "type"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ...) -> None: ...

class Comparison(_message.Message):
    __slots__ = ["column", "operator", "path", "value"]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    column: str
    operator: ComparisonOperator
    path: _containers.RepeatedScalarFieldContainer[str]
    value: _value_pb2.Value
    def __init__(self, column: _Optional[str] = ..., operator: _Optional[_Union[ComparisonOperator, str]] = ..., value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., path: _Optional[_Iterable[str]] = ...) -> None: ...

class Condition(_message.Message):
    __slots__ = ["between", "comparison", "is_null"]
    AND_FIELD_NUMBER: _ClassVar[int]
    BETWEEN_FIELD_NUMBER: _ClassVar[int]
    COMPARISON_FIELD_NUMBER: _ClassVar[int]
    IN_FIELD_NUMBER: _ClassVar[int]
    IS_NULL_FIELD_NUMBER: _ClassVar[int]
    NOT_FIELD_NUMBER: _ClassVar[int]
    OR_FIELD_NUMBER: _ClassVar[int]
    between: Between
    comparison: Comparison
    is_null: NullTest
    def __init__(self, comparison: _Optional[_Union[Comparison, _Mapping]] = ..., is_null: _Optional[_Union[NullTest, _Mapping]] = ..., between: _Optional[_Union[Between, _Mapping]] = ..., **kwargs) -> None: ...

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
    __slots__ = ["column", "descending", "nulls"]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    DESCENDING_FIELD_NUMBER: _ClassVar[int]
    NULLS_FIELD_NUMBER: _ClassVar[int]
    column: str
    descending: bool
    nulls: NullsOrder
    def __init__(self, column: _Optional[str] = ..., descending: bool = ..., nulls: _Optional[_Union[NullsOrder, str]] = ...) -> None: ...

class QueryHeader(_message.Message):
    __slots__ = ["age", "buffer_unreachable", "columns", "consistency", "lsn", "pending_writes", "related", "replica_age", "timeline", "token"]
    AGE_FIELD_NUMBER: _ClassVar[int]
    BUFFER_UNREACHABLE_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_FIELD_NUMBER: _ClassVar[int]
    LSN_FIELD_NUMBER: _ClassVar[int]
    PENDING_WRITES_FIELD_NUMBER: _ClassVar[int]
    RELATED_FIELD_NUMBER: _ClassVar[int]
    REPLICA_AGE_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    age: _duration_pb2.Duration
    buffer_unreachable: bool
    columns: _containers.RepeatedCompositeFieldContainer[Column]
    consistency: Consistency
    lsn: str
    pending_writes: int
    related: _containers.RepeatedCompositeFieldContainer[RelatedHeader]
    replica_age: _duration_pb2.Duration
    timeline: int
    token: bytes
    def __init__(self, columns: _Optional[_Iterable[_Union[Column, _Mapping]]] = ..., consistency: _Optional[_Union[Consistency, str]] = ..., lsn: _Optional[str] = ..., timeline: _Optional[int] = ..., pending_writes: _Optional[int] = ..., token: _Optional[bytes] = ..., replica_age: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., buffer_unreachable: bool = ..., related: _Optional[_Iterable[_Union[RelatedHeader, _Mapping]]] = ..., age: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class QueryRequest(_message.Message):
    __slots__ = ["aggregates", "batch_size", "columns", "consistency", "group_by", "limit", "max_age", "order_by", "parameters", "related", "resume_after", "sql", "table", "token", "where"]
    AGGREGATES_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    RELATED_FIELD_NUMBER: _ClassVar[int]
    RESUME_AFTER_FIELD_NUMBER: _ClassVar[int]
    SQL_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    WHERE_FIELD_NUMBER: _ClassVar[int]
    aggregates: _containers.RepeatedCompositeFieldContainer[Aggregate]
    batch_size: int
    columns: _containers.RepeatedScalarFieldContainer[str]
    consistency: Consistency
    group_by: _containers.RepeatedScalarFieldContainer[str]
    limit: int
    max_age: _duration_pb2.Duration
    order_by: _containers.RepeatedCompositeFieldContainer[OrderTerm]
    parameters: _containers.RepeatedCompositeFieldContainer[_value_pb2.Value]
    related: _containers.RepeatedCompositeFieldContainer[Related]
    resume_after: bytes
    sql: str
    table: str
    token: bytes
    where: Condition
    def __init__(self, table: _Optional[str] = ..., columns: _Optional[_Iterable[str]] = ..., where: _Optional[_Union[Condition, _Mapping]] = ..., order_by: _Optional[_Iterable[_Union[OrderTerm, _Mapping]]] = ..., limit: _Optional[int] = ..., consistency: _Optional[_Union[Consistency, str]] = ..., token: _Optional[bytes] = ..., batch_size: _Optional[int] = ..., resume_after: _Optional[bytes] = ..., aggregates: _Optional[_Iterable[_Union[Aggregate, _Mapping]]] = ..., group_by: _Optional[_Iterable[str]] = ..., related: _Optional[_Iterable[_Union[Related, _Mapping]]] = ..., sql: _Optional[str] = ..., parameters: _Optional[_Iterable[_Union[_value_pb2.Value, _Mapping]]] = ..., max_age: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

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

class Related(_message.Message):
    __slots__ = ["columns", "foreign_key", "limit", "order_by", "table", "where"]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    FOREIGN_KEY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    WHERE_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedScalarFieldContainer[str]
    foreign_key: str
    limit: int
    order_by: _containers.RepeatedCompositeFieldContainer[OrderTerm]
    table: str
    where: Condition
    def __init__(self, table: _Optional[str] = ..., foreign_key: _Optional[str] = ..., columns: _Optional[_Iterable[str]] = ..., where: _Optional[_Union[Condition, _Mapping]] = ..., order_by: _Optional[_Iterable[_Union[OrderTerm, _Mapping]]] = ..., limit: _Optional[int] = ...) -> None: ...

class RelatedHeader(_message.Message):
    __slots__ = ["columns", "table"]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedCompositeFieldContainer[Column]
    table: str
    def __init__(self, table: _Optional[str] = ..., columns: _Optional[_Iterable[_Union[Column, _Mapping]]] = ...) -> None: ...

class RelatedRows(_message.Message):
    __slots__ = ["rows"]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[Row]
    def __init__(self, rows: _Optional[_Iterable[_Union[Row, _Mapping]]] = ...) -> None: ...

class Row(_message.Message):
    __slots__ = ["related", "values"]
    RELATED_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    related: _containers.RepeatedCompositeFieldContainer[RelatedRows]
    values: _containers.RepeatedCompositeFieldContainer[_value_pb2.Value]
    def __init__(self, values: _Optional[_Iterable[_Union[_value_pb2.Value, _Mapping]]] = ..., related: _Optional[_Iterable[_Union[RelatedRows, _Mapping]]] = ...) -> None: ...

class RowBatch(_message.Message):
    __slots__ = ["resume_point", "rows"]
    RESUME_POINT_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    resume_point: bytes
    rows: _containers.RepeatedCompositeFieldContainer[Row]
    def __init__(self, rows: _Optional[_Iterable[_Union[Row, _Mapping]]] = ..., resume_point: _Optional[bytes] = ...) -> None: ...

class Consistency(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class ComparisonOperator(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class NullsOrder(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class AggregateFunction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
