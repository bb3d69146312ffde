#pragma once

#include <opsdb/uuid.h>
#include <opsdb/v1/value.pb.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace opsdb {

/** bytea. */
struct Bytes {
  std::string data;
};

/** json and jsonb, as JSON text. */
struct Json {
  std::string text;
};

/** numeric, as its exact decimal text. */
struct Numeric {
  std::string text;
};

/** timestamptz, as exact as PostgreSQL has it. */
using Timestamp = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;

/** A value is not of the type it was asked for, or does not fit into it. */
class WrongType : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/** Reads a value as a C++ type, see Value::as. */
template <class T>
T decode(const v1::Value& value);

/** The value of one column, made from what C++ has. */
class Value {
 public:
  /** NULL. */
  Value(std::nullptr_t = nullptr) { proto_.set_null_value(google::protobuf::NULL_VALUE); }
  Value(std::nullopt_t) : Value(nullptr) {}
  Value(bool value) { proto_.set_bool_value(value); }
  /** Integers; one that only uint64_t can hold goes as numeric. Out of the column's range, the server refuses it. */
  template <class T, std::enable_if_t<std::is_integral_v<T> && !std::is_same_v<T, bool>, int> = 0>
  Value(T value) {
    static_assert(!std::is_same_v<T, char> && !std::is_same_v<T, wchar_t>, "write characters as a string");
    if constexpr (std::is_unsigned_v<T> && sizeof(T) == sizeof(std::int64_t)) {
      if (value > static_cast<T>(std::numeric_limits<std::int64_t>::max())) {
        proto_.set_numeric_value(std::to_string(value));
        return;
      }
    }
    proto_.set_int64_value(static_cast<std::int64_t>(value));
  }
  Value(double value) { proto_.set_double_value(value); }
  Value(float value) { proto_.set_double_value(value); }
  /** Text, enums, and PostgreSQL's own text form of every type. */
  Value(std::string value) { proto_.set_string_value(std::move(value)); }
  Value(std::string_view value) : Value(std::string(value)) {}
  Value(const char* value) : Value(std::string(value)) {}
  Value(Bytes value) { proto_.set_bytes_value(std::move(value.data)); }
  Value(Json value) { proto_.set_json_value(std::move(value.text)); }
  Value(Numeric value) { proto_.set_numeric_value(std::move(value.text)); }
  Value(const Uuid& value) { proto_.set_uuid_value(value.str()); }
  /** An instant; what is finer than a microsecond is cut off. */
  template <class Duration>
  Value(std::chrono::time_point<std::chrono::system_clock, Duration> value) {
    using namespace std::chrono;
    const auto since = floor<microseconds>(value.time_since_epoch());
    const auto whole = floor<seconds>(since);
    auto* timestamp = proto_.mutable_timestamp_value();
    timestamp->set_seconds(whole.count());
    timestamp->set_nanos(static_cast<std::int32_t>(duration_cast<nanoseconds>(since - whole).count()));
  }
  template <class T>
  Value(const std::optional<T>& value) : Value(value ? Value(*value) : Value(nullptr)) {}
  /** An array; vectors of bytes are bytea. */
  template <class T>
  Value(const std::vector<T>& values) {
    if constexpr (std::is_same_v<T, std::byte> || std::is_same_v<T, std::uint8_t>) {
      proto_.set_bytes_value(values.data(), values.size());
    } else {
      auto* array = proto_.mutable_array_value();
      for (const auto& each : values) *array->add_values() = Value(static_cast<T>(each)).proto_;
    }
  }
  /** As it comes over the wire. */
  explicit Value(v1::Value value) : proto_(std::move(value)) {}

  bool is_null() const { return proto_.kind_case() == v1::Value::kNullValue; }

  /**
   * The value as bool, an integer, a floating point number, std::string, Bytes, Json, Numeric, Uuid, Timestamp, a
   * std::vector of these, or a std::optional of any, which is empty for NULL. Numeric values are rounded where they are
   * read as floating point. Throws WrongType where the value is of another kind, is NULL, or does not fit.
   */
  template <class T>
  T as() const {
    return decode<T>(proto_);
  }

  const v1::Value& proto() const { return proto_; }

 private:
  v1::Value proto_;
};

/** Column names with their values. */
using Columns = std::map<std::string, Value>;

