// Decides whether choices are numbered and found as the plan's view says.
#include <doctest/doctest.h>

#include <vector>

#include <moeroute/plan/view.hpp>

using namespace moeroute;

TEST_CASE("plan view: the numbers of choices, fixed and ragged, lead back to their tokens") {
  choice_shape const fixed_k{3, 4, {}};
  CHECK(fixed_k.size() == 12);
  for (offset_t c = 0; c < 12; ++c) CHECK(fixed_k.token_of(c) == c / 4);
  std::vector<offset_t> const starts{0, 0, 2, 2, 5, 6, 6};
  choice_shape const ragged{6, 0, starts};
  CHECK(ragged.size() == 6);
  for (offset_t t = 0; t < 6; ++t)
    for (offset_t c = ragged.first(t); c < ragged.last(t); ++c) CHECK(ragged.token_of(c) == t);
}

TEST_CASE("promise P12: choices of a batch beyond 2^31 are numbered in 64 bits") {
  choice_shape const large{offset_t{1} << 33, 8, {}};
  CHECK(large.size() == offset_t{1} << 36);
  CHECK(large.token_of((offset_t{1} << 36) - 1) == (offset_t{1} << 33) - 1);
  CHECK(plan_rows_bound(offset_t{1} << 36, 256, 128) == (offset_t{1} << 36) + 256 * 127);
}

TEST_CASE("plan view: values of a choice follow the row stride, or the offsets") {
  std::vector<float> v(20);
  choice_shape const fixed_k{3, 2, {}};
  CHECK(values_of(matrix_view<float>(v.data(), 3, 2, 5), fixed_k, 2) == v.data() + 10);
  std::vector<offset_t> const starts{0, 3, 7};
  CHECK(values_of(matrix_view<float>(v.data(), 1, 7), choice_shape{2, 0, starts}, 1) == v.data() + 3);
}
