#include <opsdb/opsdb.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <set>
#include <thread>

#include "checks.h"

using opsdb::Value;
using Kind = opsdb::v1::Value::KindCase;

static Registered kinds("each C++ type goes as the kind that keeps it exact", [] {
  same(Value(nullptr).proto().kind_case(), Kind::kNullValue, "nullptr");
  same(Value(std::optional<int>()).proto().kind_case(), Kind::kNullValue, "an empty optional");
  same(Value(std::optional<int>(3)).proto().int64_value(), 3, "an optional");
  same(Value(true).proto().bool_value(), true, "bool");
  same(Value(std::int16_t{-7}).proto().int64_value(), -7, "int16_t");
  same(Value(std::numeric_limits<std::int64_t>::min()).proto().int64_value(), std::numeric_limits<std::int64_t>::min(),
       "int64_t");
  same(Value(std::numeric_limits<std::uint64_t>::max()).proto().numeric_value(), "18446744073709551615", "uint64_t");
  same(Value(0.1).proto().double_value(), 0.1, "double");
  same(Value("text").proto().string_value(), "text", "text");
  same(Value(opsdb::Bytes{std::string("\0\xff", 2)}).proto().bytes_value(), std::string("\0\xff", 2), "bytes");
  same(Value(std::vector<std::uint8_t>{1, 2}).proto().bytes_value(), "\1\2", "a vector of bytes");
  same(Value(opsdb::Json{"{}"}).proto().json_value(), "{}", "json");
  same(Value(opsdb::Numeric{"12.340"}).proto().numeric_value(), "12.340", "numeric");
  same(Value(opsdb::Uuid()).proto().uuid_value(), "00000000-0000-0000-0000-000000000000", "uuid");
  const Value matrix(std::vector<std::vector<double>>{{1, 2}, {3}});
  same(matrix.proto().array_value().values(1).array_value().values(0).double_value(), 3.0, "an array of arrays");
  same(Value(std::vector<bool>{false, true}).proto().array_value().values(1).bool_value(), true, "vector<bool>");
});

static Registered times("a time point keeps its microseconds, also before 1970", [] {
  using namespace std::chrono;
  const auto at = opsdb::Timestamp(microseconds(-1'500'000));
  const Value value(at);
  same(value.proto().timestamp_value().seconds(), -2, "seconds");
  same(value.proto().timestamp_value().nanos(), 500'000'000, "nanoseconds");
  holds(value.as<opsdb::Timestamp>() == at, "read back");
  const Value fine(time_point<system_clock, nanoseconds>(nanoseconds(1'999)));
  same(fine.proto().timestamp_value().nanos(), 1'000, "what is finer than a microsecond");
});

static Registered reading("values are read as C++ types, and what does not fit is an error", [] {
  same(Value(300).as<int>(), 300, "int");
  same(Value(7).as<double>(), 7.0, "an integer as double");
  same(Value(opsdb::Numeric{"0.480"}).as<double>(), 0.48, "numeric as double");
  same(Value(opsdb::Numeric{"0.480"}).as<std::string>(), "0.480", "numeric as text");
  same(Value(std::vector<int>{1, 2}).as<std::vector<int>>().at(1), 2, "array");
  same(Value(std::vector<std::uint8_t>{9}).as<std::vector<std::uint8_t>>().at(0), 9, "bytes");
  same(Value(nullptr).as<std::optional<int>>().has_value(), false, "NULL as optional");
  same(Value(5).as<std::optional<int>>().value(), 5, "a value as optional");
  thrown<opsdb::WrongType>([] { Value(300).as<std::uint8_t>(); });
  thrown<opsdb::WrongType>([] { Value(-1).as<std::uint64_t>(); });
  thrown<opsdb::WrongType>([] { Value("3").as<int>(); });
  const auto error = thrown<opsdb::WrongType>([] { Value(nullptr).as<double>(); });
  same(std::string(error.what()), "the value is NULL, not a number", "the message");
});

static Registered uuids("write ids are UUIDs of version 7, all different, in the order of time", [] {
  std::set<opsdb::Uuid> made;
  for (int i = 0; i < 10'000; ++i) made.insert(opsdb::Uuid::v7());
  same(made.size(), 10'000U, "different ids");
  const opsdb::Uuid first = opsdb::Uuid::v7();
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  const opsdb::Uuid second = opsdb::Uuid::v7();
  holds(first < second, "order");
  same(first.str().at(14), '7', "version");
  holds(std::string("89ab").find(first.str().at(19)) != std::string::npos, "variant");
  holds(opsdb::Uuid(first.str()) == first, "read back");
  holds(opsdb::Uuid("0B500000-0000-4000-8000-00000000000A").str() == "0b500000-0000-4000-8000-00000000000a", "capitals");
  thrown<std::invalid_argument>([] { opsdb::Uuid("0b500000-0000-4000-8000-00000000000g"); });
  thrown<std::invalid_argument>([] { opsdb::Uuid("0b50000000004000800000000000000a0000"); });
  thrown<std::invalid_argument>([] { opsdb::Uuid(""); });
});

static Registered mutations("mutations and conditions say what was built", [] {
  const auto changed = opsdb::update("t", {{"id", 1}}, {{"name", "x"}}).if_exists().if_equal({{"name", nullptr}}).proto();
  same(changed.update().key().at("id").int64_value(), 1, "key");
  same(changed.update().values().at("name").string_value(), "x", "value");
  same(changed.preconditions(0).row_exists(), true, "row_exists");
  same(changed.preconditions(1).columns_equal().values().at("name").kind_case(), Kind::kNullValue, "columns_equal");
  same(opsdb::insert("t", {}).if_missing().proto().preconditions(0).row_exists(), false, "if_missing");
  same(opsdb::remove("t", {{"id", 1}}).proto().delete_().key().at("id").int64_value(), 1, "delete");
  same(opsdb::upsert("t", {{"id", 1}}).proto().upsert().values().count("id"), 1U, "upsert");
  const auto where = (opsdb::column("a") >= 1 && !(opsdb::column("b").in({"x", "y"}) || opsdb::column("c").is_null())).proto();
  same(where.and_().conditions(0).comparison().operator_(), opsdb::v1::COMPARISON_OPERATOR_GREATER_OR_EQUAL, ">=");
  const auto& either = where.and_().conditions(1).not_().or_();
  same(either.conditions(0).in().values(1).string_value(), "y", "in");
  same(either.conditions(1).is_null().column(), "c", "is null");
});