namespace detail {

inline WrongType wrong_type(const v1::Value& value, const char* wanted) {
  static constexpr const char* kinds[] = {"nothing", "NULL",      "bool", "int64", "double", "numeric",
                                          "string",  "bytes", "timestamp", "uuid", "json",  "array"};
  return WrongType(std::string("the value is ") + kinds[value.kind_case()] + ", not " + wanted);
}

template <class T>
struct Decoder {
  static T decode(const v1::Value& value) {
    if constexpr (std::is_same_v<T, bool>) {
      if (value.kind_case() == v1::Value::kBoolValue) return value.bool_value();
      throw wrong_type(value, "bool");
    } else if constexpr (std::is_integral_v<T>) {
      if (value.kind_case() != v1::Value::kInt64Value) throw wrong_type(value, "an integer");
      const std::int64_t number = value.int64_value();
      const bool fits = std::is_unsigned_v<T>
                            ? number >= 0 && static_cast<std::uint64_t>(number) <= std::numeric_limits<T>::max()
                            : number >= static_cast<std::int64_t>(std::numeric_limits<T>::min()) &&
                                  number <= static_cast<std::int64_t>(std::numeric_limits<T>::max());
      if (!fits) throw WrongType(std::to_string(number) + " does not fit");
      return static_cast<T>(number);
    } else {
      static_assert(std::is_floating_point_v<T>, "no column's value can be read as this type");
      switch (value.kind_case()) {
        case v1::Value::kDoubleValue: return static_cast<T>(value.double_value());
        case v1::Value::kInt64Value: return static_cast<T>(value.int64_value());
        case v1::Value::kNumericValue: return static_cast<T>(std::strtod(value.numeric_value().c_str(), nullptr));
        default: throw wrong_type(value, "a number");
      }
    }
  }
};

template <>
struct Decoder<std::string> {
  static std::string decode(const v1::Value& value) {
    switch (value.kind_case()) {
      case v1::Value::kStringValue: return value.string_value();
      case v1::Value::kNumericValue: return value.numeric_value();
      case v1::Value::kUuidValue: return value.uuid_value();
      case v1::Value::kJsonValue: return value.json_value();
      default: throw wrong_type(value, "text");
    }
  }
};

template <>
struct Decoder<Bytes> {
  static Bytes decode(const v1::Value& value) {
    if (value.kind_case() == v1::Value::kBytesValue) return {value.bytes_value()};
    throw wrong_type(value, "bytes");
  }
};

template <>
struct Decoder<Json> {
  static Json decode(const v1::Value& value) {
    if (value.kind_case() == v1::Value::kJsonValue) return {value.json_value()};
    throw wrong_type(value, "json");
  }
};

template <>
struct Decoder<Numeric> {
  static Numeric decode(const v1::Value& value) {
    if (value.kind_case() == v1::Value::kNumericValue) return {value.numeric_value()};
    if (value.kind_case() == v1::Value::kInt64Value) return {std::to_string(value.int64_value())};
    throw wrong_type(value, "numeric");
  }
};

template <>
struct Decoder<Uuid> {
  static Uuid decode(const v1::Value& value) {
    if (value.kind_case() == v1::Value::kUuidValue) return Uuid(value.uuid_value());
    throw wrong_type(value, "a uuid");
  }
};

template <>
struct Decoder<Timestamp> {
  static Timestamp decode(const v1::Value& value) {
    using namespace std::chrono;
    if (value.kind_case() != v1::Value::kTimestampValue) throw wrong_type(value, "a timestamp");
    const auto& at = value.timestamp_value();
    return Timestamp(seconds(at.seconds()) + duration_cast<microseconds>(nanoseconds(at.nanos())));
  }
};

template <class T>
struct Decoder<std::optional<T>> {
  static std::optional<T> decode(const v1::Value& value) {
    if (value.kind_case() == v1::Value::kNullValue) return std::nullopt;
    return Decoder<T>::decode(value);
  }
};

template <class T>
struct Decoder<std::vector<T>> {
  static std::vector<T> decode(const v1::Value& value) {
    if constexpr (std::is_same_v<T, std::byte> || std::is_same_v<T, std::uint8_t>) {
      const std::string data = Decoder<Bytes>::decode(value).data;
      const auto* begin = reinterpret_cast<const T*>(data.data());
      return {begin, begin + data.size()};
    } else {
      if (value.kind_case() != v1::Value::kArrayValue) throw wrong_type(value, "an array");
      std::vector<T> elements;
      for (const auto& each : value.array_value().values()) elements.push_back(Decoder<T>::decode(each));
      return elements;
    }
  }
};

}  // namespace detail

template <class T>
T decode(const v1::Value& value) {
  return detail::Decoder<T>::decode(value);
}

}  // namespace opsdb
