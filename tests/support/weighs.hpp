// Decides which weights of the library a test of many rows side by side goes through.
#pragma once

#include <moeroute/weigh.hpp>

// Every weigh of the scores of a selection, with each of its forms.
template <class F>
void every_weigh(F const& check) {
  using namespace moeroute;
  check(keep_scores{.scale = 1.5f});
  check(renormalize{.scale = 2.5f});
  check(renormalize{.epsilon = 0, .floor = .3f});
  check(renormalize{.keep_single = true});
  check(p_norm{.p = 1});
  check(p_norm{});
  check(p_norm{.p = 0});
  check(softmax_over_chosen{});
}
