// Decides whether the transposed picks are the same pairs, in the order a plan expects.
#include <moeroute/select/picks_by_token.hpp>

#include <vector>

#include <doctest/doctest.h>

#include <moeroute/cpu/lockstep.hpp>

using namespace moeroute;

TEST_CASE("S014 picks by token: every pair once, experts ascending, weights and origin with it") {
  std::vector<offset_t> const tokens{2, 0, -1, 3, 2, 0, 2, -1, -1};
  std::vector<float> const weights{1, 2, 0, 3, 4, 5, 6, 0, 0};
  auto const check = [&](auto const& x) {
    std::vector<offset_t> offsets(6, 77), pick(9);
    std::vector<index_t> ids(9);
    std::vector<float> w(9);
    picks_by_token(x, matrix_view<offset_t const>{tokens.data(), 3, 3}, matrix_view<float const>{weights.data(), 3, 3},
                   3, token_choices_view<float>{offsets, ids, w, pick});
    CHECK(offsets == std::vector<offset_t>{0, 2, 2, 5, 6, 6});
    ids.resize(6), w.resize(6), pick.resize(6);
    CHECK(ids == std::vector<index_t>{0, 1, 0, 1, 2, 1});
    CHECK(w == std::vector<float>{2, 5, 1, 4, 6, 3});
    CHECK(pick == std::vector<offset_t>{1, 5, 0, 4, 6, 3});
  };
  check(serial{});
  check(lockstep{.lanes = 4});
  std::vector<offset_t> offsets(6);
  std::vector<index_t> ids(2);
  std::vector<float> w(9);
  CHECK(try_picks_by_token(serial{}, matrix_view<offset_t const>{tokens.data(), 3, 3},
                           matrix_view<float const>{weights.data(), 3, 3}, 3,
                           token_choices_view<float>{offsets, ids, w, {}})
            .argument == std::string("out.ids size"));
}
