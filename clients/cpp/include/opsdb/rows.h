#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/sync_stream.h>
#include <opsdb/error.h>
#include <opsdb/retry.h>
#include <opsdb/v1/query.pb.h>
#include <opsdb/v1/query_service.grpc.pb.h>
#include <opsdb/value.h>

#include <cstddef>
#include <functional>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace opsdb {

/** One row of a result. */
class Row {
 public:
  using Names = std::shared_ptr<const std::vector<std::string>>;

  Row(Names names, v1::Row row) : names_(std::move(names)), proto_(std::move(row)) {}

  std::size_t size() const { return static_cast<std::size_t>(proto_.values_size()); }
  const std::vector<std::string>& names() const { return *names_; }

  /** Throws std::out_of_range where the result has no such column. */
  Value operator[](const std::string& column) const { return Value(at(column)); }
  /** The column's value as a C++ type, see Value::as. */
  template <class T>
  T get(const std::string& column) const {
    return decode<T>(at(column));
  }

  const v1::Row& proto() const { return proto_; }

 private:
  const v1::Value& at(const std::string& column) const {
    for (std::size_t i = 0; i < names_->size(); ++i) {
      if ((*names_)[i] == column) return proto_.values(static_cast<int>(i));
    }
    throw std::out_of_range("the result has no column " + column);
  }

  Names names_;
  v1::Row proto_;
};

/**
 * The rows of a query, read while they are iterated over, once. A result that is interrupted goes on where it was, in a
 * new snapshot, where the query has an order; without one it does so until the first row has been given. Ends with an
 * Error unless the whole result came.
 */
class Rows {
 public:
  /** Opens the query once more, with the token. */
  using Open = std::function<std::unique_ptr<grpc::ClientReader<v1::QueryResponse>>(grpc::ClientContext*,
                                                                                    const v1::QueryRequest&)>;

  Rows(Open open, v1::QueryRequest request, Retry retry)
      : open_(std::move(open)), request_(std::move(request)), retry_(std::move(retry)) {
    // So that what is wrong with the query is told where it is asked.
    while (!header_seen_) read();
  }

  Rows(Rows&&) = default;
  Rows& operator=(Rows&&) = delete;
  ~Rows() {
    if (!context_) return;
    context_->TryCancel();
    reader_->Finish();
  }

  /** The columns and what was read: LSN, pending writes that were merged, token. */
  const v1::QueryHeader& header() const { return header_; }

  class iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Row;
    using difference_type = std::ptrdiff_t;
    using pointer = const Row*;
    using reference = const Row&;

    iterator() = default;
    explicit iterator(Rows* rows) : rows_(rows) { ++*this; }
    reference operator*() const { return *row_; }
    pointer operator->() const { return row_.get(); }
    iterator& operator++() {
      row_ = rows_->next();
      if (!row_) rows_ = nullptr;
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& a, const iterator& b) { return a.rows_ == b.rows_; }
    friend bool operator!=(const iterator& a, const iterator& b) { return a.rows_ != b.rows_; }

   private:
    Rows* rows_ = nullptr;
    std::shared_ptr<const Row> row_;
  };

  iterator begin() { return iterator(this); }
  iterator end() { return {}; }

 private:
  /** The next row; null after the last one. */
  std::shared_ptr<const Row> next() {
    while (at_ == batch_.rows_size()) {
      if (complete_) return nullptr;
      read();
    }
    given_ = true;
    return std::make_shared<const Row>(names_, std::move(*batch_.mutable_rows(at_++)));
  }

  /** Takes in the next message, or waits to open the query again. */
  void read() {
    if (!context_) {
      context_ = std::make_unique<grpc::ClientContext>();
      retry_.prepare(*context_);
      reader_ = open_(context_.get(), request_);
    }
    v1::QueryResponse message;
    if (reader_->Read(&message)) take(std::move(message));
    else end(reader_->Finish());
  }

  void take(v1::QueryResponse message) {
    if (message.has_header()) {
      header_ = std::move(*message.mutable_header());
      header_seen_ = true;
      std::vector<std::string> names;
      for (const auto& column : header_.columns()) names.push_back(column.name());
      names_ = std::make_shared<const std::vector<std::string>>(std::move(names));
    } else if (message.has_batch()) {
      batch_ = std::move(*message.mutable_batch());
      at_ = 0;
      // Only read again once all rows of the batch were given.
      request_.set_resume_after(batch_.resume_point());
      retry_.progress();
    } else if (message.has_trailer()) {
      complete_ = true;
    }
  }

  void end(const grpc::Status& status) {
    reader_.reset();
    context_.reset();
    if (complete_) return;
    const Error error(status.ok() ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "the result is incomplete") : status);
    const bool can_go_on = !given_ || !request_.resume_after().empty();
    if (!can_go_on) throw error;
    retry_.after(error);
  }

  Open open_;
  v1::QueryRequest request_;
  Retry retry_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientReader<v1::QueryResponse>> reader_;
  v1::QueryHeader header_;
  Row::Names names_;
  v1::RowBatch batch_;
  int at_ = 0;
  bool header_seen_ = false;
  bool given_ = false;
  bool complete_ = false;
};

}  // namespace opsdb
