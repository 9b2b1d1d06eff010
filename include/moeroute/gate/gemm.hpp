// Decides how a gate multiplies matrices: C = beta C + op(A) op(B), by our own loops or by any library the
// user brings (cpu/eigen.hpp, cuda/gemm.cuh, or a functor of the same shape).
#pragma once

#include <moeroute/concepts.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class transposed : bool { no, yes };

// What a GEMM is: status operator()(executor, A, op of A, B, op of B, beta, C) const noexcept.
template <class F, class T = float>
concept gemm = requires(F const& f, serial x, matrix_view<T const> a, matrix_view<T> c) {
  { f(x, a, transposed::no, a, transposed::yes, T(0), c) } -> std::same_as<status>;
};

namespace detail {

template <class A, class B, class V>
struct gemm_row {
  matrix_view<A const> a;
  bool at;
  matrix_view<B const> b;
  bool bt;
  V beta;
  matrix_view<V> c;

  offset_t scratch_bytes() const { return 0; }
  // Row i of C. Every element is one fixed sum, whatever the group: 8 classes of the inner index, then a tree.
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t i, scratch) const {
    offset_t const inner = at ? a.rows : a.cols;
    for (offset_t j = g.rank(); j < c.cols; j += g.size()) {
      V part[8] = {};
      offset_t l = 0;
      if (!at && bt) {
        auto const* const x = a.data + i * a.stride;
        auto const* const y = b.data + j * b.stride;
        for (; l + 8 <= inner; l += 8)
          for (offset_t q = 0; q < 8; ++q) part[q] += math::mul(load(x[l + q]), load(y[l + q]));
      }
      for (; l < inner; ++l) part[l % 8] += math::mul(load(at ? a[l][i] : a[i][l]), load(bt ? b[j][l] : b[l][j]));
      V const sum = ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]));
      c[i][j] = beta == V(0) ? sum : math::mul(beta, c[i][j]) + sum;
    }
    g.sync();
  }
};

}  // namespace detail

// Without dependencies: right for every size, element type and executor, and slow for large ones.
struct plain_gemm {
  template <executor X, class A, class B, class V>
  status operator()(X const& x, matrix_view<A> a, transposed op_a, matrix_view<B> b, transposed op_b, V beta,
                    matrix_view<V> c) const noexcept {
    using Ea = std::remove_const_t<A>;
    using Eb = std::remove_const_t<B>;
    return x.run(c.rows, detail::gemm_row<Ea, Eb, V>{a, op_a == transposed::yes, b, op_b == transposed::yes, beta, c},
                 workspace{});
  }
};
static_assert(gemm<plain_gemm> && gemm<plain_gemm, double>);

// Sizes of C = op(A) op(B), named after the argument that is wrong.
template <class A, class B, class C>
constexpr status check_gemm(char const* what_a, A const& a, transposed op_a, char const* what_b, B const& b,
                            transposed op_b, char const* what_c, C const& c) {
  bool const at = op_a == transposed::yes, bt = op_b == transposed::yes;
  checks k;
  k.must_be(what_b, bt ? b.cols : b.rows, at ? a.rows : a.cols).must_be(what_c, c.rows, at ? a.cols : a.rows);
  k.must_be(what_c, c.cols, bt ? b.rows : b.cols);
  k.readable(what_a, a).readable(what_b, b).strided(what_c, c);
  return k.result();
}

}  // namespace moeroute::inline MOEROUTE_ABI
