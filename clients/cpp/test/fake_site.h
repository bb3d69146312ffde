#pragma once

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <opsdb/opsdb.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

/** A server that does what a check tells it to, attempt by attempt, and remembers what it was asked. */
class FakeSite : public opsdb::v1::WriteService::Service,
                 public opsdb::v1::QueryService::Service,
                 public opsdb::v1::ReplicationService::Service {
 public:
  template <class... Args>
  using Answer = std::function<grpc::Status(int attempt, Args...)>;

  Answer<opsdb::v1::WriteResponse*> on_write = [](int, auto*) { return grpc::Status::OK; };
  Answer<const opsdb::v1::QueryRequest&, grpc::ServerWriter<opsdb::v1::QueryResponse>*> on_query;
  Answer<grpc::ServerWriter<opsdb::v1::WatchReplicationResponse>*> on_watch;

  explicit FakeSite(std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials()) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", std::move(credentials), &port_);
    builder.RegisterService(static_cast<opsdb::v1::WriteService::Service*>(this));
    builder.RegisterService(static_cast<opsdb::v1::QueryService::Service*>(this));
    builder.RegisterService(static_cast<opsdb::v1::ReplicationService::Service*>(this));
    server_ = builder.BuildAndStart();
  }
  ~FakeSite() override { server_->Shutdown(std::chrono::system_clock::now()); }

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  std::vector<opsdb::v1::WriteRequest> writes() {
    const std::lock_guard lock(mutex_);
    return writes_;
  }
  /** "authorization" of every call. */
  std::vector<std::string> tokens() {
    const std::lock_guard lock(mutex_);
    return tokens_;
  }
  int attempts() {
    const std::lock_guard lock(mutex_);
    return attempts_;
  }

  grpc::Status Write(grpc::ServerContext* context, const opsdb::v1::WriteRequest* request,
                     opsdb::v1::WriteResponse* response) override {
    const int attempt = note(context);
    {
      const std::lock_guard lock(mutex_);
      writes_.push_back(*request);
    }
    response->mutable_status()->set_write_id(request->write_id());
    response->mutable_status()->set_state(opsdb::accepted);
    return on_write(attempt, response);
  }
  grpc::Status Query(grpc::ServerContext* context, const opsdb::v1::QueryRequest* request,
                     grpc::ServerWriter<opsdb::v1::QueryResponse>* writer) override {
    return on_query(note(context), *request, writer);
  }
  grpc::Status WatchReplication(grpc::ServerContext* context, const opsdb::v1::WatchReplicationRequest*,
                                grpc::ServerWriter<opsdb::v1::WatchReplicationResponse>* writer) override {
    return on_watch(note(context), writer);
  }

 private:
  int note(const grpc::ServerContext* context) {
    const std::lock_guard lock(mutex_);
    const auto found = context->client_metadata().find("authorization");
    tokens_.push_back(found == context->client_metadata().end()
                          ? ""
                          : std::string(found->second.data(), found->second.size()));
    return ++attempts_;
  }

  std::mutex mutex_;
  std::vector<opsdb::v1::WriteRequest> writes_;
  std::vector<std::string> tokens_;
  int attempts_ = 0;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};
