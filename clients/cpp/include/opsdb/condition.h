#pragma once

#include <opsdb/v1/query.pb.h>
#include <opsdb/value.h>

#include <string>
#include <utility>
#include <vector>

namespace opsdb {

/** A condition on the rows of a query: column("station") == "cerro" && column("pwv_mm") < 0.5. */
class Condition {
 public:
  explicit Condition(v1::Condition condition) : proto_(std::move(condition)) {}

  friend Condition operator&&(Condition a, Condition b) {
    v1::Condition both;
    *both.mutable_and_()->add_conditions() = std::move(a.proto_);
    *both.mutable_and_()->add_conditions() = std::move(b.proto_);
    return Condition(std::move(both));
  }
  friend Condition operator||(Condition a, Condition b) {
    v1::Condition either;
    *either.mutable_or_()->add_conditions() = std::move(a.proto_);
    *either.mutable_or_()->add_conditions() = std::move(b.proto_);
    return Condition(std::move(either));
  }
  friend Condition operator!(Condition condition) {
    v1::Condition opposite;
    *opposite.mutable_not_() = std::move(condition.proto_);
    return Condition(std::move(opposite));
  }

  const v1::Condition& proto() const { return proto_; }

 private:
  v1::Condition proto_;
};

/** A column in a condition. Comparison with NULL is unknown, as in SQL: use is_null and same_as. */
class column {
 public:
  explicit column(std::string name) : name_(std::move(name)) {}

  Condition compare(v1::ComparisonOperator with, const Value& value) const {
    v1::Condition made;
    auto* comparison = made.mutable_comparison();
    comparison->set_column(name_);
    comparison->set_operator_(with);
    *comparison->mutable_value() = value.proto();
    return Condition(std::move(made));
  }
  Condition same_as(const Value& value) const {
    return compare(v1::COMPARISON_OPERATOR_IS_NOT_DISTINCT_FROM, value);
  }
  Condition like(const std::string& pattern) const { return compare(v1::COMPARISON_OPERATOR_LIKE, pattern); }
  Condition contains(const Value& value) const { return compare(v1::COMPARISON_OPERATOR_CONTAINS, value); }
  Condition between(const Value& low, const Value& high) const {
    v1::Condition made;
    auto* between = made.mutable_between();
    between->set_column(name_);
    *between->mutable_low() = low.proto();
    *between->mutable_high() = high.proto();
    return Condition(std::move(made));
  }
  Condition in(const std::vector<Value>& values) const {
    v1::Condition made;
    made.mutable_in()->set_column(name_);
    for (const auto& value : values) *made.mutable_in()->add_values() = value.proto();
    return Condition(std::move(made));
  }
  Condition is_null() const {
    v1::Condition made;
    made.mutable_is_null()->set_column(name_);
    return Condition(std::move(made));
  }

  friend Condition operator==(const column& a, const Value& b) { return a.compare(v1::COMPARISON_OPERATOR_EQUAL, b); }
  friend Condition operator!=(const column& a, const Value& b) {
    return a.compare(v1::COMPARISON_OPERATOR_NOT_EQUAL, b);
  }
  friend Condition operator<(const column& a, const Value& b) { return a.compare(v1::COMPARISON_OPERATOR_LESS, b); }
  friend Condition operator<=(const column& a, const Value& b) {
    return a.compare(v1::COMPARISON_OPERATOR_LESS_OR_EQUAL, b);
  }
  friend Condition operator>(const column& a, const Value& b) { return a.compare(v1::COMPARISON_OPERATOR_GREATER, b); }
  friend Condition operator>=(const column& a, const Value& b) {
    return a.compare(v1::COMPARISON_OPERATOR_GREATER_OR_EQUAL, b);
  }

 private:
  std::string name_;
};

}  // namespace opsdb
