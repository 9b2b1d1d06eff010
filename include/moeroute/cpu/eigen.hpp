// Decides how Eigen serves us: as the GEMM of a gate, and as maps over our views. Host only; never include
// it in a .cu file.
#pragma once

#include <Eigen/Core>

#include <moeroute/gate/linear.hpp>

namespace moeroute::inline MOEROUTE_ABI {

template <class T>
using eigen_matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// A view as an Eigen map, no copy; constness follows the view.
template <class T>
auto as_eigen(matrix_view<T> m) {
  using M = std::conditional_t<std::is_const_v<T>, eigen_matrix<std::remove_const_t<T>> const, eigen_matrix<T>>;
  return Eigen::Map<M, 0, Eigen::OuterStride<>>(m.data, m.rows, m.cols, Eigen::OuterStride<>(m.stride));
}

// One thread of Eigen, whatever the executor: results do not depend on the thread count.
struct eigen_gemm {
  template <executor X, class A, class B, class V>
  status operator()(X const&, matrix_view<A> a, transposed op_a, matrix_view<B> b, transposed op_b, V beta,
                    matrix_view<V> c) const noexcept {
    if (c.empty()) return {};
    auto const x = as_eigen(a);
    auto const y = as_eigen(b);
    auto z = as_eigen(c);
    if (beta == V(0)) z.setZero();
    else if (beta != V(1)) z *= beta;
    auto const add = [&](auto const& left, auto const& right) {
      z.noalias() += left.template cast<V>() * right.template cast<V>();
    };
    auto const with = [&](auto const& left) {
      if (op_b == transposed::yes) add(left, y.transpose());
      else add(left, y);
    };
    if (op_a == transposed::yes) with(x.transpose());
    else with(x);
    return {};
  }
};
static_assert(gemm<eigen_gemm> && gemm<eigen_gemm, double>);

}  // namespace moeroute::inline MOEROUTE_ABI
