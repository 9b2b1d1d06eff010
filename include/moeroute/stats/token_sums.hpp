// Decides how a sum over tokens is done without atomics: chunks of tokens, each with sums of its own, then an
// integer merge. Sums are integers (std::int64_t, wide_sum), so neither the number of chunks nor the executor
// changes a bit.
#pragma once

#include <moeroute/core/executor.hpp>
#include <moeroute/core/wide_sum.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

// At least 32 tokens a chunk, at most 1024 chunks and 2^20 sums for all of them.
inline constexpr offset_t most_chunks = 1024, most_chunk_sums = offset_t{1} << 20;
constexpr offset_t token_chunks(offset_t tokens, offset_t sums) {
  offset_t const by_tokens = (tokens + 31) / 32 < most_chunks ? (tokens + 31) / 32 : most_chunks;
  offset_t const by_memory = most_chunk_sums / (sums < 1 ? 1 : sums);
  offset_t const n = by_tokens < by_memory ? by_tokens : by_memory;
  return n < 1 ? 1 : n;
}

// Row c: the tokens of chunk c, in order.
template <class Sum, class Body>
struct sum_chunk {
  Body body;
  offset_t tokens, chunks;
  matrix_view<Sum> out;  // chunks x sums, or the caller's sums as one row
  offset_t scratch_bytes() const { return body.scratch_bytes(); }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t c, scratch s) const {
    row_view<Sum> const sums = out[c];
    if (chunks > 1) {
      for (offset_t i = g.rank(); i < sums.size; i += g.size()) sums[i] = Sum{};
      g.sync();
    }
    offset_t const base = tokens / chunks, extra = tokens % chunks;
    offset_t const first = c * base + (c < extra ? c : extra), last = first + base + (c < extra ? 1 : 0);
    for (offset_t t = first; t < last; ++t) {
      body(g, t, sums, s);
      g.sync();
    }
  }
};

// Row b: sums [32 b, 32 b + 32) of all chunks.
template <class Sum>
struct merge_chunks {
  matrix_view<Sum const> parts;
  row_view<Sum> into;
  offset_t scratch_bytes() const { return 0; }

  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t b, scratch) const {
    offset_t const last = 32 * b + 32 < into.size ? 32 * b + 32 : into.size;
    for (offset_t i = 32 * b + g.rank(); i < last; i += g.size())
      for (offset_t c = 0; c < parts.rows; ++c) into[i] += parts[c][i];
  }
};

}  // namespace detail

// Bytes for sums of `count` numbers; grows with every argument.
template <class Sum, executor X>
offset_t token_sums_workspace_bytes(X const& x, offset_t tokens, offset_t count, offset_t scratch_bytes) {
  offset_t const chunks = (tokens + 31) / 32 < detail::most_chunks ? (tokens + 31) / 32 : detail::most_chunks;
  offset_t const sums =
      count > detail::most_chunk_sums / (chunks < 1 ? 1 : chunks) ? detail::most_chunk_sums : chunks * count;
  return x.workspace_bytes(scratch_bytes) + aligned_bytes<Sum>(sums) + workspace_alignment;
}

// into += sum over tokens of what body(group, token, sums, scratch) adds. A lane writes only elements that
// no other lane writes.
template <class Sum, executor X, class Body>
status try_sum_over_tokens(X const& x, offset_t tokens, row_view<Sum> into, Body const& body, workspace w) noexcept {
  if (tokens <= 0 || into.size <= 0) return {};
  offset_t const chunks = detail::token_chunks(tokens, into.size);
  if (chunks == 1)
    return x.run(1, detail::sum_chunk<Sum, Body>{body, tokens, 1, matrix_view<Sum>(into.data, 1, into.size)}, w);
  offset_t const wanted = token_sums_workspace_bytes<Sum>(x, tokens, into.size, body.scratch_bytes());
  if (status const s = workspace_ok(w, wanted); !s.ok()) return s;
  scratch mine = aligned_scratch(w);
  matrix_view<Sum> const parts{mine.take<Sum>(chunks * into.size), chunks, into.size};
  workspace const rest{mine.at, w.bytes - (mine.at - w.data)};
  status const s = x.run(chunks, detail::sum_chunk<Sum, Body>{body, tokens, chunks, parts}, rest);
  if (!s.ok()) return s;
  return x.run((into.size + 31) / 32, detail::merge_chunks<Sum>{parts, into}, rest);
}

}  // namespace moeroute::inline MOEROUTE_ABI
