// A prior that forgets the row.
// expect: router.prior: give a type with  void operator()(group, row_context, row logits) const
// also: nvcc
#include <moeroute/moeroute.hpp>

struct my_prior {
#if defined(FAIL)
  void operator()(moeroute::row_context) const {}
#else
  MOEROUTE_HD void operator()(auto const&, moeroute::row_context, auto const&) const {}
#endif
};

auto const r = moeroute::router{.prior = my_prior{}};
