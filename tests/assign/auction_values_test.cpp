// Decides whether what experts look at is what it says: values, ranges and columns, on vectors and without.
#include <cmath>

#include <moeroute/assign/auction_values.hpp>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE(
    "S019 auction values: value = score - price, what is held counts as given, any number of "
    "tokens") {
  for (std::size_t const tokens : {5u, 16u, 37u}) {
    auto score = narrow(normal_numbers(tokens + 16, 1)), price = narrow(normal_numbers(tokens, 2));
    std::vector<index_t> owner(tokens);
    for (std::size_t t = 0; t < tokens; ++t) owner[t] = static_cast<index_t>(t % 3) - 1;
    detail::auction_arrays<float> a{};
    a.tokens = static_cast<offset_t>(tokens), a.stride = a.tokens + 16;
    a.scores = score.data(), a.price = price.data(), a.owner = owner.data();
    std::vector<float> value(tokens);
    detail::value_tokens(serial_group{}, a, 0, 1, 9.f, value.data());
    for (std::size_t t = 0; t < tokens; ++t) CHECK(value[t] == (owner[t] == 1 ? 9.f : score[t] - price[t]));
  }
}

TEST_CASE("S019 auction values: finite range and finite columns of odd shapes") {
  for (std::size_t const experts : {3u, 16u, 35u}) {
    std::size_t const tokens = 21;
    auto z = narrow(normal_numbers(tokens * experts, static_cast<unsigned>(experts)));
    z[1] = infinity<float>, z[experts] = -infinity<float>, z[2 * experts + 2] = not_a_number<float>;
    float low = 1e9f, high = -1e9f;
    for (float const x : z)
      if (std::isfinite(x)) low = std::min(low, x), high = std::max(high, x);
    matrix_view<float const> const scores{z.data(), static_cast<offset_t>(tokens), static_cast<offset_t>(experts)};
    auto const range = detail::finite_range<float>(scores);
    CHECK(range.low == low);
    CHECK(range.high == high);
    std::vector<float> columns(experts * 40);
    detail::finite_columns(scores, low, columns.data(), 40);
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t e = 0; e < experts; ++e) {
        float const x = z[t * experts + e];
        CHECK(columns[e * 40 + t] == (std::isfinite(x) ? x : low));
      }
  }
  std::vector<float> const none(8, not_a_number<float>);
  CHECK(detail::finite_range<float>(matrix_view<float const>{none.data(), 2, 4}).high == 0);
}
