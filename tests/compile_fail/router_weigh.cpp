// A weigher that returns weights where it should change them in place.
// expect: router.weigh: give a type with  void operator()(row) const
// also: nvcc
#include <moeroute/moeroute.hpp>

struct my_weigh {
#if defined(FAIL)
  float operator()(float score) const { return score; }
#else
  template <class V>
  MOEROUTE_HD void operator()(moeroute::row_view<V> w) const {
    for (auto& x : w) x = V(1);
  }
#endif
};

auto const r = moeroute::router{.weigh = my_weigh{}};
