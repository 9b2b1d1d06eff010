// Decides where rows run and whose memory they use: executors, and the workspace a caller hands in.
#pragma once

#include <moeroute/core/group.hpp>
#include <moeroute/core/status.hpp>
#include <moeroute/core/view.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// Memory of the caller for the time of one call; what is in it before does not matter.
struct workspace {
  std::byte* data{};
  offset_t bytes{};

  constexpr workspace() = default;
  constexpr workspace(void* p, offset_t n) : data(static_cast<std::byte*>(p)), bytes(n) {}
  template <class R>
    requires(!std::same_as<std::remove_cvref_t<R>, workspace> &&
             requires(R&& r) {
               r.data();
               r.size();
               *r.data();
             })
  constexpr workspace(R&& r)
      : workspace(detail::raw_pointer(r.data()), static_cast<offset_t>(r.size() * sizeof(*r.data()))) {}
};

inline constexpr offset_t workspace_alignment = 64;
template <class T>
MOEROUTE_HD constexpr offset_t aligned_bytes(offset_t count) {
  offset_t const bytes = count * static_cast<offset_t>(sizeof(T));
  return (bytes + workspace_alignment - 1) & -workspace_alignment;
}

// Hands out arrays from a piece of memory, each aligned; sizes were asked for beforehand.
struct scratch {
  std::byte* at{};
  template <class T>
  MOEROUTE_HD T* take(offset_t count) {
    auto* const p = reinterpret_cast<T*>(at);
    at += aligned_bytes<T>(count);
    return p;
  }
};
// The first aligned byte of a workspace; its size bound counts one alignment more for this.
inline scratch aligned_scratch(workspace w) {
  auto const misfit = reinterpret_cast<std::uintptr_t>(w.data) % workspace_alignment;
  return {w.data + (misfit == 0 ? 0 : workspace_alignment - static_cast<offset_t>(misfit))};
}

// A body is a small, trivially copyable functor: operator()(group, row, scratch) and the bytes of
// scratch that one row needs.
template <class B>
concept row_body = requires(B const& b, serial_group g, offset_t r, scratch s) {
  { b.scratch_bytes() } -> std::same_as<offset_t>;
  b(g, r, s);
};

// A body may also offer rows(first, last, scratch), a faster way through many rows on one CPU thread with
// the same results, and the scratch it needs. `row_by_row{executor}` switches it off.
template <class B>
concept rows_body = requires(B const& b, offset_t r, scratch s) {
  { b.rows_scratch_bytes() } -> std::same_as<offset_t>;
  b.rows(r, r, s);
};
template <class B>
offset_t rows_scratch_of(B const& b) {
  if constexpr (rows_body<B>) return b.rows_scratch_bytes();
  else return 0;
}

namespace detail {
struct probe_body {
  offset_t scratch_bytes() const { return 0; }
  void operator()(lane_group auto const&, offset_t, scratch) const {}
};
}  // namespace detail

// An executor runs a body once for every row. It owns no algorithm and, but for thread starts, allocates
// nothing: `workspace_bytes` says what the caller must hand in.
template <class X>
concept executor = requires(X const& x, detail::probe_body b, workspace w) {
  { x.run(offset_t{}, b, w) } noexcept -> std::same_as<status>;
  { x.workspace_bytes(offset_t{}) } -> std::same_as<offset_t>;
};

// `first` for every row, then `second` for every row, which may read all that `first` wrote. Two runs; an executor that
// can wait for all rows in the middle overloads it (cuda/grid.cuh: one launch).
template <executor X, class First, class Second>
status run_both(X const& x, offset_t rows, First const& first, Second const& second, workspace w) noexcept {
  status const s = x.run(rows, first, w);
  return s.ok() ? x.run(rows, second, w) : s;
}
namespace detail {
// What one of `groups` groups does of run_both: rows index, index + groups, ... of each body, and between them `wait`,
// which returns when all groups have come there and what they wrote can be read.
MOEROUTE_EXEC_CHECK_DISABLE
template <class G, class First, class Second, class Wait>
MOEROUTE_HD void both_in_stripes(G const& g, offset_t index, offset_t groups, offset_t rows, First const& first,
                                 Second const& second, scratch s, Wait const& wait) {
  for (offset_t r = index; r < rows; r += groups) {
    first(g, r, s);
    g.sync();  // the scratch is used again
  }
  wait();
  for (offset_t r = index; r < rows; r += groups) {
    second(g, r, s);
    g.sync();
  }
}
}  // namespace detail

