// Decides whether padding and unknown modalities are told apart from tokens.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/moeroute.hpp>
#include <moeroute/prior/visibility_mask.hpp>
#include <moeroute/select/hash.hpp>
#include <moeroute/select/null_experts.hpp>
#include <moeroute/select/per_token_k.hpp>
#include <moeroute/select/prefix_mask.hpp>
#include <moeroute/select/ranked_by.hpp>
#include <moeroute/select/ratio_threshold.hpp>

#include "support/inputs.hpp"
#include "support/reference.hpp"
#include "support/run.hpp"

using namespace moeroute;

TEST_CASE("promise P9: padding rows choose nobody and change nothing") {
  std::vector<float> logits = inputs::normal(16 * 10, 13);
  auto const r = router{.select = top_k{3}, .weigh = renormalize{}};
  auto const want = run::route(serial{}, r, logits, 16);
  logits.insert(logits.end(), 16 * 3, not_a_number<float>);
  std::vector<std::uint8_t> const valid{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0};
  auto const padded = run::route(serial{}, r, logits, 16, {.valid = row_view<std::uint8_t const>(valid)});
  CHECK(std::vector<index_t>(padded.ids.begin(), padded.ids.begin() + 30) == want.ids);
  CHECK(std::vector<float>(padded.weights.begin(), padded.weights.begin() + 30) == want.weights);
  for (std::size_t i = 30; i < 39; ++i) {
    CHECK(padded.ids[i] == no_expert);
    CHECK(padded.weights[i] == 0.f);
  }
  auto const grad = run::route_backward(serial{}, r, logits, 16, padded.ids, std::vector<float>(39, 1.f),
                                        {.valid = row_view<std::uint8_t const>(valid)});
  for (std::size_t i = 160; i < 208; ++i) CHECK(grad[i] == 0.f);
}

TEST_CASE(
    "batch: a modality the tables do not know is named, not read out of bounds; padding may hold "
    "anything") {
  std::vector<std::uint8_t> const pools{1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1};
  std::vector<float> const logits = inputs::normal(6 * 50, 20);
  std::vector<index_t> modality(50);
  for (std::size_t t = 0; t < 50; ++t) modality[t] = static_cast<index_t>(t % 2);
  auto const pooled =
      router{.prior = modality_mask{matrix_view<std::uint8_t const>(pools.data(), 2, 6)}, .select = top_k{3}};
  for (index_t stranger : {2, -1}) {
    modality[7] = stranger;
    for (bool padded : {false, true}) {
      std::vector<std::uint8_t> valid(50, 1);
      if (padded) valid[7] = 0;
      batch<float> const in{
          .logits = {logits.data(), 50, 6}, .modality = row_view<index_t const>(modality), .valid = valid};
      std::vector<index_t> ids(150);
      std::vector<float> weights(150), table(12, 0.f), d_logits(300);
      routing_view<> const to{{ids.data(), 50, 3}, {weights.data(), 50, 3}};
      auto const biased = router{.bias = modality_bias<>{{table.data(), 2, 6}}, .select = top_k{3}};
      std::vector<std::byte> space(static_cast<std::size_t>(route_workspace_bytes(threads{2}, pooled, 50, 6)));
      workspace const w(space);
      auto const said = [](status const& s) { return std::string(message(s).c_str()); };
      std::string const wanted = padded          ? "ok"
                                 : stranger == 2 ? "moeroute: batch.modality = 2 must be at most 1"
                                                 : "moeroute: batch.modality = -1 must be at least 0";
      CHECK(said(try_route(serial{}, pooled, in, to, w)) == wanted);
      CHECK(said(try_route(threads{2}, biased, in, to, w)) == wanted);
      std::fill(ids.begin(), ids.end(), 0);
      CHECK(said(try_route_backward(serial{}, pooled, in, to.ids, to.weights,
                                    matrix_view<float>{d_logits.data(), 50, 6}, w)) == wanted);
      // A kernel cannot say so: the row chooses nobody.
      route_row<decltype(pooled), float, float, index_t, float>{pooled, in, to}(serial_group{}, 7, aligned_scratch(w));
      CHECK(std::vector<index_t>(ids.begin() + 21, ids.begin() + 24) == std::vector<index_t>(3, no_expert));
    }
  }
}

