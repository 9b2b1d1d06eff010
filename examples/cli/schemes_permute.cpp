// Decides how grouping by expert is read from a case: golden folder 13.
#include <moeroute/combine_backward.hpp>
#include <moeroute/permute.hpp>

#include "cli/planned.hpp"

namespace moeroute_examples {
namespace {

using namespace moeroute;

// rows[slot] *= factor of the slot's expert: the linear stand-in for an expert.
void apply_experts(planned const& plan, tensor<float> const& factor, tensor<float>& rows) {
  for (std::int64_t e = 0; e < factor.size(); ++e)
    for (std::int64_t s = plan.offsets[e]; s < plan.offsets[e + 1]; ++s)
      for (auto& v : rows.matrix()[s]) v *= factor[e];
}
template <class T>
tensor<T> gathered(tensor<std::int64_t> const& from, T const* values) {
  tensor<T> out({from.size()});
  for (std::int64_t i = 0; i < from.size(); ++i) out[i] = from[i] < 0 ? T(0) : values[from[i]];
  return out;
}

outputs permute_unpermute(case_file const& c, any_executor const& x) {
  auto const tokens = c.floats<float>("tokens", {any, any});
  auto const T = tokens.extent(0), D = tokens.extent(1);
  auto const factor = c.floats<float>("expert_factor", {any}, nan::forbidden);
  auto const E = factor.extent(0);
  auto const ids = c.integers<index_t>("ids", {T, any}, 0, E - 1);
  auto const weights = c.floats<float>("weights", ids.shape, nan::forbidden);
  c.same("T", T), c.same("D", D), c.same("E", E), c.same("k", ids.extent(1));
  planned const plan(x, choices_view<index_t>{.ids = ids.matrix()}, E);

  tensor<float> grouped({plan.rows(), D}), output(tokens.shape);
  permute(x, plan.view, tokens.matrix(), grouped.matrix());
  outputs out;
  out.describe = "rows by expert, then token, then choice; output = sum over choices of weight * expert(row)";
  out.add("permuted_tokens", grouped);
  out.add("permuted_weights", gathered(plan.choice_of_slot, weights.values.data()));
  out.add("sorted_tokens", as_int32(plan.token_of_slot));
  out.add("counts", as_int32(plan.counts));
  out.add("offsets", as_int32(plan.offsets));
  out.add("row_of_slot", as_int32(plan.slot_of_choice, ids.shape));
  apply_experts(plan, factor, grouped);
  combine(x, plan.view, grouped.matrix(), weights.matrix(), output.matrix());
  out.add("output", output);
  if (c.has_input("d_output")) {
    auto const d_output = c.floats<float>("d_output", tokens.shape, nan::forbidden);
    tensor<float> d_rows(grouped.shape), d_weights(weights.shape), d_tokens(tokens.shape);
    combine_backward(x, plan.view, combine_terms<float>{.rows = grouped.matrix(), .weights = weights.matrix()},
                     d_output.matrix(),
                     combine_gradients<float>{.rows = d_rows.matrix(), .weights = d_weights.matrix()});
    apply_experts(plan, factor, d_rows);
    permute_backward(x, plan.view, d_rows.matrix(), d_tokens.matrix());
    out.add("d_tokens", d_tokens);
    out.add("d_weights", d_weights);
  }
  return out;
}

outputs permute_drop_and_pad(case_file const& c, any_executor const& x) {
  auto const tokens = c.floats<float>("tokens", {any, any});
  auto const T = tokens.extent(0), D = tokens.extent(1);
  auto const map = c.mask("routing_map", {T, any});
  auto const E = map.extent(1);
  auto const probs = c.floats<float>("probs", map.shape, nan::forbidden);
  auto const capacity = c.integer("capacity", 0, T);
  c.same("T", T), c.same("D", D), c.same("E", E);
  tensor<std::int64_t> first({T + 1});
  tensor<index_t> ids({choices_in(map.matrix())});
  choices_of_map(x, map.matrix(), first.row(), ids.row());
  planned const plan(x,
                     choices_view<index_t>{.ids = matrix_view<index_t const>(ids.values.data(), 1, ids.size()),
                                           .offsets = first.row()},
                     E);
  for (std::int64_t e = 0; e < E; ++e)
    if (plan.counts[e] != capacity)
      c.wrong("routing_map", "column sums", std::to_string(capacity) + " (params.capacity)",
              std::to_string(plan.counts[e]) + " in column " + std::to_string(e));
  tensor<float> weights({ids.size()}), grouped({plan.rows(), D}), output(tokens.shape);
  for (std::int64_t t = 0; t < T; ++t)
    for (std::int64_t i = first[t]; i < first[t + 1]; ++i) weights[i] = probs[t * E + ids[i]];
  permute(x, plan.view, tokens.matrix(), grouped.matrix());
  combine(x, plan.view, grouped.matrix(), matrix_view<float const>(weights.values.data(), 1, weights.size()),
          output.matrix());
  outputs out;
  out.describe = "capacity rows an expert, by expert then token; output = sum over choices of prob * row";
  out.add("permuted_tokens", grouped);
  out.add("permuted_weights", gathered(plan.choice_of_slot, weights.values.data()));
  out.add("sorted_tokens", as_int32(plan.token_of_slot));
  out.add("output", output);
  return out;
}

outputs pad_map(case_file const& c, any_executor const& x) {
  auto const map = c.mask("routing_map", {any, any});
  c.same("T", map.extent(0)), c.same("E", map.extent(1));
  auto const multiple = c.integer("multiple", 1, 1 << 30);
  tensor<std::uint8_t> padded(map.shape);
  pad_routing_map(x, map.matrix(), multiple, padded.matrix());
  outputs out;
  out.describe = "first zeros of each column switched on until its sum is a multiple";
  out.add("padded_map", padded);
  return out;
}

// A chunk is an expert, numbered by its place in the output: one plan, one permute.
outputs sort_chunks(case_file const& c, any_executor const& x) {
  auto const rows = c.floats<float>("x", {any, any});
  auto const n = rows.extent(0);
  auto const sizes = c.integers<std::int64_t>("sizes", {any}, 0, n);
  auto const chunks = sizes.extent(0);
  auto const order = c.integers<std::int64_t>("order", {chunks}, 0, chunks - 1);
  c.same("chunks", chunks), c.same("D", rows.extent(1));
  tensor<index_t> place({chunks}, -1), ids({n, 1});
  for (std::int64_t i = 0; i < chunks; ++i) {
    if (place[order[i]] >= 0) c.wrong("order", "values", "every chunk once", std::to_string(order[i]) + " twice");
    place[order[i]] = as_index(i);
  }
  std::int64_t row = 0;
  for (std::int64_t i = 0; i < chunks; ++i)
    for (std::int64_t j = 0; j < sizes[i]; ++j, ++row) {
      if (row >= n) c.wrong("sizes", "sum", std::to_string(n) + " rows", "more");
      ids[row] = place[i];
    }
  if (row != n) c.wrong("sizes", "sum", std::to_string(n) + " rows", std::to_string(row));
  outputs out;
  out.describe = "chunks in the given order, rows of a chunk in theirs";
  tensor<float> sorted(rows.shape);
  if (chunks > 0) {
    planned const plan(x, choices_view<index_t>{.ids = ids.matrix()}, chunks);
    permute(x, plan.view, rows.matrix(), sorted.matrix());
    out.add("source_row", as_int32(plan.token_of_slot));
  } else {
    out.add("source_row", tensor<std::int32_t>({0}));
  }
  out.add("output", sorted);
  return out;
}

register_schemes const registered{
    {"permute_unpermute", "Megatron-LM", "rows grouped by expert and restored with weights, forward and backward",
     permute_unpermute},
    {"permute_drop_and_pad", "Megatron-LM", "grouping of a routing map with capacity rows an expert",
     permute_drop_and_pad},
    {"pad_routing_map", "Megatron-LM", "columns of a routing map padded to a multiple", pad_map},
    {"sort_chunks", "TransformerEngine", "chunks of rows in another order", sort_chunks},
};

}  // namespace
}  // namespace moeroute_examples
