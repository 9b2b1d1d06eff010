// Decides whether choices line up as the rule says, in any number of shares.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <string>
#include <tuple>

#include <moeroute/plan/queue.hpp>

#include "support/plan_arrays.hpp"

using namespace moeroute;

namespace {
struct space {
  std::vector<std::uint64_t> keys[2];
  std::vector<offset_t> items[2];
  explicit space(offset_t n) {
    for (int i = 0; i < 2; ++i) keys[i] = poisoned<std::uint64_t>(n), items[i] = poisoned<offset_t>(n);
  }
  detail::sort_space view() { return {{keys[0].data(), keys[1].data()}, {items[0].data(), items[1].data()}}; }
};
std::vector<offset_t> walked(detail::queue_line const& line, choices_view<> const& in, offset_t shares) {
  std::vector<offset_t> out;
  for (offset_t s = 0; s < shares; ++s)
    line.each(in, s, shares, [&](offset_t t, offset_t c, index_t) {
      CHECK(in.shape().token_of(c) == t);
      out.push_back(c);
    });
  return out;
}
}  // namespace

TEST_CASE("queue: the sort is stable and descending; NaN last; -0 equals 0") {
  std::vector<float> const v{0.f,  -0.f,  std::numeric_limits<float>::quiet_NaN(), 3.f, -INFINITY, 3.f, INFINITY,
                             -2.f, 1e-40f};
  space sp(std::ssize(v));
  for (std::size_t i = 0; i < v.size(); ++i) sp.keys[0][i] = detail::descending(v[i]);
  auto const* const got = detail::radix_sort(sp.view(), std::ssize(v), 4);
  CHECK(std::vector<offset_t>(got, got + v.size()) == std::vector<offset_t>{6, 3, 5, 8, 0, 1, 7, 4, 2});
  std::vector<double> const d{1e-300, -1e300, 5., 1e-300, 5.5};
  space sd(5);
  for (std::size_t i = 0; i < d.size(); ++i) sd.keys[0][i] = detail::descending(d[i]);
  auto const* const more = detail::radix_sort(sd.view(), 5, 8);
  CHECK(std::vector<offset_t>(more, more + 5) == std::vector<offset_t>{4, 2, 0, 3, 1});
}

TEST_CASE("queue: every order walks every choice once, in its order, for any shares, fixed and ragged") {
  std::vector<offset_t> const starts{0, 2, 2, 5, 6};
  std::vector<int> const ids{3, 1, 0, 2, 2, 1};
  choices_view<> const in{.ids = {ids.data(), 1, 6}, .offsets = starts};
  std::vector<float> const of_token{1.f, 9.f, 4.f, 4.f}, of_choice{.1f, .5f, .5f, .9f, .2f, .5f};
  auto const walk = [&](queue_keys<> const& keys, offset_t shares) {
    REQUIRE(validate(keys, in).ok());
    space sp(6);
    auto const line = detail::line_up(in, keys, sp.view());
    return walked(line, in, shares);
  };
  using O = std::vector<offset_t>;
  for (offset_t const shares : {1, 2, 3, 7}) {
    CHECK(walk({queue_order::position}, shares) == O{0, 1, 2, 3, 4, 5});
    CHECK(walk({queue_order::choice_major}, shares) == O{0, 2, 5, 1, 3, 4});
    CHECK(walk({.order = queue_order::batch_priority, .of_token = of_token}, shares) == O{2, 5, 0, 3, 1, 4});
    CHECK(walk({.order = queue_order::score, .of_choice = {of_choice.data(), 1, 6}}, shares) == O{3, 1, 2, 5, 4, 0});
    auto const drawn = walk({.order = queue_order::shuffled, .random = {7}}, shares);
    CHECK(std::set<offset_t>(drawn.begin(), drawn.end()).size() == 6);
    CHECK(drawn == walk({.order = queue_order::shuffled, .random = {7}}, 1));
  }
}

TEST_CASE("promise P20: the shuffle depends on seed, step and the token's name alone") {
  std::vector<int> const ids(64, 2);
  choices_view<> const in{.ids = {ids.data(), 64, 1}};
  auto const order = [&](std::uint64_t seed, std::uint32_t step, std::vector<offset_t> const& names) {
    space sp(64);
    return walked(
        detail::line_up(in, queue_keys<>{.order = queue_order::shuffled, .random = {seed, step}, .token = names},
                        sp.view()),
        in, 1);
  };
  std::vector<offset_t> names(64), reversed(64);
  std::iota(names.begin(), names.end(), 100);
  std::reverse_copy(names.begin(), names.end(), reversed.begin());
  auto const a = order(1, 0, names);
  CHECK(a == order(1, 0, names));
  CHECK(a != order(2, 0, names));
  CHECK(a != order(1, 1, names));
  auto const b = order(1, 0, reversed);
  for (std::size_t i = 0; i < 64; ++i)
    CHECK(names[static_cast<std::size_t>(a[i])] == reversed[static_cast<std::size_t>(b[i])]);
}

TEST_CASE("promise P17: a queue names the keys it misses") {
  std::vector<int> const ids(8, 0);
  choices_view<> const in{.ids = {ids.data(), 4, 2}};
  CHECK(validate(queue_keys<>{.order = queue_order::batch_priority}, in).code == errc::missing);
  CHECK(validate(queue_keys<>{.order = queue_order::score}, in).code == errc::bad_shape);
  CHECK(std::string(message(validate(queue_keys<>{.order = queue_order::score}, in)).c_str())
            .find("queue.of_choice rows = 0 must be 4") != std::string::npos);
}
