// Decides whether a mask router cuts the tail of the choice and never all of it.
#include <moeroute/select/prefix_mask.hpp>

#include <algorithm>
#include <cmath>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE("S167 MC#: the hard mask is a prefix of the top k, never empty; without noise the argmax candidate") {
  auto const z = normal_numbers(60 * 8, 1);
  auto const mask = narrow(normal_numbers(60 * 3, 2));
  router r{.select = prefix_mask<>{.base = {3}, .mask_logits = {mask.data(), 60, 3}}};
  auto const out = run(r, z, 8), full = run(router{.select = top_k{3}}, z, 8);
  for (offset_t t = 0; t < 60; ++t) {
    auto const m = mask.begin() + 3 * t;
    auto const n = static_cast<index_t>(std::max_element(m, m + 3) - m) + 1;
    CHECK(out.count(t) == n);
    for (offset_t j = 0; j < n; ++j) CHECK(out.id(t, j) == full.id(t, j));
  }
  check_gradient(r, std::vector<double>(z.begin(), z.begin() + 40), 8);
  r.select.noise = true;
  auto const f = narrow(z);
  check_same_on_every_group(r, batch<float>{.logits = {f.data(), 60, 8}});
  CHECK(validate(router{.select = prefix_mask<>{.base = {2}, .mask_logits = {mask.data(), 60, 3}}}, 8).argument ==
        std::string("select.mask_logits columns"));
}

TEST_CASE("S167 MC#: drawn candidates follow the mask router's probabilities") {
  std::size_t const n = 20000;
  std::vector<float> mask;
  for (std::size_t i = 0; i < n; ++i) mask.insert(mask.end(), {1.f, 0.f});
  std::vector<double> const z(n * 4, 0.);
  auto const out =
      run(router{.select = prefix_mask<>{.base = {2}, .mask_logits = {mask.data(), 20000, 2}, .noise = true}}, z, 4);
  double one = 0;
  for (offset_t t = 0; t < 20000; ++t) one += out.count(t) == 1;
  double const p = std::exp(1.) / (std::exp(1.) + 1);
  CHECK(std::fabs(one - 20000 * p) < 4.5 * std::sqrt(20000 * p * (1 - p)));
}
