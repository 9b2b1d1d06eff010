// S108 MoIIE, P24 isolated pools: fixed pools as priors.
#include <cmath>

#include "fixture.hpp"

#include <moeroute/route.hpp>

using namespace smoes_test;

namespace {
table<index_t> route_in_pools(expert_pools const& pools, table<float> const& logits, table<index_t> const& modality,
                              table<float>& weights) {
  table<std::uint8_t> open(2, pools.experts());
  throw_if_bad(pools.fill(open.view()));
  router const r{
      .prior = modality_mask{matrix_view<std::uint8_t const>(open.view())}, .select = top_k{2}, .weigh = renormalize{}};
  table<index_t> ids(logits.rows, 2);
  weights = table<float>(logits.rows, 2);
  route(serial{}, r, batch<>{.logits = logits.seen(), .modality = modality.row()},
        routing_view<>{ids.view(), weights.view(), {}},
        memory(route_workspace_bytes(serial{}, r, logits.rows, pools.experts())));
  return ids;
}
}  // namespace

TEST_CASE("S108 MoIIE: no token reaches the other modality's experts; the softmax of the allowed set") {
  auto const pools = hybrid_pools(3, 2, 3);
  auto const logits = numbers(1).normals<float>(60, 8);
  auto const modality = numbers(2).ids(1, 60, 2);
  table<float> weights;
  auto const ids = route_in_pools(pools, logits, modality, weights);
  for (offset_t t = 0; t < 60; ++t) {
    double mass = 0, both = 0;
    for (index_t e = 0; e < 8; ++e)
      if (pools.open(modality.at(0, t), e)) mass += std::exp(double(logits.at(t, e)));
    for (offset_t j = 0; j < 2; ++j) {
      index_t const e = ids.at(t, j);
      CHECK((modality.at(0, t) == text_modality ? e >= 3 : e < 5));
      both += std::exp(double(logits.at(t, e))) / mass;
    }
    CHECK(double(weights.at(t, 0)) ==
          doctest::Approx(std::exp(double(logits.at(t, ids.at(t, 0)))) / mass / both).epsilon(1e-5));
  }
}

TEST_CASE("P24 isolated pools: no assignment crosses; the released MoIIE layout of four experts") {
  auto const logits = numbers(3).normals<float>(40, 8);
  auto const modality = numbers(4).ids(1, 40, 2);
  table<float> weights;
  auto const ids = route_in_pools(isolated_pools(4, 4), logits, modality, weights);
  for (offset_t t = 0; t < 40; ++t)
    for (offset_t j = 0; j < 2; ++j) CHECK((ids.at(t, j) >= 4) == (modality.at(0, t) == text_modality));
  auto const released = hybrid_pools(1, 2, 1);
  table<std::uint8_t> open(2, 4);
  CHECK(released.fill(open.view()).ok());
  CHECK(open.values == std::vector<std::uint8_t>{1, 1, 1, 0, 0, 1, 1, 1});
  CHECK(released.fill(table<std::uint8_t>(2, 5).view()).code == errc::bad_shape);
  CHECK(isolated_pools(0, 4).fill(open.view()).code == errc::bad_value);
}

TEST_CASE("S108 MoIIE: the last vision token of a run counts as text, not across sequences") {
  std::vector<index_t> const modality{0, 0, 1, 0, 0, 1, 0}, sequence{0, 0, 0, 0, 0, 1, 1};
  std::vector<index_t> out(7);
  boundary_modality(row_view<index_t const>(modality), {}, row_view<index_t>(out));
  CHECK(out == std::vector<index_t>{0, 1, 1, 0, 1, 1, 0});
  boundary_modality(row_view<index_t const>(modality), row_view<index_t const>(sequence), row_view<index_t>(out));
  CHECK(out == std::vector<index_t>{0, 1, 1, 0, 0, 1, 0});
}
