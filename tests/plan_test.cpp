// Decides whether plans equal the stored maps of FlashInfer, Megatron-LM and Transformer Engine.
#include <cmath>

#include <doctest/doctest.h>

#include <moeroute/combine_backward.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/permute.hpp>
#include <moeroute/plan.hpp>

#include "support/plan_arrays.hpp"
#include "support/travel.hpp"
#include "support/case_file.hpp"

using namespace moeroute;
namespace ex = moeroute_examples;

namespace {
std::vector<ex::case_file> cases_of(char const* folder, char const* scheme) {
  std::vector<ex::case_file> out;
  for (auto const& entry : std::filesystem::directory_iterator(std::filesystem::path(MOEROUTE_GOLDEN_DIR) / folder)) {
    auto c = ex::case_file::load(entry.path());
    if (std::string_view(c.scheme).starts_with(scheme)) out.push_back(std::move(c));
  }
  return out;
}
template <class T>
std::vector<T> want(ex::case_file const& c, char const* name) {
  return c.expected_array(name).values<T>();
}
}  // namespace

TEST_CASE("golden 09: padded maps of FlashInfer, shared experts as the last columns") {
  auto const cases = cases_of("09_flashinfer_plan", "flashinfer");
  CHECK(cases.size() == 10);
  for (auto const& c : cases) {
    CAPTURE(c.path.string());
    auto const ids = want<int>(c, "ids");
    auto const tokens = c.integer("T", 1, 1000), k = std::ssize(ids) / tokens;
    auto const experts = static_cast<index_t>(c.integer("E", 1, 1000) + c.integer_or("fused_shared", 0, 0, 10));
    auto const align = c.integer("padding", 1, 1000);
    plan_arrays<> p(tokens * k, experts, plan_rows_bound(tokens * k, experts, align));
    auto w = poisoned<std::byte>(plan_workspace_bytes(threads{2}, experts));
    make_plan(threads{2}, choices_view<>{.ids = {ids.data(), tokens, k}}, experts, {.align = align}, p.view, w);
    CHECK(p.counts == want<offset_t>(c, "counts"));
    CHECK(p.offsets == want<offset_t>(c, "padded_offsets"));
    CHECK(p.slot_of_choice == want<offset_t>(c, "slot_to_row"));
    offset_t const rows = c.expected["buffer_rows"].get<offset_t>();
    CHECK(p.offsets.back() == rows);
    p.token_of_slot.resize(static_cast<std::size_t>(rows)), p.choice_of_slot.resize(static_cast<std::size_t>(rows));
    CHECK(p.choice_of_slot == want<offset_t>(c, "row_to_slot"));
    CHECK(p.token_of_slot == want<offset_t>(c, "row_to_token"));
  }
}

TEST_CASE("golden 13: permute and unpermute of Megatron-LM, forward and backward") {
  auto const cases = cases_of("13_permute", "permute_unpermute");
  CHECK(cases.size() == 4);
  for (auto const& c : cases) {
    CAPTURE(c.path.string());
    auto const x = c.floats<float>("tokens", {ex::any, ex::any});
    offset_t const tokens = x.extent(0), width = x.extent(1);
    auto const ids = c.integers<int>("ids", {tokens, ex::any}, 0, 1000);
    auto const weights = c.floats<float>("weights", {tokens, ids.extent(1)}),
               factor = c.floats<float>("expert_factor", {ex::any});
    auto const d_y = c.floats<float>("d_output", {tokens, width});
    offset_t const k = ids.extent(1), rows = tokens * k;
    auto const experts = static_cast<index_t>(factor.size());
    plan_arrays<> p(rows, experts, rows);
    auto w = poisoned<std::byte>(plan_workspace_bytes(serial{}, experts));
    make_plan(serial{}, choices_view<>{.ids = ids.matrix()}, experts, {}, p.view, w);
    CHECK(p.counts == want<offset_t>(c, "counts"));
    CHECK(p.offsets == want<offset_t>(c, "offsets"));
    CHECK(p.slot_of_choice == want<offset_t>(c, "row_of_slot"));
    CHECK(p.token_of_slot == want<offset_t>(c, "sorted_tokens"));
    std::vector<float> grouped(static_cast<std::size_t>(rows * width)), y(static_cast<std::size_t>(tokens * width));
    permute(serial{}, p.view, x.matrix(), as_matrix(grouped, rows, width));
    CHECK(grouped == want<float>(c, "permuted_tokens"));
    std::vector<float> of_slot;
    for (auto const choice : p.choice_of_slot) of_slot.push_back(weights[choice]);
    CHECK(of_slot == want<float>(c, "permuted_weights"));

    auto const scale_rows = [&](std::vector<float>& v) {  // the stand-in expert, its own transpose
      for (index_t e = 0; e < experts; ++e)
        for (auto i = p.offsets[static_cast<std::size_t>(e)] * width;
             i < p.offsets[static_cast<std::size_t>(e) + 1] * width; ++i)
          v[static_cast<std::size_t>(i)] *= factor[e];
    };
    scale_rows(grouped);
    combine_terms<float> const terms{.rows = as_matrix(std::as_const(grouped), rows, width),
                                     .weights = weights.matrix()};
    combine(serial{}, p.view, terms, as_matrix(y, tokens, width));
    std::vector<float> d_rows(grouped.size()), d_x(y.size()), d_w(static_cast<std::size_t>(rows));
    combine_backward(
        serial{}, p.view, terms, d_y.matrix(),
        combine_gradients<float>{.rows = as_matrix(d_rows, rows, width), .weights = as_matrix(d_w, tokens, k)});
    scale_rows(d_rows);
    permute_backward(serial{}, p.view, as_matrix(d_rows, rows, width), as_matrix(d_x, tokens, width));
    auto const near = [](std::vector<float> const& a, std::vector<float> const& b, double tolerance) {
      REQUIRE(a.size() == b.size());
      for (std::size_t i = 0; i < a.size(); ++i)
        REQUIRE(std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])) <=
                tolerance + tolerance * std::fabs(static_cast<double>(b[i])));
    };
    near(y, want<float>(c, "output"), 1e-5);
    near(d_x, want<float>(c, "d_tokens"), 1e-5);
    near(d_w, want<float>(c, "d_weights"), 1e-4);
  }
}

