#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include <moeroute/cpu/threads.hpp>
#include <moeroute/grpo/log_prob.hpp>
#include <moeroute/select/gumbel_top_k.hpp>

#include "support/inputs.hpp"
#include "support/lockstep_lanes.hpp"
#include "support/reference.hpp"
#include "support/run.hpp"

using namespace moeroute;

TEST_CASE("P08 sampler: given noise, the ids are the top k of logit + noise in descending order") {
  auto const z = inputs::normal(9 * 12, 1), n = inputs::normal(9 * 12, 2);
  router const r{.select = gumbel_top_k<index_t, given_noise<>>{4, 2, {{n.data(), 9, 12}}}};
  auto const got = run::route(serial{}, r, z, 12);
  for (std::size_t t = 0; t < 9; ++t) {
    reference::row x(12), clean(12);
    for (std::size_t e = 0; e < 12; ++e) {
      clean[e] = static_cast<double>(z[t * 12 + e]);
      x[e] = clean[e] / 2 + static_cast<double>(n[t * 12 + e]);
    }
    auto const want = reference::top_k(x, reference::softmax(clean), 4);  // weights from the clean logits
    for (std::size_t j = 0; j < 4; ++j) {
      CHECK(got.id(t, j) == want.id[j]);
      CHECK(static_cast<double>(got.weight(t, j)) == doctest::Approx(want.weight[j]).epsilon(1e-5));
    }
  }
}

TEST_CASE("P08 sampler: route frequencies match the exact probability (chi-square, fixed seed)") {
  // 20 ordered pairs of 5 experts, 200,000 draws; 43.8 is the 0.1 % point of chi-square with 19 degrees of freedom.
  std::vector<float> const row{.9f, -.4f, 0.f, -1.3f, .3f};
  for (float const temperature : {1.f, 2.f}) {
    std::size_t const n = 200000;
    std::vector<float> z;
    for (std::size_t t = 0; t < n; ++t) z.insert(z.end(), row.begin(), row.end());
    router const r{.select = gumbel_top_k{.k = fixed<2>,
                                          .temperature = temperature,
                                          .source = drawn_gumbel{{.seed = 20260101, .step = 3, .purpose = 1}}}};
    auto const got = run::route(serial{}, r, z, 5);
    std::map<std::pair<index_t, index_t>, double> seen;
    for (std::size_t t = 0; t < n; ++t) seen[{got.id(t, 0), got.id(t, 1)}] += 1;
    std::vector<double> const wide(row.begin(), row.end());
    double chi = 0;
    for (index_t a = 0; a < 5; ++a)
      for (index_t b = 0; b < 5; ++b) {
        if (a == b) continue;
        std::vector<index_t> const ids{a, b};
        std::vector<double> lp(1);
        std::vector<std::byte> space(4096);
        route_log_prob(serial{}, no_prior{}, {.temperature = temperature}, batch<double>{.logits = {wide.data(), 1, 5}},
                       matrix_view<index_t const>{ids.data(), 1, 2}, row_view<double>(lp), workspace(space));
        double const want = static_cast<double>(n) * std::exp(lp[0]);
        chi += (seen[{a, b}] - want) * (seen[{a, b}] - want) / want;
      }
    CHECK(chi < 43.8);
    CHECK(chi > 5.4);  // 0.1 % on the other side: not too good to be true
  }
}

TEST_CASE("P08 sampler: closed experts and NaN are never drawn; places left over hold no expert") {
  float const inf = infinity<float>;
  std::vector<float> z;
  for (int t = 0; t < 50; ++t)
    for (float const x : {0.f, -inf, not_a_number<float>, 1.f, -inf, -40.f}) z.push_back(x);
  auto const got = run::route(serial{}, router{.select = gumbel_top_k{.k = 4}}, z, 6);
  for (std::size_t t = 0; t < 50; ++t) {
    std::vector<index_t> ids{got.id(t, 0), got.id(t, 1), got.id(t, 2)};
    std::sort(ids.begin(), ids.end());
    CHECK(ids == std::vector<index_t>{0, 3, 5});
    CHECK(got.id(t, 3) == no_expert);
    CHECK(got.weight(t, 3) == 0.f);
  }
}

