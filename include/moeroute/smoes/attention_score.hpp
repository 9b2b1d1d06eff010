// Decides how a modality score follows attention (SMoES, score A, arXiv 2604.23996): a token becomes what it
// reads, in proportion to what attention adds to its stream.
//
//   u~[j]  = (1/H) sum_h sum_j' A[h][j, j'] u[j']
//   u'[j]  = (a u~[j] + r u[j]) / (a + r),   a = |added[j]|_2,  r = |stream[j]|_2
//
// Works on every column of the scores, so u alone or any number of modalities. u stays in [0, 1], a constant
// u stays as it is, a token with a = r = 0 keeps its score.
#pragma once

#include <moeroute/core/executor.hpp>
#include <moeroute/core/tree_sum.hpp>
#include <moeroute/smoes/modality_scores.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// One layer. Either the attention matrices, or what attention made of an extra value column (below).
template <element T>
struct attention_layer {
  index_t heads = 1;
  matrix_view<T const> attention{};      // (heads * tokens) x keys, head by head; rows sum to 1
  row_view<offset_t const> first_key{};  // tokens: the token that column 0 stands for; default 0
  matrix_view<T const> columns{};        // tokens x (heads * score columns): u~ of each head
  matrix_view<T const> stream{};         // tokens x width, before the attention branch is added
  matrix_view<T const> added{};          // tokens x width, what the branch adds
  row_view<std::uint8_t const> valid{};  // tokens: 0 = padding, keeps its score
};

// Fused attention never shows its matrix. Widen every head's values by the columns of u: the columns of
// that head's output are then u~. `values` tokens x (any width), columns [at, at + scores.cols) are written.
template <element T>
void append_score_columns(matrix_view<T const> scores, matrix_view<T> values, offset_t at) {
  for (offset_t t = 0; t < scores.rows; ++t)
    for (offset_t c = 0; c < scores.cols; ++c) values[t][at + c] = scores[t][c];
}

namespace detail {

template <class V, class T, class G>
MOEROUTE_HD V length_of(G const& g, row_view<T const> x) {
  return math::sqrt(tree_sum<V>(g, x.size, [&](offset_t d) {
    V const v = load(x[d]);
    return math::mul(v, v);
  }));
}

template <class T>
struct attention_score_row {  // row: a token
  using V = compute_t<T>;
  attention_layer<T> in;
  matrix_view<T const> before;
  matrix_view<T> after;
  offset_t scratch_bytes() const { return 0; }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    bool const here = in.valid.empty() || in.valid[t] != 0;
    V const a = here ? length_of<V>(g, in.added[t]) : V(0);
    V const r = here ? length_of<V>(g, in.stream[t]) : V(0);
    for (offset_t c = 0; c < before.cols; ++c) {
      V const u = load(before[t][c]);
      V next = u;
      if (a > V(0)) {  // the same for every lane
        V const read = heard(g, t, c);
        next = math::fma(a, read, math::mul(r, u)) / (a + r);
        next = next < V(0) ? V(0) : (next > V(1) ? V(1) : next);
      }
      if (g.rank() == 0) after[t][c] = store<T>(next);
    }
    g.sync();
  }

 private:
  MOEROUTE_EXEC_CHECK_DISABLE
  template <class G>
  MOEROUTE_HD V heard(G const& g, offset_t t, offset_t c) const {
    V sum = 0;
    if (!in.columns.empty()) {
      for (index_t h = 0; h < in.heads; ++h) sum += load(in.columns[t][h * before.cols + c]);
    } else {
      offset_t const first = in.first_key.empty() ? 0 : in.first_key[t];
      for (index_t h = 0; h < in.heads; ++h) {
        row_view<T const> const weight = in.attention[h * before.rows + t];
        sum += tree_sum<V>(g, weight.size,
                           [&](offset_t j) { return math::mul(load(weight[j]), load(before[first + j][c])); });
      }
    }
    return sum / static_cast<V>(in.heads);
  }
};

}  // namespace detail

// `before` and `after` tokens x score columns, not the same memory.
template <executor X, element T>
status try_attention_score(X const& x, attention_layer<T> const& in, matrix_view<T const> before, matrix_view<T> after,
                           workspace w) noexcept {
  offset_t const tokens = before.rows;
  checks c;
  c.at_least("attention.heads", in.heads, 1).must_be("after rows", after.rows, tokens);
  c.must_be("after columns", after.cols, before.cols).must_be("attention.stream rows", in.stream.rows, tokens);
  c.must_be("attention.added rows", in.added.rows, tokens).empty_or("attention.valid size", in.valid, tokens);
  if (in.columns.empty()) {
    c.must_be("attention.attention rows", in.attention.rows, in.heads * tokens);
    c.empty_or("attention.first_key size", in.first_key, tokens);
    if (in.first_key.empty()) c.at_most("attention.attention columns", in.attention.cols, tokens, errc::bad_shape);
  } else {
    c.must_be("attention.columns rows", in.columns.rows, tokens);
    c.must_be("attention.columns columns", in.columns.cols, in.heads * before.cols);
  }
  c.strided("before", before).strided("after", after).strided("attention.attention", in.attention);
  if (!c.result().ok()) return c.result();
  return x.run(tokens, detail::attention_score_row<T>{in, before, after}, w);
}
template <executor X, element T>
void attention_score(X const& x, attention_layer<T> const& in, matrix_view<T const> before, matrix_view<T> after,
                     workspace w = {}) {
  throw_if_bad(try_attention_score(x, in, before, after, w));
}

}  // namespace moeroute::inline MOEROUTE_ABI
