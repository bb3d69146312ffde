#pragma once

#include <opsdb/condition.h>
#include <opsdb/v1/query.pb.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace opsdb {

/** A query of one table, or one SQL statement. What has no method here is set in the request itself. */
class Query {
 public:
  /** All rows and columns, merged with the site's pending writes. */
  explicit Query(std::string table) { request_.set_table(std::move(table)); }

  /** One read-only statement with $1, $2 and so on, where the server allows SQL. */
  static Query sql(std::string statement, const std::vector<Value>& parameters = {}) {
    Query query{""};
    query.request_.set_sql(std::move(statement));
    for (const auto& each : parameters) *query.request_.add_parameters() = each.proto();
    return query;
  }

  Query& columns(const std::vector<std::string>& names) {
    request_.clear_columns();
    for (const auto& name : names) request_.add_columns(name);
    return *this;
  }
  Query& where(const Condition& condition) {
    *request_.mutable_where() = condition.proto();
    return *this;
  }
  /** Also makes the result one that goes on after an interruption. */
  Query& order_by(std::string column, bool descending = false) {
    auto* term = request_.add_order_by();
    term->set_column(std::move(column));
    term->set_descending(descending);
    return *this;
  }
  Query& limit(std::uint64_t rows) {
    request_.set_limit(rows);
    return *this;
  }
  Query& consistency(v1::Consistency consistency) {
    request_.set_consistency(consistency);
    return *this;
  }
  /** At least as fresh as the write or the query that this token comes from. */
  Query& at_least(std::string token) {
    request_.set_token(std::move(token));
    return *this;
  }

  v1::QueryRequest& request() { return request_; }
  const v1::QueryRequest& request() const { return request_; }

 private:
  v1::QueryRequest request_;
};

}  // namespace opsdb
