// Decides how a loss that has a part for each expert becomes one number: a tree of fixed shape.
#pragma once

#include <moeroute/core/executor.hpp>
#include <moeroute/core/tree_sum.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace detail {

struct add_rows {
  row_view<double const> parts;
  double* total;
  offset_t scratch_bytes() const { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t, scratch) const {
    double const sum = tree_sum<double>(g, parts.size, [&](offset_t e) { return parts[e]; });
    if (g.rank() == 0) *total = sum;
    g.sync();
  }
};

}  // namespace detail
}  // namespace moeroute::inline MOEROUTE_ABI
