#pragma once

#include <exception>
#include <functional>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

/** A promise of the client and what shows that it is kept. */
struct Check {
  std::string promise;
  std::function<void()> run;
};

inline std::vector<Check>& checks() {
  static std::vector<Check> all;
  return all;
}

struct Registered {
  Registered(std::string promise, std::function<void()> run) { checks().push_back({std::move(promise), std::move(run)}); }
};

/** Fails the check unless both are equal. */
template <class A, class B>
void same(const A& got, const B& wanted, const std::string& what) {
  if (got == wanted) return;
  std::ostringstream text;
  text << what << ": " << got << ", not " << wanted;
  throw std::logic_error(text.str());
}

inline void holds(bool condition, const std::string& what) {
  if (!condition) throw std::logic_error(what);
}

/** The exception of this type that the call ends with. */
template <class E, class Call>
E thrown(const Call& call) {
  try {
    call();
  } catch (const E& error) {
    return error;
  }
  throw std::logic_error("nothing was thrown");
}

/** Runs every check, tells each on a line of its own, and returns the exit status. */
inline int run_checks() {
  int failed = 0;
  for (const auto& check : checks()) {
    try {
      check.run();
      std::cout << "ok      " << check.promise << std::endl;
    } catch (const std::exception& error) {
      ++failed;
      std::cout << "FAILED  " << check.promise << ": " << error.what() << std::endl;
    }
  }
  std::cout << checks().size() - failed << " held, " << failed << " failed" << std::endl;
  return failed == 0 ? 0 : 1;
}
