#pragma once

#include <grpcpp/client_context.h>
#include <opsdb/error.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <random>
#include <thread>

namespace opsdb {

using Milliseconds = std::chrono::milliseconds;

/** How calls are tried again. */
struct RetryPolicy {
  /** Before the second attempt; doubled for each further one. Of every wait between a half and the whole is random. */
  Milliseconds backoff{50};
  Milliseconds backoff_max{5'000};
  /** After this time without an answer an attempt counts as lost, unless it waits for a write's way on purpose. */
  Milliseconds attempt{10'000};
};

/** The time that a call has, over all its attempts. */
class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Deadline(Milliseconds within) : at_(Clock::now() + within) {}

  Milliseconds left() const {
    return std::max(Milliseconds(0), std::chrono::ceil<Milliseconds>(at_ - Clock::now()));
  }

  /** As gRPC wants it, for one attempt. */
  std::chrono::system_clock::time_point of_attempt(std::optional<Milliseconds> at_most) const {
    return std::chrono::system_clock::now() + (at_most ? std::min(*at_most, left()) : left());
  }

 private:
  Clock::time_point at_;
};

/**
 * Decides after each failed attempt of a call whether there is another one. Every call of the contract can be repeated:
 * those that change something carry an id, or do nothing the second time.
 */
class Retry {
 public:
  Retry(const RetryPolicy& policy, Deadline deadline) : policy_(policy), deadline_(deadline), next_(policy.backoff) {}

  /** An attempt may have done its work although no answer came. */
  bool outcome_unknown() const { return outcome_unknown_; }

  /** Gives an attempt's context the time that it has. */
  void prepare(grpc::ClientContext& context, std::optional<Milliseconds> at_most = {}) const {
    context.set_deadline(deadline_.of_attempt(at_most));
    // Only a call that waits drives the connecting on: gRPC has no thread of its own for that. The first one does not,
    // so that it is told at once, and can be told in the end, why nothing answers.
    context.set_wait_for_ready(failed_.has_value());
  }

  /** Waits until it is time for the next attempt. Throws where the error is final or there is no time left. */
  void after(const Error& error) {
    if (may_have_worked(error)) outcome_unknown_ = true;
    // That the time is over says less than what went wrong before.
    if (!failed_ || error.code() != grpc::StatusCode::DEADLINE_EXCEEDED) failed_ = error;
    if (!is_transient(error)) throw error;
    const Milliseconds wait = std::max(jittered(next_), error.retry_after().value_or(Milliseconds(0)));
    next_ = std::min(next_ * 2, policy_.backoff_max);
    if (wait >= deadline_.left()) throw *failed_;
    std::this_thread::sleep_for(wait);
  }

  /** A stream has brought something: an interruption from now on is a new one. */
  void progress() {
    next_ = policy_.backoff;
    failed_.reset();
  }

 private:
  /** No word from the service itself: a connection that broke, or an answer that did not come in time. */
  static bool is_lost(const Error& error) {
    if (!error.reason().empty()) return false;
    switch (error.code()) {
      case grpc::StatusCode::UNAVAILABLE:
      case grpc::StatusCode::DEADLINE_EXCEEDED:
      case grpc::StatusCode::CANCELLED:
      case grpc::StatusCode::UNKNOWN:
      case grpc::StatusCode::INTERNAL: return true;
      default: return false;
    }
  }

  static bool is_transient(const Error& error) {
    return is_lost(error) || error.code() == grpc::StatusCode::UNAVAILABLE || error.retry_after().has_value();
  }

  /** Where the service itself does not know, it is unavailable and names the write's id. */
  static bool may_have_worked(const Error& error) {
    return is_lost(error) || error.code() == grpc::StatusCode::INTERNAL ||
           (error.code() == grpc::StatusCode::UNAVAILABLE && error.metadata().count("write_id") > 0);
  }

  static Milliseconds jittered(Milliseconds wait) {
    thread_local std::minstd_rand random{std::random_device{}()};
    std::uniform_int_distribution<Milliseconds::rep> between(wait.count() / 2, wait.count());
    return Milliseconds(between(random));
  }

  RetryPolicy policy_;
  Deadline deadline_;
  Milliseconds next_;
  std::optional<Error> failed_;
  bool outcome_unknown_ = false;
};

}  // namespace opsdb