TEST_CASE("golden 13: drop and pad: a plan of fixed rows is the fixed-capacity grouping of Megatron-LM") {
  auto const cases = cases_of("13_permute", "permute_drop_and_pad");
  REQUIRE(cases.size() == 1);
  auto const& c = cases[0];
  auto const x = c.floats<float>("tokens", {ex::any, ex::any}), probs = c.floats<float>("probs", {ex::any, ex::any});
  auto const map = c.mask("routing_map", probs.shape);
  offset_t const tokens = x.extent(0), width = x.extent(1);
  auto const experts = static_cast<index_t>(map.extent(1));
  std::vector<offset_t> first(static_cast<std::size_t>(tokens) + 1);
  std::vector<index_t> ids(static_cast<std::size_t>(choices_in(map.matrix())));
  choices_of_map(serial{}, map.matrix(), row_view<offset_t>(first), row_view<index_t>(ids));
  std::vector<float> weights;
  for (offset_t t = 0; t < tokens; ++t)
    for (auto i = first[static_cast<std::size_t>(t)]; i < first[static_cast<std::size_t>(t) + 1]; ++i)
      weights.push_back(probs[t * experts + ids[static_cast<std::size_t>(i)]]);
  offset_t const n = std::ssize(ids);
  choices_view<> const in{.ids = {ids.data(), 1, n}, .offsets = first};
  for (offset_t const slots : {c.integer("capacity", 1, 100), offset_t{7}}) {  // as stored, and with room to pad
    plan_arrays<> p(n, experts, slots * experts);
    auto w = poisoned<std::byte>(limited_plan_workspace_bytes(serial{}, experts, tokens, n));
    capacity_options<> const o{.rule = {.formula = capacity_formula::given, .slots = slots}, .rows = row_layout::fixed};
    make_plan(serial{}, in, experts, {}, o, p.view, w);
    std::vector<float> grouped(static_cast<std::size_t>(slots * experts * width), 99.f),
        y(static_cast<std::size_t>(tokens * width));
    permute(serial{}, p.view, x.matrix(), as_matrix(grouped, slots * experts, width));
    combine(serial{}, p.view, as_matrix(grouped, slots * experts, width), as_matrix(std::as_const(weights), 1, n),
            as_matrix(y, tokens, width));
    auto const out = want<float>(c, "output"), rows = want<float>(c, "permuted_tokens");
    for (std::size_t i = 0; i < y.size(); ++i) CHECK(std::fabs(y[i] - out[i]) <= 1e-5f + 1e-5f * std::fabs(out[i]));
    for (index_t e = 0; e < experts; ++e) {
      CHECK(p.offsets[static_cast<std::size_t>(e)] == e * slots);
      for (offset_t i = 0; i < slots * width; ++i)
        CHECK(grouped[static_cast<std::size_t>(e * slots * width + i)] ==
              (i < 5 * width ? rows[static_cast<std::size_t>(e * 5 * width + i)] : 0.f));
    }
    if (slots == 5) CHECK(p.token_of_slot == want<offset_t>(c, "sorted_tokens"));
  }
}