TEST_CASE("promise P17: a policy's array with a row a token must have enough rows for the batch, inside wrappers too") {
  std::vector<float> const logits(5 * 4, 1), few(4 * 4, 0);
  std::vector<index_t> const words(4, 0), table(4, 0);
  std::vector<std::uint8_t> const visible(4, 1);
  std::vector<token_care> const care(4);
  matrix_view<float const> const short_by_one{few.data(), 4, 4};
  auto const says = [&](auto const& r) {
    batch<float> const in{.logits = {logits.data(), 5, 4}};
    index_t const k = r.select.experts_per_token();
    std::vector<index_t> ids(static_cast<std::size_t>(5 * k));
    std::vector<float> weights(ids.size());
    std::vector<std::byte> space(static_cast<std::size_t>(route_workspace_bytes(serial{}, r, 5, 4)));
    return std::string(message(try_route(serial{}, r, in, routing_view<>{{ids.data(), 5, k}, {weights.data(), 5, k}},
                                         workspace(space)))
                           .c_str());
  };
  given_noise<> const noise{short_by_one};
  CHECK(says(router{.prior = gaussian_noise<given_noise<>>{.source = noise}}) ==
        "moeroute: noise.value rows = 4 must be at least 5");
  CHECK(says(router{.prior = both{no_prior{}, logit_jitter<given_noise<>>{.source = noise}}}) ==
        "moeroute: noise.value rows = 4 must be at least 5");
  CHECK(says(router{.prior = learned_noise<>{.noise_logits = short_by_one}}) ==
        "moeroute: noise.noise_logits rows = 4 must be at least 5");
  CHECK(says(router{.prior = visibility_mask{{visible.data(), 1, 4}, words}}) ==
        "moeroute: prior.vocabulary_id size = 4 must be at least 5");
  CHECK(says(router{.select = gumbel_top_k<index_t, given_noise<>>{2, 1, noise}}) ==
        "moeroute: noise.value rows = 4 must be at least 5");
  CHECK(says(router{.select = multinomial<index_t, given_noise<>>{4, 1, noise}}) ==
        "moeroute: noise.value rows = 4 must be at least 5");
  CHECK(says(router{.select = noisy_top_k<index_t, gaussian_noise<given_noise<>>>{2, {.source = noise}}}) ==
        "moeroute: noise.value rows = 4 must be at least 5");
  CHECK(says(router{.select = hash_choice{{table.data(), 4, 1}, words}}) ==
        "moeroute: select.vocabulary_id size = 4 must be at least 5");
  CHECK(says(router{.select = prefix_mask<>{.base = {4}, .mask_logits = short_by_one}}) ==
        "moeroute: select.mask_logits rows = 4 must be at least 5");
  CHECK(says(router{.select = per_token_k{.k = words, .max_experts = 2}}) ==
        "moeroute: select.k size = 4 must be at least 5");
  CHECK(says(router{.select = ranked_by<>{.plan = short_by_one, .base = {2}}}) ==
        "moeroute: select.plan rows = 4 must be at least 5");
  CHECK(says(router{.select = ratio_threshold{.care = care}}) == "moeroute: select.care size = 4 must be at least 5");
  CHECK(says(router{.select = null_experts<ranked_by<>>{.nulls = 1, .base = {.plan = short_by_one, .base = {2}}}}) ==
        "moeroute: select.plan rows = 4 must be at least 5");
  CHECK(says(router{.select = top_k{2}}) == "ok");
}

TEST_CASE(
    "promise P8: a share of a batch that says where it begins is routed as in the whole, draws and given arrays too") {
  std::vector<float> const logits = inputs::normal(6 * 40, 3), noise = inputs::normal(6 * 40, 4);
  auto const drawn = router{.select = gumbel_top_k{.k = index_t{2}}};
  auto const given = router{.prior = gaussian_noise<given_noise<>>{.deviation = 6, .source = {{noise.data(), 40, 6}}},
                            .select = top_k{2}};
  auto const same = [&](auto const& r) {
    auto const all = run::route(serial{}, r, logits, 6);
    std::vector<float> const part(logits.begin() + 6 * 25, logits.end());
    batch<float> const in{.first_row = 25};
    auto const share = run::route(serial{}, r, part, 6, in);
    CHECK(share.ids == std::vector<index_t>(all.ids.begin() + 50, all.ids.end()));
    CHECK(run::same_bits(share.weights, std::vector<float>(all.weights.begin() + 50, all.weights.end())));
    CHECK(run::route(serial{}, r, part, 6).ids != share.ids);
  };
  same(drawn), same(given);
  CHECK_THROWS_WITH(run::route(serial{}, given, logits, 6, batch<float>{.first_row = 1}),
                    "moeroute: noise.value rows = 40 must be at least 41");
  CHECK_THROWS_WITH(run::route(serial{}, given, logits, 6, batch<float>{.first_row = -1}),
                    "moeroute: batch.first_row = -1 must be at least 0");
}
