#include <opsdb/opsdb.h>

#include <chrono>
#include <initializer_list>
#include <string>
#include <thread>

#include "checks.h"
#include "fake_site.h"

using grpc::Status;
using grpc::StatusCode;
using opsdb::Milliseconds;
namespace v1 = opsdb::v1;

namespace {

const std::vector<opsdb::Mutation> sample = {opsdb::insert("weather_samples", {{"station", "cerro"}})};

opsdb::ClientOptions quick() {
  opsdb::ClientOptions options;
  options.timeout = Milliseconds(10'000);
  options.retry.backoff = Milliseconds(1);
  return options;
}

google::protobuf::Any any(const std::string& type, const google::protobuf::Message& message) {
  google::protobuf::Any made;
  made.set_type_url("type.googleapis.com/google.rpc." + type);
  made.set_value(message.SerializeAsString());
  return made;
}

/** A status as the service makes it. */
Status refusal(StatusCode code, const std::string& reason, const std::string& field = "", Milliseconds retry = {},
               const std::string& write_id = "") {
  opsdb::client::Status details;
  opsdb::client::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("opsdb.v1");
  if (!write_id.empty()) (*info.mutable_metadata())["write_id"] = write_id;
  *details.add_details() = any("ErrorInfo", info);
  if (!field.empty()) {
    opsdb::client::BadRequest bad;
    bad.add_field_violations()->set_field(field);
    *details.add_details() = any("BadRequest", bad);
  }
  if (retry.count() > 0) {
    opsdb::client::RetryInfo info_of_retry;
    info_of_retry.mutable_retry_delay()->set_seconds(retry.count() / 1000);
    info_of_retry.mutable_retry_delay()->set_nanos(static_cast<int>(retry.count() % 1000) * 1'000'000);
    *details.add_details() = any("RetryInfo", info_of_retry);
  }
  return Status(code, "no", details.SerializeAsString());
}

v1::QueryResponse header() {
  v1::QueryResponse message;
  message.mutable_header()->add_columns()->set_name("n");
  return message;
}

v1::QueryResponse batch(std::initializer_list<int> numbers, const std::string& resume_point = "") {
  v1::QueryResponse message;
  for (int n : numbers) message.mutable_batch()->add_rows()->add_values()->set_int64_value(n);
  message.mutable_batch()->set_resume_point(resume_point);
  return message;
}

v1::QueryResponse trailer() {
  v1::QueryResponse message;
  message.mutable_trailer();
  return message;
}

std::string read_all(opsdb::Client& client, const opsdb::Query& query) {
  std::string numbers;
  for (const opsdb::Row& row : client.query(query)) numbers += std::to_string(row.get<int>("n"));
  return numbers;
}

v1::WatchReplicationResponse state(v1::WriteState state) {
  v1::WatchReplicationResponse event;
  event.mutable_write()->set_state(state);
  return event;
}

const Status unavailable(StatusCode::UNAVAILABLE, "Socket closed");

}  // namespace

static Registered same_id("a write is sent again with the same id and content until it is answered", [] {
  FakeSite site;
  site.on_write = [](int attempt, v1::WriteResponse* response) {
    if (attempt == 1) return unavailable;
    if (attempt == 2) return Status(StatusCode::UNKNOWN, "Stream removed");
    if (attempt == 3) return refusal(StatusCode::UNAVAILABLE, "SHUTTING_DOWN");
    response->set_duplicate(true);
    return Status::OK;
  };
  opsdb::Client client(site.address(), quick());
  const auto written = client.write(sample);
  const auto requests = site.writes();
  same(requests.size(), 4U, "attempts");
  for (const auto& each : requests) same(each.SerializeAsString(), requests[0].SerializeAsString(), "request");
  same(requests[0].write_id(), written.id.str(), "id");
  same(written.duplicate, true, "duplicate");
});

static Registered lost("an answer that does not come in time counts as lost, and the write is sent again", [] {
  FakeSite site;
  site.on_write = [](int attempt, v1::WriteResponse*) {
    if (attempt == 1) std::this_thread::sleep_for(Milliseconds(400));
    return Status::OK;
  };
  auto options = quick();
  options.retry.attempt = Milliseconds(100);
  opsdb::Client client(site.address(), options);
  client.write(sample);
  same(site.writes().size(), 2U, "attempts");
  same(site.writes()[0].write_id(), site.writes()[1].write_id(), "id");
});

static Registered retry_info("the next attempt waits for as long as the service asks", [] {
  FakeSite site;
  site.on_write = [](int attempt, v1::WriteResponse*) {
    return attempt == 1 ? refusal(StatusCode::RESOURCE_EXHAUSTED, "BUFFER_FULL", "", Milliseconds(300)) : Status::OK;
  };
  opsdb::Client client(site.address(), quick());
  const auto start = std::chrono::steady_clock::now();
  client.write(sample);
  holds(std::chrono::steady_clock::now() - start >= Milliseconds(300), "it came too early");
  same(site.attempts(), 2, "attempts");
});

static Registered too_long("a wait that is longer than the time left ends the call with the service's own error", [] {
  FakeSite site;
  site.on_write = [](int, v1::WriteResponse*) {
    return refusal(StatusCode::RESOURCE_EXHAUSTED, "BUFFER_FULL", "", Milliseconds(60'500));
  };
  opsdb::Client client(site.address(), quick());
  const auto error = thrown<opsdb::Error>([&] { client.write(sample); });
  same(error.reason(), "BUFFER_FULL", "reason");
  same(error.retry_after()->count(), 60'500, "retry_after");
  same(error.outcome_unknown(), false, "outcome_unknown");
  same(site.attempts(), 1, "attempts");
});

static Registered final_error("a refusal is final, with its reason and its field", [] {
  FakeSite site;
  site.on_write = [](int, v1::WriteResponse*) {
    return refusal(StatusCode::INVALID_ARGUMENT, "INVALID_VALUE", "mutations[0].insert.values[\"pwv_mm\"]");
  };
  opsdb::Client client(site.address(), quick());
  const auto error = thrown<opsdb::Error>([&] { client.write(sample); });
  same(error.code(), StatusCode::INVALID_ARGUMENT, "code");
  same(error.reason(), "INVALID_VALUE", "reason");
  same(error.field(), "mutations[0].insert.values[\"pwv_mm\"]", "field");
  same(error.outcome_unknown(), false, "outcome_unknown");
  same(error.write_id(), site.writes()[0].write_id(), "write_id");
  same(site.attempts(), 1, "attempts");
});

static Registered unknown_outcome("where the time is over, the error says that the outcome is unknown, and its id works", [] {
  FakeSite site;
  site.on_write = [](int, v1::WriteResponse*) { return unavailable; };
  auto options = quick();
  options.timeout = Milliseconds(1'000);
  opsdb::Client client(site.address(), options);
  const auto error = thrown<opsdb::Error>([&] { client.write(sample); });
  same(error.outcome_unknown(), true, "outcome_unknown");
  holds(site.attempts() > 1, "attempts");
  site.on_write = [](int, v1::WriteResponse*) { return Status::OK; };
  opsdb::WriteOptions again;
  again.id = opsdb::Uuid(error.write_id());
  client.write(sample, again);
  same(site.writes().back().SerializeAsString(), site.writes().front().SerializeAsString(), "request");
});

static Registered not_stored("a service that says nothing was stored leaves no doubt; one that names the id does", [] {
  FakeSite site;
  opsdb::Client client(site.address(), quick());
  site.on_write = [](int, v1::WriteResponse*) {
    return refusal(StatusCode::UNAVAILABLE, "BUFFER_NOT_DURABLE", "", Milliseconds(60'000));
  };
  same(thrown<opsdb::Error>([&] { client.write(sample); }).outcome_unknown(), false, "BUFFER_NOT_DURABLE");
  site.on_write = [](int, v1::WriteResponse*) {
    return refusal(StatusCode::UNAVAILABLE, "BUFFER_UNAVAILABLE", "", Milliseconds(60'000), "id");
  };
  same(thrown<opsdb::Error>([&] { client.write(sample); }).outcome_unknown(), true, "BUFFER_UNAVAILABLE");
});

static Registered gone("a server that is not there is an error within the timeout", [] {
  auto options = quick();
  options.timeout = Milliseconds(200);
  opsdb::Client client("127.0.0.1:1", options);
  same(thrown<opsdb::Error>([&] { client.write(sample); }).code(), StatusCode::UNAVAILABLE, "code");
});

static Registered token("the token goes with every call", [] {
  FakeSite site;
  site.on_query = [](int, auto&, auto* writer) {
    writer->Write(header());
    writer->Write(trailer());
    return Status::OK;
  };
  site.on_watch = [](int, auto* writer) {
    writer->Write(state(opsdb::replicated));
    return Status::OK;
  };
  auto options = quick();
  options.token = "secret";
  opsdb::Client client(site.address(), options);
  client.write(sample);
  read_all(client, opsdb::Query("t"));
  client.wait(opsdb::Uuid::v7());
  same(site.tokens().size(), 3U, "calls");
  for (const auto& each : site.tokens()) same(each, "Bearer secret", "authorization");
});

static Registered rejected_write("a write that main has refused is thrown with its reason", [] {
  FakeSite site;
  site.on_write = [](int, v1::WriteResponse* response) {
    response->mutable_status()->set_state(opsdb::rejected);
    response->mutable_status()->mutable_rejection()->set_reason("UNIQUE_VIOLATION");
    return Status::OK;
  };
  site.on_watch = [](int, auto* writer) {
    writer->Write(state(opsdb::rejected));
    return Status::OK;
  };
  opsdb::Client client(site.address(), quick());
  same(thrown<opsdb::Rejected>([&] { client.write(sample); }).reason(), "UNIQUE_VIOLATION", "reason");
  thrown<opsdb::Rejected>([&] { client.wait(opsdb::Uuid::v7()); });
});

static Registered resumed("an ordered result that breaks off goes on after its last row", [] {
  FakeSite site;
  site.on_query = [](int attempt, const v1::QueryRequest& request, auto* writer) {
    if (attempt == 1) return unavailable;
    writer->Write(header());
    if (attempt == 2) {
      writer->Write(batch({1, 2}, "after 2"));
      return unavailable;
    }
    holds(request.resume_after() == "after 2", "resume_after");
    writer->Write(batch({3}, "after 3"));
    writer->Write(trailer());
    return Status::OK;
  };
  opsdb::Client client(site.address(), quick());
  same(read_all(client, opsdb::Query("t").order_by("n")), "123", "rows");
});

static Registered incomplete("a result that breaks off and cannot go on is an error, never a short result", [] {
  FakeSite site;
  site.on_query = [](int, const v1::QueryRequest&, auto* writer) {
    writer->Write(header());
    writer->Write(batch({1}));
    return Status::OK;
  };
  opsdb::Client client(site.address(), quick());
  const auto error = thrown<opsdb::Error>([&] { read_all(client, opsdb::Query("t")); });
  same(std::string(error.what()), "UNAVAILABLE: the result is incomplete", "error");
  same(site.attempts(), 1, "attempts");
});

static Registered large("a batch of wide rows is read, however large", [] {
  FakeSite site;
  site.on_query = [](int, const v1::QueryRequest&, auto* writer) {
    writer->Write(header());
    v1::QueryResponse wide;
    wide.mutable_batch()->add_rows()->add_values()->set_string_value(std::string(8 * 1024 * 1024, 'x'));
    writer->Write(wide);
    writer->Write(trailer());
    return Status::OK;
  };
  opsdb::Client client(site.address(), quick());
  for (const opsdb::Row& row : client.query(opsdb::Query("t"))) {
    same(row.get<std::string>("n").size(), 8U * 1024 * 1024, "size");
  }
});

static Registered left("a result may be left before its end", [] {
  FakeSite site;
  site.on_query = [](int, const v1::QueryRequest&, auto* writer) {
    writer->Write(header());
    while (writer->Write(batch({1}))) {
    }
    return Status::OK;
  };
  opsdb::Client client(site.address(), quick());
  for (const opsdb::Row& row : client.query(opsdb::Query("t"))) {
    same(row.get<int>("n"), 1, "row");
    thrown<std::out_of_range>([&] { row["m"]; });
    break;
  }
});

static Registered followed("following goes on over interruptions and tells each state once", [] {
  FakeSite site;
  site.on_watch = [](int attempt, auto* writer) {
    if (attempt == 1) return unavailable;
    writer->Write(state(opsdb::accepted));
    if (attempt == 2) return unavailable;
    writer->Write(state(opsdb::applied));
    if (attempt == 3) return Status::OK;
    writer->Write(state(opsdb::replicated));
    return Status::OK;
  };
  opsdb::Client client(site.address(), quick());
  std::string told;
  const auto last = client.follow(opsdb::Uuid::v7(), [&](const v1::WriteStatus& status) {
    told += opsdb::to_string(status.state()) + " ";
    return true;
  });
  same(told, "ACCEPTED APPLIED REPLICATED ", "states");
  same(last.state(), opsdb::replicated, "last");
});

static Registered waited("waiting ends as soon as the write is that far, or at the timeout", [] {
  FakeSite site;
  site.on_watch = [](int, auto* writer) {
    writer->Write(state(opsdb::applied));
    while (writer->Write(v1::WatchReplicationResponse())) std::this_thread::sleep_for(Milliseconds(5));
    return Status::OK;
  };
  opsdb::Client client(site.address(), quick());
  same(client.wait(opsdb::Uuid::v7(), opsdb::applied).state(), opsdb::applied, "state");
  const auto late = thrown<opsdb::Error>([&] { client.wait(opsdb::Uuid::v7(), opsdb::replicated, Milliseconds(100)); });
  same(late.code(), StatusCode::DEADLINE_EXCEEDED, "code");
});
