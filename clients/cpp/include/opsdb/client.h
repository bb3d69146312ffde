#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <opsdb/error.h>
#include <opsdb/mutation.h>
#include <opsdb/query.h>
#include <opsdb/retry.h>
#include <opsdb/rows.h>
#include <opsdb/uuid.h>
#include <opsdb/v1/query_service.grpc.pb.h>
#include <opsdb/v1/replication_service.grpc.pb.h>
#include <opsdb/v1/write_service.grpc.pb.h>

#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace opsdb {

constexpr v1::WriteState accepted = v1::WRITE_STATE_ACCEPTED;
constexpr v1::WriteState applied = v1::WRITE_STATE_APPLIED;
constexpr v1::WriteState replicated = v1::WRITE_STATE_REPLICATED;
constexpr v1::WriteState rejected = v1::WRITE_STATE_REJECTED;

/** A state's name without its prefix, such as "REPLICATED". */
inline std::string to_string(v1::WriteState state) {
  return std::string(v1::WriteState_Name(state)).substr(std::string("WRITE_STATE_").size());
}

/** PEM files of an encrypted connection. */
struct Tls {
  /** Who signed the server's certificate. Empty: the system's authorities. */
  std::string ca_file{};
  /** The client's own certificate and key, where the server asks for one. Empty: none. */
  std::string certificate_file{};
  std::string key_file{};
  /** The name in the server's certificate, where it is not the one that is connected to. */
  std::string server_name{};
};

struct ClientOptions {
  /** Bearer token, sent with every call; without `tls` to this host alone, unless `allow_plaintext_token`. Empty: none. */
  std::string token;
  bool allow_plaintext_token = false;
  /** Unset: the connection is not encrypted. */
  std::optional<Tls> tls;
  /** Longest time of a call with all its attempts, unless the call says otherwise. */
  Milliseconds timeout{60'000};
  RetryPolicy retry;
};

struct WriteOptions {
  /** The write's id; the same id with the same mutations is one write. Unset: a new UUIDv7. */
  std::optional<Uuid> id;
  /** Direct writes go to the site's local database. */
  v1::WriteMode mode = v1::WRITE_MODE_CRITICAL;
  /** Answer only when the write is accepted, applied or replicated; or at the timeout, which is no error. */
  v1::WriteState wait_for = accepted;
  /** Unset: ClientOptions::timeout. */
  std::optional<Milliseconds> timeout;
};

/** The acknowledgement of a write. */
struct Written {
  Uuid id;
  v1::WriteStatus status;
  /** One for each mutation: what was written, with generated keys and defaults. */
  std::vector<Columns> rows;
  /** Reads at_least(token) see the write. */
  std::string token;
  /** The timeout came before wait_for was reached; the write goes on. */
  bool wait_timed_out = false;
  /** The id had been accepted before, as after a lost answer. */
  bool duplicate = false;
};

/**
 * A site of the operations database. Calls block until their outcome is known; they are tried again while the service
 * is unavailable and after answers that were lost, within their timeout. May be used by several threads at once.
 */
class Client {
 public:
  /**
   * Connects at the first call. Throws std::runtime_error where a file of `tls` cannot be read, and
   * std::invalid_argument where the token would leave this host unencrypted.
   */
  explicit Client(const std::string& address, ClientOptions options = {})
      : options_(std::move(options)), channel_(connect(address, options_)) {}

  /**
   * One atomic write. Throws Error, with the id to repeat it by where it is not known whether the write was stored, and
   * Rejected where main had refused it by the time of the answer.
   */
  Written write(const std::vector<Mutation>& mutations, const WriteOptions& options = {}) {
    const Uuid id = options.id ? *options.id : Uuid::v7();
    v1::WriteRequest request;
    request.set_write_id(id.str());
    for (const auto& each : mutations) *request.add_mutations() = each.proto();
    request.set_mode(options.mode);
    request.set_wait_for(options.wait_for);
    Retry retry = begin(options.timeout);
    std::optional<Milliseconds> attempt;
    if (options.wait_for <= accepted) attempt = options_.retry.attempt;
    try {
      return written(id, attempts(&v1::WriteService::Stub::Write, request, retry, attempt));
    } catch (const Rejected&) {
      throw;
    } catch (const Error& error) {
      throw error.of_write(id.str(), retry.outcome_unknown());
    }
  }

  /** The outcome of a write, also long after. Throws Error with WRITE_NOT_FOUND where nobody knows the id. */
  v1::WriteStatus get_write(const Uuid& id, std::optional<Milliseconds> timeout = {}) {
    v1::GetWriteRequest request;
    request.set_write_id(id.str());
    return call(&v1::WriteService::Stub::GetWrite, request, timeout).status();
  }

  /**
   * Tells each state of a write from the one that it has now on, until it is replicated or rejected or `told` returns
   * false; returns the last. Throws Error with DEADLINE_EXCEEDED where that takes longer than the timeout.
   */
  v1::WriteStatus follow(const Uuid& id, const std::function<bool(const v1::WriteStatus&)>& told,
                         std::optional<Milliseconds> timeout = {}) {
    v1::WatchReplicationRequest request;
    request.set_write_id(id.str());
    request.set_until_done(true);
    v1::ReplicationService::Stub stub(channel_);
    Retry retry = begin(timeout);
    v1::WriteStatus last;
    for (;;) {
      grpc::ClientContext context;
      prepare(context);
      retry.prepare(context);
      const auto reader = stub.WatchReplication(&context, request);
      v1::WatchReplicationResponse event;
      while (reader->Read(&event)) {
        retry.progress();
        // A watch that begins again tells the state it finds, which may be the one that was told last.
        if (!event.has_write() || event.write().state() <= last.state()) continue;
        last = event.write();
        if (told(last) && last.state() < replicated) continue;
        context.TryCancel();
        reader->Finish();
        return last;
      }
      const grpc::Status status = reader->Finish();
      retry.after(Error(status.ok() ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "the watch ended") : status));
    }
  }

