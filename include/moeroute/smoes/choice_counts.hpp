// Decides how choices are counted by modality and expert: the one table behind bins, guidance, placement and
// the specialization index. Integers, so tables of shards, micro-batches and layers add exactly.
//
//   hard   C[m, e] = number of (token, choice) with label m and expert e
//   soft   C[m, e] = sum of M[token, m] over the choices of e, in units of 2^-20      (switch S5)
//
// All who read the table normalize within a modality or compare ratios, so the unit does not matter.
#pragma once

#include <moeroute/smoes/modality_scores.hpp>
#include <moeroute/smoes/ticks.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class count_weight : std::uint8_t { hard, soft };
inline constexpr double soft_count_unit = 0x1p20;

namespace detail {

template <class Id, class S>
struct choices_of_chunk {  // row: a chunk of tokens; a lane owns the experts e with e mod lanes = rank
  matrix_view<Id const> ids;
  row_view<index_t const> modality;
  modality_scores<S> scores;
  row_view<std::uint8_t const> valid;
  index_t modalities, experts;
  matrix_view<std::int64_t> out;  // chunks x (modalities * experts)
  offset_t scratch_bytes() const { return 0; }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t chunk, scratch) const {
    std::int64_t* const count = out[chunk].data;
    for (index_t m = 0; m < modalities; ++m)  // a lane clears what it owns
      for (index_t e = g.rank(); e < experts; e += g.size()) count[m * experts + e] = 0;
    offset_t const first = chunk * chunk_tokens;
    offset_t const last = first + chunk_tokens < ids.rows ? first + chunk_tokens : ids.rows;
    for (offset_t t = first; t < last; ++t) {
      if (!valid.empty() && valid[t] == 0) continue;
      for (offset_t j = 0; j < ids.cols; ++j) {
        Id const id = ids[t][j];
        if (id == no_expert_of<Id> || static_cast<index_t>(id) % g.size() != g.rank()) continue;
        add(count + static_cast<index_t>(id), t);
      }
    }
    g.sync();
  }

 private:
  MOEROUTE_HD void add(std::int64_t* count, offset_t t) const {
    if (scores.of.empty()) {
      index_t const m = modality.empty() ? 0 : modality[t];
      if (m >= 0 && m < modalities) ++count[m * experts];
    } else {
      for (index_t m = 0; m < modalities; ++m) {
        double const x = static_cast<double>(scores(t, m)) * soft_count_unit;
        count[m * experts] += static_cast<std::int64_t>(x + .5);
      }
    }
  }
};

}  // namespace detail

template <executor X>
offset_t choice_counts_workspace_bytes(X const& x, offset_t tokens, index_t modalities, index_t experts) {
  return detail::chunk_bytes(tokens, static_cast<offset_t>(modalities) * experts) + x.workspace_bytes(0);
}

// Adds the choices of a batch to `counts` (modalities x experts, contiguous). Ids must lie in [0, experts) or
// be the sentinel. With one row and no labels: plain counts per expert.
template <executor X, std::integral Id, element S = float>
status try_choice_counts(X const& x, count_weight weight, matrix_view<Id const> ids, row_view<index_t const> modality,
                         modality_scores<S> scores, row_view<std::uint8_t const> valid,
                         matrix_view<std::int64_t> counts, workspace w) noexcept {
  bool const hard = weight == count_weight::hard;
  checks c;
  c.must_be("counts stride", counts.stride, counts.cols, errc::bad_stride).strided("ids", ids);
  if (!hard)
    c.must_be("scores rows", scores.of.rows, ids.rows).must_be("scores modalities", scores.count(), counts.rows);
  else if (counts.rows > 1) c.must_be("modality size", modality.size, ids.rows);
  else c.empty_or("modality size", modality, ids.rows);
  c.empty_or("valid size", valid, ids.rows);
  if (!c.result().ok()) return c.result();
  auto const modalities = static_cast<index_t>(counts.rows), experts = static_cast<index_t>(counts.cols);
  return detail::fill_in_chunks(
      x, ids.rows, row_view<std::int64_t>(counts.data, counts.rows * counts.cols), w, [&](auto chunk) {
        return detail::choices_of_chunk<Id, S>{
            ids, modality, hard ? modality_scores<S>{} : scores, valid, modalities, experts, chunk};
      });
}
template <executor X, std::integral Id, element S = float>
void choice_counts(X const& x, count_weight weight, matrix_view<Id const> ids, row_view<index_t const> modality,
                   modality_scores<S> scores, row_view<std::uint8_t const> valid, matrix_view<std::int64_t> counts,
                   workspace w) {
  throw_if_bad(try_choice_counts(x, weight, ids, modality, scores, valid, counts, w));
}

}  // namespace moeroute::inline MOEROUTE_ABI
