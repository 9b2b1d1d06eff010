// Decides how rows are shared among CPU threads: equal runs of rows, no atomics, the same bits as serial.
#pragma once

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

// Threads that wait between calls; one call at a time. For callers who route often and keep a team.
class thread_team {
 public:
  explicit thread_team(index_t n) : n_(n < 1 ? 1 : n) {
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
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return running_ == 0; });
    return {};
  }

 private:
  using call = void (*)(void const*, index_t);
  void start(call f, void const* argument) const {
    std::lock_guard const lock(mutex_);
    call_ = f;
    argument_ = argument;
    running_ = n_ - 1;
    ++turn_;
    go_.notify_all();
  }
  void wait_and_work(index_t i) {
    for (std::uint64_t seen = 0;;) {
      call f;
      void const* argument;
      {
        std::unique_lock lock(mutex_);
        go_.wait(lock, [&] { return turn_ != seen; });
        seen = turn_;
        f = call_;
        argument = argument_;
      }
      if (f == nullptr) return;
      f(argument, i);
      std::lock_guard const lock(mutex_);
      if (--running_ == 0) done_.notify_one();
    }
  }

  index_t n_;
  std::vector<std::thread> others_;
  mutable std::mutex mutex_;
  mutable std::condition_variable go_, done_;
  mutable std::uint64_t turn_ = 0;
  mutable index_t running_ = 0;
  mutable call call_ = nullptr;
  mutable void const* argument_ = nullptr;
};
static_assert(executor<thread_team>);

}  // namespace moeroute::inline MOEROUTE_ABI