  /** Waits until the write is this far. Throws Rejected, or Error with DEADLINE_EXCEEDED. */
  v1::WriteStatus wait(const Uuid& id, v1::WriteState state = replicated, std::optional<Milliseconds> timeout = {}) {
    auto last = follow(id, [state](const v1::WriteStatus& now) { return now.state() < state; }, timeout);
    if (last.state() == rejected) throw Rejected(std::move(last));
    return last;
  }

  /** Rows as they come: for (const opsdb::Row& row : client.query(...)). The timeout is for all of them. */
  Rows query(const Query& query, std::optional<Milliseconds> timeout = {}) {
    const auto stub = std::make_shared<v1::QueryService::Stub>(channel_);
    const auto open = [stub, token = options_.token](grpc::ClientContext* context, const v1::QueryRequest& request) {
      authorize(*context, token);
      return stub->Query(context, request);
    };
    return Rows(open, query.request(), begin(timeout));
  }

  /**
   * Any other unary call of the contract, tried again like the rest:
   * call(&opsdb::v1::CatalogService::Stub::ListTables, request).
   */
  template <class Stub, class Request, class Response>
  Response call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*), const Request& request,
                std::optional<Milliseconds> timeout = {}) {
    Retry retry = begin(timeout);
    return attempts(method, request, retry, options_.retry.attempt);
  }

  /** Gives the context of a call that is made by hand the token. */
  void prepare(grpc::ClientContext& context) const { authorize(context, options_.token); }

  /** For stubs of one's own. */
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

 private:
  static void authorize(grpc::ClientContext& context, const std::string& token) {
    if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
  }

  Retry begin(std::optional<Milliseconds> timeout) const {
    return Retry(options_.retry, Deadline(timeout.value_or(options_.timeout)));
  }

  template <class Stub, class Request, class Response>
  Response attempts(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Retry& retry, std::optional<Milliseconds> attempt) {
    Stub stub(channel_);
    for (;;) {
      grpc::ClientContext context;
      prepare(context);
      retry.prepare(context, attempt);
      Response response;
      const grpc::Status status = (stub.*method)(&context, request, &response);
      if (status.ok()) return response;
      retry.after(Error(status));
    }
  }

  static Written written(const Uuid& id, v1::WriteResponse response) {
    if (response.status().state() == rejected) throw Rejected(std::move(*response.mutable_status()));
    Written written;
    written.id = id;
    for (const auto& row : response.rows()) {
      Columns columns;
      for (const auto& [name, value] : row.values()) columns.emplace(name, Value(value));
      written.rows.push_back(std::move(columns));
    }
    written.token = std::move(*response.mutable_token());
    written.wait_timed_out = response.wait_timed_out();
    written.duplicate = response.duplicate();
    written.status = std::move(*response.mutable_status());
    return written;
  }

  static bool is_this_host(const std::string& address) {
    for (const char* prefix : {"127.", "localhost:", "[::1]:", "unix:"}) {
      if (address.rfind(prefix, 0) == 0) return true;
    }
    return false;
  }

  static std::shared_ptr<grpc::Channel> connect(const std::string& address, const ClientOptions& options) {
    if (!options.token.empty() && !options.tls && !options.allow_plaintext_token && !is_this_host(address)) {
      throw std::invalid_argument("the token would go to " + address + " unencrypted: set tls");
    }
    grpc::ChannelArguments arguments;
    // A connection that died without a word is noticed after 15 seconds, also while a call waits on it.
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    // An attempt to connect has this long, which is enough for TLS over half a second and a busy server.
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5'000);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5'000);
    // A batch of wide rows may be larger than gRPC's 4 MiB.
    arguments.SetMaxReceiveMessageSize(-1);
    if (options.tls && !options.tls->server_name.empty()) {
      arguments.SetSslTargetNameOverride(options.tls->server_name);
    }
    return grpc::CreateCustomChannel(address, credentials(options.tls), arguments);
  }

  static std::shared_ptr<grpc::ChannelCredentials> credentials(const std::optional<Tls>& tls) {
    if (!tls) return grpc::InsecureChannelCredentials();
    grpc::SslCredentialsOptions pem;
    pem.pem_root_certs = read_file(tls->ca_file);
    pem.pem_cert_chain = read_file(tls->certificate_file);
    pem.pem_private_key = read_file(tls->key_file);
    return grpc::SslCredentials(pem);
  }

  static std::string read_file(const std::string& path) {
    if (path.empty()) return {};
    std::ifstream file(path, std::ios::binary);
    std::string text(std::istreambuf_iterator<char>(file), {});
    if (!file || text.empty()) throw std::runtime_error("cannot read " + path);
    return text;
  }

  ClientOptions options_;
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace opsdb
