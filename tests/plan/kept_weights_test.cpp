// Decides whether weights after dropping, and their gradients, are those of the frameworks (golden 10).
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/plan.hpp>
#include <moeroute/route_backward.hpp>
#include <moeroute/select/top_k.hpp>

#include "support/case_file.hpp"
#include "support/travel.hpp"

using namespace moeroute;
namespace ex = moeroute_examples;

TEST_CASE("kept weights: dropped choices weigh 0; the rest is kept, or divided by its sum; backward by differences") {
  travel s(12, 4, 3, 1, {}, 3);
  for (std::size_t c = 0; c < 48; c += 3) s.plan.slot_of_choice[c] = dropped_slot;
  for (std::size_t c = 20; c < 24; ++c) s.plan.slot_of_choice[c] = dropped_slot;  // token 5 keeps none
  s.plan.slot_of_choice[9] = identity_slot;
  std::vector<double> w(48), d(48), v(48);
  for (std::size_t c = 0; c < 48; ++c)
    w[c] = .05 + static_cast<double>(c * 7 % 13) / 13, d[c] = static_cast<double>(c * 5 % 11) - 5;
  for (bool const over : {false, true})
    for (double const eps : {1e-7, 1e3}) {  // below the sums, above them
      kept_weights const rule{over, eps};
      keep_weights(serial{}, rule, s.plan.view, as_matrix(w, 12, 4), as_matrix(v, 12, 4));
      for (std::size_t t = 0; t < 12; ++t) {
        double sum = 0;
        for (std::size_t c = 4 * t; c < 4 * t + 4; ++c) sum += is_kept(s.plan.slot_of_choice[c]) ? w[c] : 0;
        for (std::size_t c = 4 * t; c < 4 * t + 4; ++c)
          CHECK(v[c] == doctest::Approx(!is_kept(s.plan.slot_of_choice[c]) ? 0
                                        : over                             ? w[c] / std::max(sum, eps)
                                                                           : w[c])
                            .epsilon(1e-14));
      }
      auto grad = d, lanes = d;
      keep_weights_backward(serial{}, rule, s.plan.view, as_matrix(w, 12, 4), as_matrix(grad, 12, 4));
      keep_weights_backward(lockstep{3}, rule, s.plan.view, as_matrix(w, 12, 4), as_matrix(lanes, 12, 4));
      CHECK(grad == lanes);
      for (std::size_t c = 0; c < 48; ++c) {
        auto const loss = [&](double x) {
          auto moved = w;
          moved[c] = x;
          std::vector<double> out(48);
          keep_weights(serial{}, rule, s.plan.view, as_matrix(moved, 12, 4), as_matrix(out, 12, 4));
          double sum = 0;
          for (std::size_t i = 0; i < 48; ++i) sum += out[i] * d[i];
          return sum;
        };
        CHECK(std::fabs(grad[c] - (loss(w[c] + 1e-5) - loss(w[c] - 1e-5)) / 2e-5) < 1e-6);
      }
    }
}

namespace {
capacity_rule rule_of(ex::case_file const& c) {
  auto const words = c.words("capacity_rule");
  capacity_rule r{.factor = c.number("capacity_factor", 1.),
                  .floor = c.integer_or("min_capacity", 0, 0, 1000),
                  .multiple = c.integer_or("alignment", 1, 1, 64)};
  if (words == "ceil(T*k/E*factor)") r.formula = capacity_formula::megatron;
  else if (words.starts_with("max(min_capacity")) r.formula = capacity_formula::deepspeed;
  else if (words == "2*ceil(T/E)") r.formula = capacity_formula::torchscale;
  else if (words.starts_with("factor>0")) r.formula = capacity_formula::tutel;
  else r.formula = capacity_formula::given, r.slots = c.expected["capacity"].get<offset_t>();
  return r;
}
}  // namespace

