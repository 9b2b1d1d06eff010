// SMoES end to end: scores, counts, bins, loss, placement, in the order of the umbrella header.
#include "fixture.hpp"

#include <moeroute/route.hpp>

using namespace smoes_test;

TEST_CASE("SMoES: routing by modality is found by bins, raised by the loss, cheaper by placement") {
  constexpr offset_t tokens = 400;
  constexpr index_t experts = 8, bins = 4, k = 2;
  numbers n(1);
  auto logits = n.normals<float>(tokens, experts);
  table<index_t> label(1, tokens);
  for (offset_t t = 0; t < tokens; ++t) {
    label.at(0, t) = n.below(2);
    for (index_t e = 0; e < experts; ++e) logits.at(t, e) += (e % 2 == label.at(0, t)) ? 2.f : 0.f;  // odd ids: text
  }
  router const r{.select = top_k{k}};
  table<index_t> ids(tokens, k), order(1, experts), bin(1, experts);
  table<float> weights(tokens, k), p(tokens, experts), u(tokens, 1), d_logits(tokens, experts);
  route(serial{}, r, batch<>{.logits = logits.seen()}, routing_view<>{ids.view(), weights.view(), p.view()},
        memory(route_workspace_bytes(serial{}, r, tokens, experts)));
  fill_hard_scores(label.seen_row(), u.view());
  table<std::int64_t> counts(2, experts), totals(1, 3);
  choice_counts(serial{}, count_weight::hard, matrix_view<index_t const>(ids.view()), label.seen_row(),
                modality_scores<float>{}, {}, counts.view(),
                memory(choice_counts_workspace_bytes(serial{}, tokens, 2, experts)));
  table<double> moving(2, experts), preference(1, experts), share(1, experts), value(1, 1);
  table<std::uint8_t> kept(1, 1);
  update_bins(serial{}, {.bins = bins, .beta = 0}, counts.seen(), moving.view(), preference.row(), order.row(),
              bin.row());
  for (index_t e = 0; e < experts; ++e) CHECK((bin.at(0, e) >= bins / 2) == (e % 2 == 1));

  bin_batch<float> const in{.p = p.seen(), .modality = u.seen(), .bin_of_expert = bin.seen_row()};
  double const loss =
      inter_bin(serial{}, inter_bin_mi(bins, 1), in, value.row(), kept.row(), totals.row(), d_logits.view(),
                memory(inter_bin_workspace_bytes<float>(serial{}, inter_bin_mi(bins, 1), tokens, experts, 2, 1)));
  CHECK(loss < -.1);
  CHECK(specialization(counts.seen(), share.row()) > .5);

  table<index_t> by_bin(1, experts), by_id(1, experts), home_of(1, 2), home(1, tokens);
  place_bins(bin.seen_row(), bins, 2, by_bin.row());
  place_in_order({}, 2, by_id.row());
  auto const cost = [&](table<index_t> const& device) {
    table<std::int64_t> by_device(2, 2);
    count_devices(counts.seen(), device.seen_row(), by_device.view());
    home_by_modality(by_device.seen(), home_of.row());
    homes_of_tokens(label.seen_row(), home_of.seen_row(), home.row());
    return transfers(matrix_view<index_t const>(ids.view()), device.seen_row(), home.seen_row()).copies;
  };
  CHECK(cost(by_bin) * 2 < cost(by_id));
}