TEST_CASE_TEMPLATE("promise P8, P20 sampler: same draws in any batch and for every lane group", V, float, double) {
  auto const raw = inputs::normal(12 * 150, 6);
  std::vector<V> const z(raw.begin(), raw.end());
  router const r{.select = gumbel_top_k{.k = 6, .source = drawn_gumbel{{.seed = 77, .step = 2, .purpose = 5}}}};
  auto const all = run::route(serial{}, r, z, 150);
  auto const same = [&](auto const& x) { CHECK(run::route(x, r, z, 150).ids == all.ids); };
  same(lockstep{3});
  same(lockstep{8});
  same(threads{2});
  same(lockstep_lanes::warp<lockstep_lanes::words<8>>{});
  std::vector<V> const last(z.begin() + 11 * 150, z.end());
  std::vector<offset_t> const name{11};
  batch<V> in;
  in.token = row_view<offset_t const>(name);
  auto const one = run::route(serial{}, r, last, 150, in);
  for (std::size_t j = 0; j < 6; ++j) CHECK(one.id(0, j) == all.id(11, j));
  auto other = r;
  other.select.source.random.step = 3;
  CHECK(run::route(serial{}, other, z, 150).ids != all.ids);
}

TEST_CASE("sampler: rows that break routers give distinct ids in range") {
  for (auto const& row : inputs::adversarial(37)) {
    auto const got = run::route(serial{}, router{.select = gumbel_top_k{.k = 5}}, row, 37);
    for (std::size_t j = 0; j < 5; ++j) {
      CHECK(got.id(0, j) < 37);
      for (std::size_t i = 0; i < j; ++i) CHECK((got.id(0, i) != got.id(0, j) || got.id(0, j) == no_expert));
    }
    CHECK(run::route(lockstep{4}, router{.select = gumbel_top_k{.k = 5}}, row, 37).ids == got.ids);
  }
}

TEST_CASE("promise P17: sampler names its temperature") {
  CHECK(std::string(message(validate(router{.select = gumbel_top_k{.k = 2, .temperature = 0}}, 4)).c_str()) ==
        "moeroute: select.temperature = 0 must be above 0");
}

TEST_CASE("promise P7 sampler: the vector path draws what one expert at a time draws, on every kind of row") {
  for (index_t experts : {2, 8, 16, 60, 64, 65, 128, 200, 512})
    for (index_t k : {1, 2, 8, 9, 16, 20}) {
      if (k > experts) continue;
      std::vector<float> z;
      for (auto const& row : inputs::adversarial(static_cast<std::size_t>(experts)))
        z.insert(z.end(), row.begin(), row.end());
      for (float const deviation : {1.f, 30.f}) {
        auto const n = inputs::normal(static_cast<std::size_t>(experts) * 200, 9, deviation);
        z.insert(z.end(), n.begin(), n.end());
      }
      z.insert(z.end(), static_cast<std::size_t>(experts) * 40, -1e30f);  // all the noise is lost to rounding: ties
      std::vector<offset_t> name(z.size() / static_cast<std::size_t>(experts));
      for (std::size_t t = 0; t < name.size(); ++t)
        name[t] = static_cast<offset_t>(t * 0x51234567u);  // upper halves differ
      batch<> in;
      in.token = row_view<offset_t const>(name);
      for (float const temperature : {1.f, .3f}) {
        router const r{.select = gumbel_top_k{
                           .k = k, .temperature = temperature, .source = {{.seed = 5, .step = 1, .purpose = 9}}}};
        auto const fast = run::route(serial{}, r, z, experts, in), slow = run::route(lockstep{3}, r, z, experts, in);
        CAPTURE(experts);
        CAPTURE(k);
        CHECK(fast.ids == slow.ids);
        CHECK(run::same_bits(fast.weights, slow.weights));
        CHECK(run::route(row_by_row{serial{}}, r, z, experts, in).ids == slow.ids);
      }
    }
}