TEST_CASE("golden 10: capacity, kept choices, slots, weights and their gradient, all 27 cases") {
  int seen = 0;
  for (auto const& entry :
       std::filesystem::directory_iterator(std::filesystem::path(MOEROUTE_GOLDEN_DIR) / "10_capacity")) {
    auto const c = ex::case_file::load(entry.path());
    CAPTURE(c.path.string());
    ++seen;
    auto const logits = c.floats<double>("logits", {ex::any, ex::any}),
               d_weights = c.floats<double>("d_weights", {ex::any, ex::any});
    offset_t const T = logits.extent(0), E = logits.extent(1), k = d_weights.extent(1);
    auto const experts = static_cast<index_t>(E);
    auto const order = c.words("renormalize");
    std::vector<std::uint8_t> valid;
    if (c.has_input("valid")) valid = c.mask("valid", {T}).values;

    // The choice: softmax, top k. With noise the second choice is the best of the rest of logits + noise.
    router const r{.score = softmax{}, .select = top_k{.k = static_cast<index_t>(k)}};
    batch<double> const in{.logits = logits.matrix()};  // the source routes padding too; the plan leaves it out
    auto ids = poisoned<index_t>(T * k);
    std::vector<double> scores(static_cast<std::size_t>(T * k)), dense(static_cast<std::size_t>(T * E));
    std::vector<std::byte> w(
        static_cast<std::size_t>(route_workspace_bytes<serial, decltype(r), double>(serial{}, r, T, experts)));
    route(serial{}, r, in,
          routing_view<index_t, double>{as_matrix(ids, T, k), as_matrix(scores, T, k), as_matrix(dense, T, E)}, w);
    if (c.has_input("noise")) {
      auto const noise = c.floats<double>("noise", {T, E});
      for (offset_t t = 0; t < T; ++t) {
        offset_t best = -1;
        for (offset_t e = 0; e < E; ++e)
          if (e != ids[static_cast<std::size_t>(2 * t)] &&
              (best < 0 || logits[t * E + e] + noise[t * E + e] > logits[t * E + best] + noise[t * E + best]))
            best = e;
        ids[static_cast<std::size_t>(2 * t + 1)] = static_cast<index_t>(best);
        scores[static_cast<std::size_t>(2 * t + 1)] = dense[static_cast<std::size_t>(t * E + best)];
      }
    }
    CHECK(ids == c.expected_array("ids").values<index_t>());

    // The plan.
    std::vector<double> of_token, of_choice = scores;
    for (offset_t t = 0; t < T; ++t) of_token.push_back(scores[static_cast<std::size_t>(t * k)]);
    auto const policy = c.words("policy");
    capacity_options<double> o{.rule = rule_of(c)};
    o.queue = {.of_token = of_token, .of_choice = as_matrix(std::as_const(of_choice), T, k)};
    if (policy == "probs") o.queue.order = queue_order::score;
    if (policy == "priority") {
      auto const given = c.floats<double>("priority", {T, E});
      for (offset_t t = 0; t < T; ++t)
        of_choice[static_cast<std::size_t>(t)] = given[t * E + ids[static_cast<std::size_t>(t)]];
      o.queue.order = queue_order::score;
    }
    if (policy == "choice_major_position") {
      o.queue.order = c.flag("batch_prioritized", false) ? queue_order::batch_priority : queue_order::choice_major;
      o.slots = slot_order::queue;
    }
    plan_arrays<> p(T * k, experts, T * k);
    auto space = poisoned<std::byte>(limited_plan_workspace_bytes(serial{}, experts, T, T * k));
    make_plan(serial{}, choices_view<>{.ids = as_matrix(std::as_const(ids), T, k), .valid = valid}, experts, {}, o,
              p.view, space);
    CHECK(p.counts == c.expected_array("counts").values<offset_t>());
    CHECK(p.kept == c.expected_array("counts_kept").values<offset_t>());
    auto slot = p.slot_of_choice;
    std::vector<int> kept;
    for (std::size_t i = 0; i < slot.size(); ++i) {
      kept.push_back(slot[i] >= 0);
      slot[i] = slot[i] < 0 ? -1 : slot[i] - p.offsets[static_cast<std::size_t>(ids[i])];
    }
    CHECK(slot == c.expected_array("slot").values<offset_t>());
    CHECK(kept == c.expected_array("kept").values<int>());
    if (c.expected.contains("location")) CHECK(p.rank_of_choice == c.expected_array("location").values<offset_t>());
    offset_t const most = *std::max_element(p.counts.begin(), p.counts.end());
    offset_t const tokens = valid.empty() ? T : std::count(valid.begin(), valid.end(), 1);
    CHECK(capacity(o.rule, {tokens, tokens * k, experts, most}) == c.expected["capacity"].get<offset_t>());

    // The weights, forward and back through the softmax.
    kept_weights const rule{order == "over_kept", c.number("eps", 0x1p-23)};
    auto const floor = static_cast<float>(c.number("eps", 0));
    auto d = d_weights.values, before = scores;
    matrix_view<double> const v = as_matrix(before, T, k);
    renormalize const norm{.epsilon = 0, .floor = floor};
    if (order == "before_drop")
      for (offset_t t = 0; t < T; ++t) norm(v[t]);
    std::vector<double> weights(before.size());
    keep_weights(serial{}, rule, p.view, v, as_matrix(weights, T, k));
    keep_weights_backward(serial{}, rule, p.view, v, as_matrix(d, T, k));
    if (order == "before_drop")
      for (offset_t t = 0; t < T; ++t)
        norm.backward(row_view<double const>(scores.data() + t * k, k), row_view<double>(d.data() + t * k, k));
    std::vector<double> d_logits(static_cast<std::size_t>(T * E));
    route_backward(serial{}, r, in, as_matrix(std::as_const(ids), T, k), as_matrix(std::as_const(d), T, k),
                   as_matrix(d_logits, T, E), w);
    auto const near = [&](std::vector<double> const& got, char const* name) {
      auto const want = c.expected_array(name).values<double>();
      double const atol = c.compare.value(std::string(name) + "_atol", 0.),
                   rtol = c.compare.value(std::string(name) + "_rtol", 0.);
      REQUIRE(got.size() == want.size());
      for (std::size_t i = 0; i < got.size(); ++i)
        REQUIRE(std::fabs(got[i] - want[i]) <= atol + rtol * std::fabs(want[i]));
    };
    near(weights, "weights"), near(weights, "weights_f64"), near(d_logits, "d_logits");
  }
  CHECK(seen == 27);
}
