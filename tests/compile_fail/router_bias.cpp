// A bias without its row of parameters.
// expect: router.bias: give a type with  row_view parameters(row_context) const
// also: nvcc
#include <moeroute/moeroute.hpp>

struct my_bias {
  template <class V>
  MOEROUTE_HD V operator()(V score, V b) const {
    return score * b;
  }
#if !defined(FAIL)
  MOEROUTE_HD moeroute::row_view<float const> parameters(moeroute::row_context) const { return {}; }
#endif
};

auto const r = moeroute::router{.bias = my_bias{}};
