// Decides where the rows of a command run: serial, threads:N or lockstep:N, chosen at run time. It is an
// executor like any other, so that a scheme hands it to the verbs as it is. Rows run one by one: the vector
// path has the same bits, and would be compiled for every router of every scheme. Namespace: moeroute_examples.
#pragma once

#include <thread>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>

#include "support/input_error.hpp"

namespace moeroute_examples {

struct any_executor {
  enum class kind { serial, threads, lockstep };
  kind what = kind::serial;
  moeroute::index_t n = 1;

  template <class Body>
  moeroute::status run(moeroute::offset_t rows, Body const& body, moeroute::workspace w) const noexcept {
    switch (what) {
      case kind::threads:
        return moeroute::row_by_row{moeroute::threads{n}}.run(rows, body, w);
      case kind::lockstep:
        return moeroute::lockstep{n}.run(rows, body, w);
      case kind::serial:
        break;
    }
    return moeroute::row_by_row{moeroute::serial{}}.run(rows, body, w);
  }
  moeroute::offset_t workspace_bytes(moeroute::offset_t scratch_bytes) const {
    if (what == kind::threads) return moeroute::threads{n}.workspace_bytes(scratch_bytes);
    return moeroute::serial::workspace_bytes(scratch_bytes);
  }
  // Tables that a verb may fill at once.
  moeroute::index_t shares() const { return what == kind::threads ? n : 1; }
  std::string name() const {
    if (what == kind::serial) return "serial";
    return (what == kind::threads ? "threads:" : "lockstep:") + std::to_string(n);
  }

  static any_executor named(std::string const& words) {
    char const* const wanted = "serial, threads:N (1 to 256), lockstep:N (1 to 64) or cuda";
    auto const colon = words.find(':');
    std::string const head = words.substr(0, colon);
    bool const bare = colon == std::string::npos;
    if (words == "serial") return {};
    if (words == "cuda")
      throw input_error("--executor", "cuda", "a build of this program with CUDA, and a GPU",
                        "a CPU build: use serial or threads:N");
    if (head != "threads" && head != "lockstep") throw input_error("command line", "--executor", wanted, words);
    bool const threaded = head == "threads";
    int const most = threaded ? 256 : 64;
    int n = 0;
    if (bare) n = threaded ? static_cast<int>(std::max(1u, std::thread::hardware_concurrency())) : 4;
    else
      for (char const c : words.substr(colon + 1))
        n = c >= '0' && c <= '9' && n <= most ? n * 10 + (c - '0') : most + 1;
    if (n < 1 || n > most) throw input_error("command line", "--executor", wanted, words);
    return {threaded ? kind::threads : kind::lockstep, n};
  }
};
static_assert(moeroute::executor<any_executor>);

// Memory for one call of a verb.
inline std::vector<std::byte> memory(moeroute::offset_t bytes) {
  return std::vector<std::byte>(static_cast<std::size_t>(bytes));
}

}  // namespace moeroute_examples
