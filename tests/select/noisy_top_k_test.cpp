#include <doctest/doctest.h>

#include <algorithm>

#include <moeroute/router.hpp>
#include <moeroute/select/noisy_top_k.hpp>
#include <moeroute/select/uniform_random.hpp>

#include "support/inputs.hpp"
#include "support/lockstep_lanes.hpp"
#include "support/reference.hpp"
#include "support/run.hpp"

using namespace moeroute;

TEST_CASE("noisy_top_k: noise steers the choice, weights are those of the clean logits") {
  auto const z = inputs::normal(6 * 9, 1), n = inputs::normal(6 * 9, 2);
  using noise = gaussian_noise<given_noise<>>;
  router const r{
      .select = noisy_top_k<index_t, noise>{3, {.deviation = 3, .over_experts = false, .source = {{n.data(), 6, 9}}}}};
  auto const got = run::route(serial{}, r, z, 9);
  for (std::size_t t = 0; t < 6; ++t) {
    reference::row noisy(9), clean(9);
    for (std::size_t e = 0; e < 9; ++e) {
      clean[e] = static_cast<double>(z[t * 9 + e]);
      noisy[e] = clean[e] + 3 * static_cast<double>(n[t * 9 + e]);
    }
    auto const want = reference::top_k(noisy, reference::softmax(clean), 3);
    for (std::size_t j = 0; j < 3; ++j) {
      CHECK(got.id(t, j) == want.id[j]);
      CHECK(static_cast<double>(got.weight(t, j)) == doctest::Approx(want.weight[j]).epsilon(1e-5));
    }
  }
}

TEST_CASE("noisy_top_k: without noise the plain top k; the same draws for every lane group") {
  auto const z = inputs::normal(6 * 9, 3);
  CHECK(run::route(serial{}, router{.select = noisy_top_k<>{3, {.deviation = 0}}}, z, 9).ids ==
        run::route(serial{}, router{.select = top_k{3}}, z, 9).ids);
  router const r{.select = noisy_top_k<>{3, {.deviation = 9}}};
  CHECK(run::route(lockstep{3}, r, z, 9).ids == run::route(serial{}, r, z, 9).ids);
  CHECK(run::route(lockstep_lanes::warp<lockstep_lanes::words<8>>{}, r, z, 9).ids == run::route(serial{}, r, z, 9).ids);
}

TEST_CASE("S090 THOR: one uniform expert a token, a sequence or a batch (chi-square, fixed seed)") {
  std::size_t const n = 60000;
  std::vector<float> z(n * 6, 0.f);
  for (std::size_t t = 0; t < n; ++t) z[t * 6 + 4] = -infinity<float>;
  std::vector<index_t> sequence(n);
  for (std::size_t t = 0; t < n; ++t) sequence[t] = static_cast<index_t>(t / 100);
  batch<> in;
  in.sequence = row_view<index_t const>(sequence);
  auto const token = run::route(serial{}, router{.select = uniform_random{.k = 1}}, z, 6, in);
  std::vector<double> seen(6);
  for (index_t const id : token.ids) seen[static_cast<std::size_t>(id)] += 1;
  double chi = 0, want = static_cast<double>(n) / 5;
  for (std::size_t e : {0u, 1u, 2u, 3u, 5u}) chi += (seen[e] - want) * (seen[e] - want) / want;
  CHECK(chi < 18.5);
  CHECK(seen[4] == 0);
  auto const seq =
      run::route(serial{}, router{.select = uniform_random{.k = 1, .unit = draw_for_each::sequence}}, z, 6, in);
  for (std::size_t t = 0; t < n; ++t) CHECK(seq.ids[t] == seq.ids[t / 100 * 100]);
  auto const whole =
      run::route(serial{}, router{.select = uniform_random{.k = 1, .unit = draw_for_each::batch}}, z, 6, in);
  CHECK(std::count(whole.ids.begin(), whole.ids.end(), whole.ids[0]) == static_cast<std::ptrdiff_t>(n));
}
