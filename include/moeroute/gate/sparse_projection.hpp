// Decides logits by a frozen sparse random projection: y = A x, every row of A with exactly n non-zeros. Nothing is
// trained here. Source: FlyLoRA (S067): choose by |y + b| (magnitude_top_k), b moved by balance/bias_update.hpp.
//
//   A_e: n = floor(density width) places drawn without repetition, values N(0, 1 / experts^2)
#pragma once

#include <vector>

#include <moeroute/concepts.hpp>
#include <moeroute/core/order.hpp>
#include <moeroute/core/philox.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {
template <class H, class V>
struct sparse_projection_row {  // rows: tokens
  matrix_view<index_t const> place;
  matrix_view<float const> value;
  matrix_view<H const> hidden;
  matrix_view<V> logits;
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    for (offset_t e = g.rank(); e < place.rows; e += g.size()) {
      V sum = 0;
      for (offset_t i = 0; i < place.cols; ++i)
        sum = math::fma(static_cast<V>(value[e][i]), static_cast<V>(load(hidden[t][place[e][i]])), sum);
      logits[t][e] = sum;
    }
    g.sync();
  }
};
template <class V>
struct sparse_projection_row_backward {  // rows: tokens
  matrix_view<index_t const> place;
  matrix_view<float const> value;
  matrix_view<V const> d_logits;
  matrix_view<V> d_hidden;
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    if (g.rank() == 0)
      for (offset_t e = 0; e < place.rows; ++e)
        for (offset_t i = 0; i < place.cols; ++i)
          d_hidden[t][place[e][i]] += math::mul(static_cast<V>(value[e][i]), d_logits[t][e]);
    g.sync();
  }
};
}  // namespace detail

struct sparse_projection {
  matrix_view<index_t const> place{};  // experts x n, ascending
  matrix_view<float const> value{};    // experts x n

  index_t experts() const { return static_cast<index_t>(place.rows); }
  template <executor X>
  static offset_t workspace_bytes(X const& x, offset_t) {
    return x.workspace_bytes(0);
  }
  template <executor X, class H, class V>
  status operator()(X const& x, matrix_view<H const> hidden, matrix_view<V> logits, workspace w) const noexcept {
    checks c;
    c.must_be("logits rows", logits.rows, hidden.rows).must_be("logits columns", logits.cols, place.rows);
    c.must_be("gate.value rows", value.rows, place.rows).must_be("gate.value columns", value.cols, place.cols);
    return c.result().ok() ? x.run(hidden.rows, detail::sparse_projection_row<H, V>{place, value, hidden, logits}, w)
                           : c.result();
  }
  // d_hidden += A^T d_logits; A itself is frozen.
  template <executor X, class V>
  status backward(X const& x, matrix_view<V const> d_logits, matrix_view<V> d_hidden, workspace w) const noexcept {
    checks c;
    c.must_be("d_logits columns", d_logits.cols, place.rows).must_be("d_hidden rows", d_hidden.rows, d_logits.rows);
    return c.result().ok()
               ? x.run(d_hidden.rows, detail::sparse_projection_row_backward<V>{place, value, d_logits, d_hidden}, w)
               : c.result();
  }
  void describe(text& t) const { t.add("frozen projection with ").add(place.cols).add(" non-zeros a row"); }
};
static_assert(gate_policy<sparse_projection>);

// Owns a drawn projection; `gate()` is valid while it lives.
class drawn_projection {
 public:
  MOEROUTE_ON_DEMAND
  drawn_projection(index_t experts, offset_t width, double density, std::uint64_t seed) : experts_(experts) {
    n_ = static_cast<offset_t>(density * static_cast<double>(width));
    throw_if_bad(checks{}
                     .at_least("experts", experts, 1)
                     .at_least("non-zeros a row", n_, 1)
                     .at_most("non-zeros a row", n_, width)
                     .result());
    draws const where{.seed = seed, .purpose = 0x464C5930}, what{.seed = seed, .purpose = 0x464C5931};
    for (index_t e = 0; e < experts; ++e) {
      offset_t left = n_;  // selection sampling: keeps the order, exactly n of them
      for (offset_t i = 0; i < width && left > 0; ++i) {
        double const u = where.uniform<double>(e, static_cast<index_t>(i));
        if (u * static_cast<double>(width - i) >= static_cast<double>(left)) continue;
        --left;
        place_.push_back(static_cast<index_t>(i));
        value_.push_back(what.normal<float>(e, static_cast<index_t>(i)) / static_cast<float>(experts));
      }
    }
  }
  sparse_projection gate() const { return {{place_.data(), experts_, n_}, {value_.data(), experts_, n_}}; }

 private:
  index_t experts_;
  offset_t n_ = 0;
  std::vector<index_t> place_;
  std::vector<float> value_;
};

}  // namespace moeroute::inline MOEROUTE_ABI
