// A score that neither maps an element nor summarizes the row.
// expect: router.score: give a type with  V operator()(V logit) const
// also: nvcc
#include <moeroute/moeroute.hpp>

struct my_score {
#if defined(FAIL)
  int operator()() const { return 0; }
#else
  template <class V>
  MOEROUTE_HD V operator()(V logit) const {
    return logit;
  }
#endif
};

auto const r = moeroute::router{.score = my_score{}};
