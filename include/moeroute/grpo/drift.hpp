// Decides how far two routes of the same tokens lie apart: what replay repairs, and what to log where it is off.
//
// Integer counts, mergeable by +=; a row of the result is a layer. A choice has changed if the other trace's row
// does not hold it; a row has changed if any choice has; it is reordered if the sets agree and the order does not.
#pragma once

#include <moeroute/core/executor.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct route_drift {
  std::int64_t rows = 0, rows_changed = 0, rows_reordered = 0;
  std::int64_t choices = 0, choices_changed = 0;

  MOEROUTE_HD constexpr route_drift& operator+=(route_drift const& o) {
    rows += o.rows, rows_changed += o.rows_changed, rows_reordered += o.rows_reordered;
    choices += o.choices, choices_changed += o.choices_changed;
    return *this;
  }
  // Shares; 0 of nothing.
  constexpr double of_choices() const { return share(choices_changed, choices); }
  constexpr double of_rows() const { return share(rows_changed, rows); }

 private:
  static constexpr double share(std::int64_t part, std::int64_t all) {
    return all > 0 ? static_cast<double>(part) / static_cast<double>(all) : 0;
  }
};

template <class A, class B>
struct route_drift_row {
  matrix_view<A const> first;   // layers * tokens x k
  matrix_view<B const> second;  // layers * tokens x k
  offset_t tokens;              // rows of a layer
  row_view<route_drift> out;    // layers

  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t layer, scratch) const {
    route_drift d;
    for (offset_t t = layer * tokens + g.rank(); t < (layer + 1) * tokens; t += g.size()) {
      std::int64_t here = 0, gone = 0;
      bool same_order = true;
      for (offset_t j = 0; j < first.cols; ++j) {
        offset_t const a = id(first[t][j]);
        same_order = same_order && a == id(second[t][j]);
        if (a < 0) continue;
        ++here;
        bool kept = false;
        for (offset_t i = 0; i < second.cols; ++i) kept = kept || id(second[t][i]) == a;
        gone += !kept;
      }
      d.rows += 1, d.rows_changed += gone > 0, d.rows_reordered += gone == 0 && !same_order;
      d.choices += here, d.choices_changed += gone;
    }
    d.rows = g.sum(d.rows), d.rows_changed = g.sum(d.rows_changed), d.rows_reordered = g.sum(d.rows_reordered);
    d.choices = g.sum(d.choices), d.choices_changed = g.sum(d.choices_changed);
    if (g.rank() == 0) out[layer] = d;
    g.sync();
  }

 private:
  template <class Id>
  MOEROUTE_HD static offset_t id(Id x) {
    return x == no_expert_of<Id> ? -1 : static_cast<offset_t>(x);
  }
};

template <executor X, class A, class B>
status try_drift(X const& x, matrix_view<A> first, matrix_view<B> second, row_view<route_drift> out,
                 workspace w = {}) noexcept {
  checks c;
  c.must_be("second rows", second.rows, first.rows).must_be("second columns", second.cols, first.cols);
  c.strided("first", first).strided("second", second).at_least("out size (layers)", out.size, 1, errc::bad_shape);
  c.divides("layers (out size) of rows", out.size, first.rows);
  if (!c.result().ok()) return c.result();
  using Ia = std::remove_const_t<A>;
  using Ib = std::remove_const_t<B>;
  return x.run(out.size, route_drift_row<Ia, Ib>{first, second, first.rows / out.size, out}, w);
}
template <executor X, class A, class B>
void drift(X const& x, matrix_view<A> first, matrix_view<B> second, row_view<route_drift> out, workspace w = {}) {
  throw_if_bad(try_drift(x, first, second, out, w));
}

}  // namespace moeroute::inline MOEROUTE_ABI
