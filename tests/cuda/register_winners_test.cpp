#include <doctest/doctest.h>

#include <moeroute/core/philox.hpp>
#include <moeroute/cuda/register_winners.hpp>
#include <moeroute/select/top_k.hpp>

#include <vector>

#include "support/lockstep_lanes.hpp"

using namespace moeroute;

namespace {

constexpr index_t experts = 128, k = 8;

// Winners and doubts of every row, without a repair.
template <class Plain, class List>
struct trusting_row {
  Plain plain;
  List list;
  bool wait;
  std::vector<int>* doubts;
  offset_t scratch_bytes() const { return aligned_bytes<float>(k); }
  template <class G>
  void operator()(G const& g, offset_t t, scratch s, bool live) const {
    register_winners<Plain, List> const winners{&plain, &list, wait};
    row_view<float> const chosen{s.take<float>(k), k};
    float score = 0;
    bool const doubt = g.any(winners.choose(g, t, live, chosen, score));
    if (live && g.rank() < k) plain.out.weights[t][g.rank()] = score;
    if (live && g.rank() == 0) (*doubts)[static_cast<std::size_t>(t)] = doubt;
    g.sync();
  }
};

struct found {
  std::vector<int> doubts;
  int wrong;
};
// Rows of one kind: which are in doubt, and how many of the others are not those of `route`.
template <class R>
found ask(R const& r, std::vector<float> const& logits, bool wait) {
  auto const tokens = static_cast<offset_t>(logits.size()) / experts;
  batch<> const in{.logits = {logits.data(), tokens, experts}};
  std::vector<index_t> ids(static_cast<std::size_t>(tokens * k)), right(ids.size());
  std::vector<float> scores(ids.size()), weights(ids.size());
  std::vector<std::byte> memory(1 << 16);
  route(serial{}, r, in, routing_view<>{{right.data(), tokens, k}, {weights.data(), tokens, k}}, workspace(memory));
  using plain = route_row<R, float, float, index_t, float>;
  using list = register_list<R, float, register_layout<8, 4, false>>;
  found f{std::vector<int>(static_cast<std::size_t>(tokens)), 0};
  trusting_row<plain, list> const body{{r, in, {{ids.data(), tokens, k}, {scores.data(), tokens, k}}},
                                       list::of(register_layout<8, 4, false>::of(experts, 1)),
                                       wait,
                                       &f.doubts};
  REQUIRE(lockstep_lanes::marching_warp<8, 2>{}.run(tokens, body, workspace(memory)).ok());
  for (std::size_t t = 0; t < f.doubts.size(); ++t)
    for (std::size_t j = t * k; j < (t + 1) * k && f.doubts[t] == 0; ++j) {
      bool const same = ids[j] == right[j] && (wait || scores[j] == weights[j]);
      f.wrong += !same;
    }
  return f;
}
template <class F>
std::vector<float> rows(offset_t tokens, F const& logit) {
  std::vector<float> z;
  for (offset_t t = 0; t < tokens; ++t)
    for (index_t e = 0; e < experts; ++e) z.push_back(logit(t, e));
  return z;
}
int how_many(std::vector<int> const& doubts) {
  int n = 0;
  for (int d : doubts) n += d;
  return n;
}

}  // namespace

TEST_CASE("winners beyond doubt are those of route; what a filter may hide is in doubt") {
  auto const normal = rows(60, [](offset_t t, index_t e) { return draws{.seed = 1}.normal(t, e); });
  // A quarter apart, but for two twins an ulp apart, ids against their order: winners 3 and 4, or 8 and 9.
  auto const twins = [](index_t rank) {
    return rows(20, [=](offset_t t, index_t e) {
      index_t const place = (e * 37 + static_cast<index_t>(t)) % experts;
      bool const twin = place == rank || place == rank + 1;
      float const apart = 16.f - .25f * static_cast<float>(place == rank + 1 ? rank : place);
      return twin ? math::as<float>(math::as<std::int32_t>(apart) + (e * 37 / experts + e) % 2 * 2 + e % 3) : apart;
    });
  };
  auto const ties = rows(20, [](offset_t t, index_t e) {
    return static_cast<float>(static_cast<int>(3 * draws{.seed = 7}.uniform(t, e)));
  });
  // The best of all is the ninth of its lane by a filter that cannot tell it from the eight before it, which are in order.
  auto const ninth = rows(4, [](offset_t, index_t e) {
    index_t const place = e / 32 * 4 + e % 4;
    return e / 4 % 8 != 5 ? 0.f : 1.f + static_cast<float>(place == 8 ? 20 : 16 - place) * 0x1p-23f;
  });
  auto const none = rows(2, [](offset_t, index_t) { return not_a_number<float>; });
  std::vector<float> const bias(experts, .25f);
  auto const check = [&](auto const& r, bool wait) {
    CHECK(ask(r, normal, wait).wrong == 0);
    CHECK(how_many(ask(r, normal, wait).doubts) < 10);
    int doubts = 0;
    for (auto const& z : {twins(2), twins(7), ties}) {
      found const f = ask(r, z, wait);
      CHECK(f.wrong == 0);
      doubts += how_many(f.doubts);
    }
    CHECK(doubts > 10);
    CHECK(how_many(ask(r, none, wait).doubts) == 2);
    CHECK(how_many(ask(r, ninth, wait).doubts) == 4);
  };
  check(router{.select = top_k{k}, .weigh = keep_scores{}}, false);
  check(router{.select = top_k{k}, .weigh = renormalize{}}, true);
  check(router{.score = sigmoid{},
               .bias = correction_bias<>{row_view<float const>(bias)},
               .select = top_k{k},
               .weigh = keep_scores{}},
        false);
}

TEST_CASE("which scores the first winner alone may tell") {
  CHECK(sums_ratios<softmax>);
  CHECK(!sums_ratios<sigmoid>);
}