// How many runs of rows an executor works on at once; 1 unless it says so. Verbs that count in several
// tables at once ask for it; the result never depends on it.
template <class X>
offset_t shares_of(X const& x) {
  if constexpr (requires { x.shares(); }) return x.shares() < 1 ? 1 : static_cast<offset_t>(x.shares());
  else return 1;
}

// Whether a verb may read the arrays themselves, not only their shapes. An executor whose arrays live on a
// device says  static constexpr bool on_device = true.
template <class X>
inline constexpr bool runs_on_host = true;
template <class X>
  requires requires { X::on_device; }
inline constexpr bool runs_on_host<X> = !X::on_device;

inline constexpr status workspace_ok(workspace w, offset_t wanted) {
  return checks{}.at_least("workspace bytes", w.bytes, wanted, errc::too_small).result();
}

namespace detail {
template <class Body>
void run_rows(Body const& body, offset_t first, offset_t last, scratch s) {
  if constexpr (rows_body<Body>) body.rows(first, last, s);
  else
    for (offset_t r = first; r < last; ++r) body(serial_group{}, r, s);
}
}  // namespace detail

// Rows in order, on the calling thread.
struct serial {
  static constexpr offset_t workspace_bytes(offset_t scratch_bytes, offset_t rows_scratch_bytes = 0) {
    offset_t const most = scratch_bytes > rows_scratch_bytes ? scratch_bytes : rows_scratch_bytes;
    return most == 0 ? 0 : most + workspace_alignment;
  }
  template <class Body>
  status run(offset_t rows, Body const& body, workspace w) const noexcept {
    offset_t const bytes = workspace_bytes(body.scratch_bytes(), rows_scratch_of(body));
    if (status const s = workspace_ok(w, bytes); !s.ok()) return s;
    detail::run_rows(body, 0, rows, w.data == nullptr ? scratch{} : aligned_scratch(w));
    return {};
  }
};
static_assert(executor<serial>);

// Rows [first, last) of the batch, for an engine that owns its threads and gives each a share. Only for
// verbs whose rows do not meet (route, permute, combine and their backwards), each share with a
// workspace of its own.
struct row_range {
  offset_t first = 0;
  offset_t last = 0;
  static constexpr offset_t workspace_bytes(offset_t scratch_bytes, offset_t rows_scratch_bytes = 0) {
    return serial::workspace_bytes(scratch_bytes, rows_scratch_bytes);
  }
  template <class Body>
  status run(offset_t rows, Body const& body, workspace w) const noexcept {
    checks c;
    c.at_least("row_range.first", first, 0).at_most("row_range.first", first, last);
    offset_t const bytes = workspace_bytes(body.scratch_bytes(), rows_scratch_of(body));
    c.at_most("row_range.last", last, rows).also(workspace_ok(w, bytes));
    if (!c.result().ok()) return c.result();
    detail::run_rows(body, first, last, w.data == nullptr ? scratch{} : aligned_scratch(w));
    return {};
  }
};
static_assert(executor<row_range>);

// An executor without the faster way through many rows: for comparison, and to switch it off.
template <class X>
struct row_by_row {
  X base{};
  template <class Body>
  struct one_row {
    Body body;
    offset_t scratch_bytes() const { return body.scratch_bytes(); }
    void operator()(lane_group auto const& g, offset_t r, scratch s) const { body(g, r, s); }
  };
  offset_t workspace_bytes(offset_t scratch_bytes, offset_t = 0) const { return base.workspace_bytes(scratch_bytes); }
  template <class Body>
  status run(offset_t rows, Body const& body, workspace w) const noexcept {
    return base.run(rows, one_row<Body>{body}, w);
  }
};
template <class X>
row_by_row(X) -> row_by_row<X>;
static_assert(executor<row_by_row<serial>>);

// Workspace of an executor for a body with these needs.
template <class X>
offset_t body_workspace_bytes(X const& x, offset_t scratch_bytes, offset_t rows_scratch_bytes) {
  if constexpr (requires { x.workspace_bytes(scratch_bytes, rows_scratch_bytes); })
    return x.workspace_bytes(scratch_bytes, rows_scratch_bytes);
  else return x.workspace_bytes(scratch_bytes);
}

}  // namespace moeroute::inline MOEROUTE_ABI
