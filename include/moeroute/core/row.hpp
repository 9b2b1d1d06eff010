// Decides how a policy sees the experts of one token: a row that gives out its elements.
//
// A policy writes `row.each(group, [&](index_t e, auto& x) {...})` and so never knows whether the row is
// striped memory, registers, or one lane for each of several tokens.
#pragma once

#include <moeroute/core/group.hpp>
#include <moeroute/core/math.hpp>
#include <moeroute/core/view.hpp>

namespace moeroute::inline MOEROUTE_ABI {

template <class V>
struct memory_row {
  using value_type = std::remove_const_t<V>;
  V* data{};
  index_t count{};

  MOEROUTE_HD index_t size() const { return count; }
  // One element for every lane; other lanes' writes need a sync() before.
  MOEROUTE_HD value_type at(index_t e) const { return data[e]; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <class G, class F>
  MOEROUTE_HD void each(G const& g, F&& f) const {
    for (index_t e = g.rank(); e < count; e += g.size()) f(e, data[e]);
  }
};

namespace detail {
struct probe_visitor {
  template <class V>
  MOEROUTE_HD void operator()(index_t, V const&) const {}
};
}  // namespace detail

template <class R>
concept row = requires(R const& r, serial_group g, detail::probe_visitor visit) {
  typename R::value_type;
  { r.size() } -> std::convertible_to<index_t>;
  { r.at(index_t{}) } -> std::convertible_to<typename R::value_type>;
  r.each(g, visit);
};
static_assert(row<memory_row<float>> && row<memory_row<double const>>);

// The elements of a row seen through a function of (expert, value); read only.
template <class Row, class F>
struct mapped_row {
  using value_type = typename Row::value_type;
  Row base;
  F f;
  MOEROUTE_HD index_t size() const { return base.size(); }
  MOEROUTE_EXEC_CHECK_DISABLE
  MOEROUTE_HD value_type at(index_t e) const { return f(e, base.at(e)); }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <class G, class Visit>
  MOEROUTE_HD void each(G const& g, Visit&& visit) const {
    base.each(g, [&](index_t e, auto const& x) { visit(e, f(e, x)); });
  }
};
template <class Row, class F>
mapped_row(Row, F) -> mapped_row<Row, F>;

// The largest element, for every lane; -inf of none. No NaN. A row that knows it is not read.
MOEROUTE_EXEC_CHECK_DISABLE
template <class G, class Row>
MOEROUTE_HD MOEROUTE_INLINE auto row_top(G const& g, Row const& z) {
  using V = typename Row::value_type;
  if constexpr (requires { z.top_of_rows(); }) {
    return z.top_of_rows();
  } else {
    V top = V(-infinity<math::scalar_t<V>>);
    z.each(g, [&](index_t, V const& x) { top = math::max(x, top); });
    return V(g.max(top));
  }
}

}  // namespace moeroute::inline MOEROUTE_ABI
