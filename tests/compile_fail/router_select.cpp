// A selector that does not say how many experts it takes.
// expect: router.select: give token choice
// also: nvcc
#include <moeroute/moeroute.hpp>

struct my_select {
  static constexpr auto keys = moeroute::key_kind::rank;
  MOEROUTE_HD void operator()(auto const&, moeroute::row_context, auto const&, auto out) const {
    for (auto& id : out) id = 0;
  }
#if !defined(FAIL)
  MOEROUTE_HD moeroute::index_t experts_per_token() const { return 1; }
#endif
};

auto const r = moeroute::router{.select = my_select{}};
