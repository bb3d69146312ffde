#pragma once

#include <grpcpp/support/status.h>
#include <opsdb/client/error_details.pb.h>
#include <opsdb/v1/write.pb.h>

#include <chrono>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace opsdb {

/** A call that failed: refused by the service, or without an answer from it. */
class Error : public std::runtime_error {
 public:
  explicit Error(const grpc::Status& status) : Error(status, parse(status)) {}

  grpc::StatusCode code() const { return code_; }
  /** One of the names in error_reason.proto, such as "INVALID_VALUE". Empty: the error is not the service's own. */
  const std::string& reason() const { return details_.reason; }
  /** The field at fault, such as mutations[0].insert.values["pwv_mm"]. Empty: none in particular. */
  const std::string& field() const { return details_.field; }
  const std::map<std::string, std::string>& metadata() const { return details_.metadata; }
  /** When the service advises to try again. */
  std::optional<std::chrono::milliseconds> retry_after() const { return details_.retry_after; }
  /** Of a write: the id with which it can be sent again. Empty otherwise. */
  const std::string& write_id() const { return write_id_; }
  /** Of a write: it may have been stored. Send the same mutations again with write_id(), or ask get_write(). */
  bool outcome_unknown() const { return outcome_unknown_; }

  /** The same error, of a write. */
  Error of_write(std::string id, bool outcome_unknown) const {
    Error error = *this;
    error.write_id_ = std::move(id);
    error.outcome_unknown_ = outcome_unknown;
    return error;
  }

 protected:
  struct Details {
    std::string reason;
    std::string field;
    std::map<std::string, std::string> metadata;
    std::optional<std::chrono::milliseconds> retry_after;
  };

  Error(const grpc::Status& status, Details details)
      : std::runtime_error(text(status, details)), code_(status.error_code()), details_(std::move(details)) {}

 private:
  static Details parse(const grpc::Status& status) {
    Details details;
    client::Status wire;
    if (!wire.ParseFromString(status.error_details())) return details;
    for (const auto& any : wire.details()) {
      const std::string type = any.type_url().substr(any.type_url().rfind('/') + 1);
      if (type == "google.rpc.ErrorInfo") {
        client::ErrorInfo info;
        if (!info.ParseFromString(any.value())) continue;
        details.reason = info.reason();
        details.metadata = {info.metadata().begin(), info.metadata().end()};
      } else if (type == "google.rpc.BadRequest") {
        client::BadRequest request;
        if (!request.ParseFromString(any.value()) || request.field_violations().empty()) continue;
        details.field = request.field_violations(0).field();
      } else if (type == "google.rpc.RetryInfo") {
        client::RetryInfo info;
        if (!info.ParseFromString(any.value())) continue;
        using namespace std::chrono;
        details.retry_after =
            duration_cast<milliseconds>(seconds(info.retry_delay().seconds()) + nanoseconds(info.retry_delay().nanos()));
      }
    }
    return details;
  }

  static std::string text(const grpc::Status& status, const Details& details) {
    std::string text = details.reason.empty() ? name(status.error_code()) : details.reason;
    text += ": " + status.error_message();
    if (!details.field.empty()) text += " (" + details.field + ")";
    return text;
  }

  static std::string name(grpc::StatusCode code) {
    static constexpr const char* names[] = {
        "OK",          "CANCELLED",         "UNKNOWN",       "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",   "NOT_FOUND",
        "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",      "OUT_OF_RANGE",
        "UNIMPLEMENTED",  "INTERNAL",          "UNAVAILABLE",        "DATA_LOSS",           "UNAUTHENTICATED"};
    return code >= 0 && code <= 16 ? names[code] : "UNKNOWN";
  }

  grpc::StatusCode code_;
  Details details_;
  std::string write_id_;
  bool outcome_unknown_ = false;
};

/** The main database refused a write for good; nothing of it took effect. */
class Rejected : public Error {
 public:
  explicit Rejected(v1::WriteStatus status)
      : Error(grpc::Status(grpc::StatusCode::FAILED_PRECONDITION,
                           "write " + status.write_id() + " was rejected: " + status.rejection().message()),
              Details{status.rejection().reason(), {}, {}, {}}),
        status_(std::move(status)) {}

  /** With the SQLSTATE and the mutation at fault, where they are known. */
  const v1::WriteStatus& status() const { return status_; }

 private:
  v1::WriteStatus status_;
};

}  // namespace opsdb
