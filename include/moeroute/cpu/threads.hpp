// Decides how rows are shared among CPU threads: equal runs of rows, the same bits as serial.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include <moeroute/core/executor.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {
// Share i of n: rows [first, last), sizes differ by at most one.
constexpr row_range share_of(offset_t rows, offset_t i, offset_t n) {
  offset_t const base = rows / n, extra = rows % n;
  offset_t const first = i * base + (i < extra ? i : extra);
  return {first, first + base + (i < extra ? 1 : 0)};
}
// One thread's part of the workspace.
inline workspace part_of(workspace w, offset_t i, offset_t bytes) {
  return {w.data == nullptr ? nullptr : w.data + i * bytes, bytes};
}
}  // namespace detail

// Starts n - 1 threads for the time of each call.
struct threads {
  index_t n = 2;

  index_t shares() const { return n; }
  offset_t workspace_bytes(offset_t scratch_bytes, offset_t rows_scratch_bytes = 0) const {
    return (n < 1 ? 1 : n) * serial::workspace_bytes(scratch_bytes, rows_scratch_bytes);
  }
  template <class Body>
  status run(offset_t rows, Body const& body, workspace w) const noexcept {
    checks c;
    c.at_least("threads.n", n, 1).also(workspace_ok(w, workspace_bytes(body.scratch_bytes(), rows_scratch_of(body))));
    if (!c.result().ok()) return c.result();
    offset_t const each = serial::workspace_bytes(body.scratch_bytes(), rows_scratch_of(body));
    offset_t const used = n < rows ? n : (rows < 1 ? 1 : rows);
    auto const work = [&](offset_t i) {
      return detail::share_of(rows, i, used).run(rows, body, detail::part_of(w, i, each));
    };
#if defined(__cpp_exceptions)
    try {
#endif
      std::vector<std::thread> others;
      others.reserve(static_cast<std::size_t>(used - 1));
      status first{};
      for (offset_t i = 1; i < used; ++i) others.emplace_back([&work, i] { static_cast<void>(work(i)); });
      first = work(0);
      for (auto& t : others) t.join();
      return first;
#if defined(__cpp_exceptions)
    } catch (...) {  // no thread to be had: `others` may not die unjoined, so nothing was started half
      return {errc::unsupported, "threads.n (the system refused to start a thread)", "must be at most", n, 1};
    }
#endif
  }
};
static_assert(executor<threads>);

struct team_options {
  index_t spin_us = 50;  // how long a thread looks for news before it sleeps; 0: it sleeps at once
};

namespace detail {
inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}
// Whether it came true within the time.
template <class F>
bool came_true(F const& condition, index_t within_us) {
  if (condition()) return true;
  if (within_us <= 0) return false;
  auto const until = std::chrono::steady_clock::now() + std::chrono::microseconds(within_us);
  do {
    for (int i = 0; i < 16; ++i) {
      if (condition()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() < until);
  return condition();
}
}  // namespace detail

// Threads that wait between calls; one call at a time. For callers who route often and keep a team. A thread that waits
// looks for a short time, then sleeps: waking one takes some 10 us, which is more than routing a few tokens. Where the
// team has more threads than the machine has cores, nobody looks.
class thread_team {
 public:
  explicit thread_team(index_t n, team_options options = {}) : n_(n < 1 ? 1 : n) {
    unsigned const cores = std::thread::hardware_concurrency();  // 0: not known
    spin_us_ = cores != 0 && static_cast<unsigned>(n_) > cores ? 0 : options.spin_us;
    others_.reserve(static_cast<std::size_t>(n_ - 1));
    for (index_t i = 1; i < n_; ++i) others_.emplace_back([this, i] { wait_and_work(i); });
  }
  ~thread_team() {
    start(nullptr, nullptr);
    for (auto& t : others_) t.join();
  }
  thread_team(thread_team const&) = delete;
  thread_team& operator=(thread_team const&) = delete;

  index_t size() const { return n_; }
  index_t shares() const { return n_; }
  offset_t workspace_bytes(offset_t scratch_bytes, offset_t rows_scratch_bytes = 0) const {
    return n_ * serial::workspace_bytes(scratch_bytes, rows_scratch_bytes);
  }
  template <class Body>
  status run(offset_t rows, Body const& body, workspace w) const noexcept {
    offset_t const each = serial::workspace_bytes(body.scratch_bytes(), rows_scratch_of(body));
    if (status const s = workspace_ok(w, n_ * each); !s.ok()) return s;
    if (rows < 2) return detail::share_of(rows, 0, 1).run(rows, body, detail::part_of(w, 0, each));  // wakes nobody
    auto const work = [&](index_t i) {
      static_cast<void>(detail::share_of(rows, i, n_).run(rows, body, detail::part_of(w, i, each)));
    };
    start([](void const* f, index_t i) { (*static_cast<decltype(&work)>(f))(i); }, &work);
    work(0);
    wait_for_others();
    return {};
  }

 private:
  using call = void (*)(void const*, index_t);
  // Who sleeps says so before it looks a last time, who has news looks for sleepers after telling it: one sees the
  // other, for both are sequentially consistent. The mutex is for sleepers alone.
  void start(call f, void const* argument) const {
    call_ = f;
    argument_ = argument;
    running_.store(n_ - 1, std::memory_order_relaxed);
    turn_.fetch_add(1);
    if (sleepers_.load() != 0) wake(go_);
  }
  void wait_for_others() const {
    auto const done = [&] { return running_.load() == 0; };
    if (detail::came_true(done, spin_us_)) return;
    std::unique_lock lock(mutex_);
    caller_sleeps_.store(true);
    done_.wait(lock, done);
    caller_sleeps_.store(false);
  }
  void wait_and_work(index_t i) {
    for (std::uint64_t seen = 0;; ++seen) {
      auto const called = [&] { return turn_.load() != seen; };
      if (!detail::came_true(called, spin_us_)) {
        std::unique_lock lock(mutex_);
        sleepers_.fetch_add(1);
        go_.wait(lock, called);
        sleepers_.fetch_sub(1);
      }
      if (call_ == nullptr) return;
      call_(argument_, i);
      if (running_.fetch_sub(1) == 1 && caller_sleeps_.load()) wake(done_);
    }
  }
  void wake(std::condition_variable& sleeping) const {
    std::lock_guard const lock(mutex_);  // a sleeper that looked too early is asleep by now
    sleeping.notify_all();
  }

  index_t n_, spin_us_;
  mutable call call_ = nullptr;  // told by turn_
  mutable void const* argument_ = nullptr;
  alignas(64) mutable std::atomic<std::uint64_t> turn_{0};
  alignas(64) mutable std::atomic<index_t> running_{0};
  alignas(64) mutable std::atomic<index_t> sleepers_{0};
  mutable std::atomic<bool> caller_sleeps_{false};
  mutable std::mutex mutex_;
  mutable std::condition_variable go_, done_;
  std::vector<std::thread> others_;  // last: they use all of the above
};
static_assert(executor<thread_team>);

}  // namespace moeroute::inline MOEROUTE_ABI
