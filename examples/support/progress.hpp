// Decides how a long run shows that it is alive: one line on standard error with rate and time left, on a
// terminal only; silent in a pipe, in CI and when asked to be quiet. Namespace: moeroute_examples.
#pragma once

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace moeroute_examples {

class progress {
 public:
  progress(std::string what, std::int64_t steps, bool quiet = false)
      : what_(std::move(what)), steps_(steps), visible_(!quiet && on_terminal()) {}
  ~progress() { clear(); }
  progress(progress const&) = delete;
  progress& operator=(progress const&) = delete;

  void step(std::int64_t n = 1) {
    done_ += n;
    if (visible_ && (now() - shown_ > std::chrono::milliseconds(100) || done_ == steps_)) show();
  }
  // Makes room for a line of output.
  void clear() {
    if (drawn_) std::fputs("\r\033[K", stderr);
    drawn_ = false;
  }

 private:
  using clock = std::chrono::steady_clock;
  static clock::time_point now() { return clock::now(); }
  static bool on_terminal() { return isatty(2) != 0 && std::getenv("CI") == nullptr; }
  void show() {
    double const seconds = std::chrono::duration<double>(now() - start_).count();
    double const rate = seconds > 0 ? static_cast<double>(done_) / seconds : 0;
    constexpr int width = 24;
    auto const filled = steps_ > 0 ? static_cast<int>(done_ * width / steps_) : 0;
    std::string bar;
    for (int i = 0; i < width; ++i) bar += i < filled ? "\u2588" : "\u2591";
    std::fprintf(stderr, "\r\033[K%s %s %lld/%lld  %.3g/s", what_.c_str(), bar.c_str(), static_cast<long long>(done_),
                 static_cast<long long>(steps_), rate);
    if (rate > 0 && done_ < steps_) std::fprintf(stderr, "  %.0f s left", static_cast<double>(steps_ - done_) / rate);
    std::fflush(stderr);
    drawn_ = true;
    shown_ = now();
  }

  std::string what_;
  std::int64_t steps_, done_ = 0;
  bool visible_, drawn_ = false;
  clock::time_point start_ = now(), shown_{};
};

}  // namespace moeroute_examples
