// Decides how sums of SMoES are kept: as integers, so that tokens may be split over lanes, threads, shards
// and micro-batches in any way and the merged table has the same bits.
//
//   ticks<V>   terms of magnitude at most 1, in units of 2^-40 (float) or 2^-44 (double); wide_sum for others
//   merge      table += table: the whole of merging
#pragma once

#include <moeroute/core/exact_sum.hpp>
#include <moeroute/core/executor.hpp>
#include <moeroute/core/tree_sum.hpp>
#include <moeroute/core/wide_sum.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// One table entry holds 2^22 (float) or 2^18 (double) terms of magnitude 1.
template <class V>
struct ticks {
  static constexpr int fraction_bits = sizeof(V) == 4 ? 40 : 44;
  static constexpr double unit = sizeof(V) == 4 ? 0x1p40 : 0x1p44;
  static constexpr offset_t most_terms = offset_t{1} << (62 - fraction_bits);

  MOEROUTE_HD static std::int64_t of(V x) {
    if constexpr (sizeof(V) == 4) {
      return exact_sum<float>::to_ticks(x);
    } else {
#if defined(__CUDA_ARCH__)
      return __double2ll_rn(x * unit);
#else
      double const shifted = x * unit + 0x1.8p52;  // the rounded integer in the low bits
      return math::as<std::int64_t>(shifted) - math::as<std::int64_t>(0x1.8p52);
#endif
    }
  }
  MOEROUTE_HD static V value(std::int64_t n) { return static_cast<V>(static_cast<double>(n) / unit); }
};

// Adds the table of another shard, micro-batch or rank. On a device: an all-reduce of int64 sums.
template <class Cell>
void merge(row_view<Cell> into, row_view<Cell const> from) {
  for (offset_t i = 0; i < into.size; ++i) into[i] += from[i];
}

namespace detail {

// Tables over many tokens are filled in two steps: each chunk of tokens into a table of its own, then the
// chunks are added. Rows of both steps are independent.
inline constexpr offset_t chunk_tokens = 256;
constexpr offset_t chunks_of(offset_t tokens) { return (tokens + chunk_tokens - 1) / chunk_tokens; }
inline constexpr offset_t cells_a_row = 64;

struct clear_row {  // one row: two tables to 0
  row_view<std::int64_t> a, b;
  offset_t scratch_bytes() const { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t, scratch) const {
    for (offset_t i = g.rank(); i < a.size; i += g.size()) a[i] = 0;
    for (offset_t i = g.rank(); i < b.size; i += g.size()) b[i] = 0;
    g.sync();
  }
};

template <class Cell>
struct add_chunks {               // row: cells_a_row cells of the table
  matrix_view<Cell const> chunk;  // chunks x cells
  row_view<Cell> table;           // cells; added to
  offset_t scratch_bytes() const { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t row, scratch) const {
    offset_t const first = row * cells_a_row;
    offset_t const last = first + cells_a_row < table.size ? first + cells_a_row : table.size;
    for (offset_t i = first + g.rank(); i < last; i += g.size()) {
      Cell sum{};
      for (offset_t c = 0; c < chunk.rows; ++c) sum += chunk[c][i];
      table[i] += sum;
    }
    g.sync();
  }
};

// Bytes for the chunk tables; every count verb of SMoES asks for this much and what its executor wants.
template <class Cell = std::int64_t>
constexpr offset_t chunk_bytes(offset_t tokens, offset_t cells) {
  return aligned_bytes<Cell>(chunks_of(tokens) * cells) + workspace_alignment;
}

// Runs `fill(chunk tables)` over the chunks, then adds them to `table`.
template <executor X, class Cell, class MakeBody>
status fill_in_chunks(X const& x, offset_t tokens, row_view<Cell> table, workspace w, MakeBody const& make) noexcept {
  offset_t const chunks = chunks_of(tokens), bytes = chunk_bytes<Cell>(tokens, table.size);
  if (chunks == 0 || table.size == 0) return {};
  if (status const s = workspace_ok(w, bytes); !s.ok()) return s;
  matrix_view<Cell> const chunk{aligned_scratch(w).template take<Cell>(chunks * table.size), chunks, table.size};
  workspace const rest{w.data + bytes, w.bytes - bytes};
  if (status const s = x.run(chunks, make(chunk), rest); !s.ok()) return s;
  offset_t const rows = (table.size + cells_a_row - 1) / cells_a_row;
  return x.run(rows, add_chunks<Cell>{chunk, table}, rest);
}

}  // namespace detail
}  // namespace moeroute::inline MOEROUTE_ABI
