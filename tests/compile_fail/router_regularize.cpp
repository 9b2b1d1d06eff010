// A loss that does not say it is one.
// expect: router.regularize: give a loss term, or terms{a, b}
// also: nvcc
#include <moeroute/moeroute.hpp>

struct my_loss {
  float alpha = 1;
#if !defined(FAIL)
  using is_regularizer = void;
#endif
};

auto const r = moeroute::router{.regularize = my_loss{}};
