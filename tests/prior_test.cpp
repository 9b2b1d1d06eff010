#include <doctest/doctest.h>

#include <vector>

#include <moeroute/prior.hpp>

using namespace moeroute;

namespace {
template <class P>
std::vector<float> applied(P const& p, std::vector<float> x, row_context c = {}) {
  p(serial_group{}, c, memory_row<float>{x.data(), static_cast<index_t>(x.size())});
  return x;
}
float const closed = -infinity<float>;
}  // namespace

TEST_CASE("prior: masks close, offsets add, both runs first then second") {
  std::vector<std::uint8_t> const open{1, 0, 1}, pools{1, 0, 0, 0, 1, 1};
  std::vector<float> const offset{1, 2, 3};
  expert_mask const mask{row_view<std::uint8_t const>(open)};
  CHECK(applied(no_prior{}, {1, 2, 3}) == std::vector<float>{1, 2, 3});
  CHECK(applied(mask, {1, 2, 3}) == std::vector<float>{1, closed, 3});
  CHECK(applied(availability{row_view<std::uint8_t const>(open)}, {1, 2, 3}) == std::vector<float>{1, closed, 3});
  modality_mask const pool{{pools.data(), 2, 3}};
  CHECK(applied(pool, {1, 2, 3}, {.modality = 0}) == std::vector<float>{1, closed, closed});
  CHECK(applied(pool, {1, 2, 3}, {.modality = 1}) == std::vector<float>{closed, 2, 3});
  logit_offset const steer{row_view<float const>(offset), 2};
  CHECK(applied(steer, {1, 1, 1}) == std::vector<float>{3, 5, 7});
  CHECK(applied(both{mask, steer}, {1, 1, 1}) == std::vector<float>{3, closed, 7});
}

TEST_CASE("promise P17 prior: tables of the wrong size are named") {
  std::vector<std::uint8_t> const open{1, 0, 1};
  CHECK(expert_mask{row_view<std::uint8_t const>(open)}.validate(3).ok());
  CHECK_FALSE(expert_mask{row_view<std::uint8_t const>(open)}.validate(4).ok());
  CHECK_FALSE(modality_mask{{open.data(), 1, 3}}.validate(4).ok());
  CHECK_FALSE(both{expert_mask{row_view<std::uint8_t const>(open)}, no_prior{}}.validate(2).ok());
}
