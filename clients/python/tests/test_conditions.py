"""Conditions and orders of queries."""

from __future__ import annotations

import pytest
from google.protobuf import text_format
from opsdb import asc, col, desc
from opsdb.conditions import to_condition, to_order
from opsdb.v1 import query_pb2


def same_message(condition, text, types={}):
    expected = text_format.Parse(text, query_pb2.Condition())
    assert to_condition(condition).to_message(types, "where") == expected


def test_operators_make_comparisons():
    same_message(
        col("a") == 1, 'comparison { column: "a" operator: COMPARISON_OPERATOR_EQUAL value { int64_value: 1 } }'
    )
    same_message(
        col("a") != "x",
        'comparison { column: "a" operator: COMPARISON_OPERATOR_NOT_EQUAL value { string_value: "x" } }',
    )
    same_message(
        (col("a") < 1) & ~(col("b") >= 2) | col("c").in_([1, None]),
        """or {
          conditions { and {
            conditions { comparison { column: "a" operator: COMPARISON_OPERATOR_LESS value { int64_value: 1 } } }
            conditions { not {
              comparison { column: "b" operator: COMPARISON_OPERATOR_GREATER_OR_EQUAL value { int64_value: 2 } }
            } }
          } }
          conditions { in { column: "c" values { int64_value: 1 } values { null_value: NULL_VALUE } } }
        }""",
    )
    same_message(col("a").between(1, 2), 'between { column: "a" low { int64_value: 1 } high { int64_value: 2 } }')
    same_message(
        col("range").compare("ADJACENT", "[1,2)"),
        'comparison { column: "range" operator: COMPARISON_OPERATOR_ADJACENT value { string_value: "[1,2)" } }',
    )


def test_a_comparison_with_none_asks_for_null():
    same_message(col("a") == None, 'is_null { column: "a" }')  # noqa: E711
    same_message(col("a") != None, 'not { is_null { column: "a" } }')  # noqa: E711
    same_message(
        {"a": None, "b": 1},
        """and {
      conditions { is_null { column: "a" } }
      conditions { comparison { column: "b" operator: COMPARISON_OPERATOR_EQUAL value { int64_value: 1 } } }
    }""",
    )


def test_what_lies_under_a_path_is_compared_as_json_and_a_str_as_text():
    same_message(
        col("tuning")["steps"][0] == 1.5,
        """comparison {
          column: "tuning" operator: COMPARISON_OPERATOR_EQUAL value { json_value: "1.5" } path: "steps" path: "0"
        }""",
    )
    same_message(
        col("tuning")["line"] == "CO 7-6",
        """comparison {
          column: "tuning" operator: COMPARISON_OPERATOR_EQUAL value { string_value: "CO 7-6" } path: "line"
        }""",
    )


def test_a_list_is_sent_as_its_column_says():
    contains = col("a").contains([1])
    assert contains.needs_types() and (~contains & (col("b") == 1)).needs_types()
    assert not col("a").in_([1, 2]).needs_types()
    text = 'comparison { column: "a" operator: COMPARISON_OPERATOR_CONTAINS value { %s } }'
    same_message(contains, text % 'json_value: "[1]"', {"a": "jsonb"})
    same_message(contains, text % "array_value { values { int64_value: 1 } }", {"a": "bigint[]"})


def test_conditions_are_not_joined_with_words():
    with pytest.raises(TypeError, match="&"):
        col("a") == 1 and col("b") == 2
    with pytest.raises(ValueError, match="no such operator"):
        col("a").compare("LIKELY", 1)
    with pytest.raises(TypeError, match="where is a condition"):
        to_condition("a = 1")


def test_orders_are_names_or_terms():
    assert list(to_order("-a")) == [query_pb2.OrderTerm(column="a", descending=True)]
    assert list(to_order(["a", asc("b", nulls="first"), desc("c", nulls="last")])) == [
        query_pb2.OrderTerm(column="a"),
        query_pb2.OrderTerm(column="b", nulls=query_pb2.NULLS_ORDER_FIRST),
        query_pb2.OrderTerm(column="c", descending=True, nulls=query_pb2.NULLS_ORDER_LAST),
    ]
