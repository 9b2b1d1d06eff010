// Decides how arrays are passed: a pointer, sizes, and a row stride in elements; inner stride is 1.
#pragma once

#include <moeroute/core/types.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// Ranges that hand out contiguous memory: std::span, std::vector, std::array, thrust vectors.
namespace detail {
template <class P>
MOEROUTE_HD constexpr auto raw_pointer(P p) {
  if constexpr (std::is_pointer_v<P>) return p;
  else return p.get();  // thrust::device_ptr
}
template <class R, class T>
concept contiguous_of = requires(R&& r) {
  { raw_pointer(r.data()) } -> std::convertible_to<T*>;
  { r.size() } -> std::convertible_to<offset_t>;
} && !requires(R&& r) { r.rows(); };
// std::mdspan and its relatives, rank 2.
template <class R, class T>
concept mdspan_of = requires(R&& r) {
  { r.data_handle() } -> std::convertible_to<T*>;
  { r.extent(1) } -> std::convertible_to<offset_t>;
  { r.stride(0) } -> std::convertible_to<offset_t>;
};
// Eigen's dense row-major matrices, maps and references: outer stride kept, inner stride 1.
template <class R, class T>
concept row_major_of = requires(R&& r) {
  { r.data() } -> std::convertible_to<T*>;
  { r.rows() } -> std::convertible_to<offset_t>;
  { r.cols() } -> std::convertible_to<offset_t>;
  { r.outerStride() } -> std::convertible_to<offset_t>;
  requires bool(std::remove_cvref_t<R>::IsRowMajor) || int(std::remove_cvref_t<R>::ColsAtCompileTime) == 1;
};
}  // namespace detail

template <class T>
struct row_view {
  T* data{};
  offset_t size{};

  constexpr row_view() = default;
  MOEROUTE_HD constexpr row_view(T* p, offset_t n) : data(p), size(n) {}
  template <class R>
    requires(!std::same_as<std::remove_cvref_t<R>, row_view> && detail::contiguous_of<R, T>)
  constexpr row_view(R&& r) : data(detail::raw_pointer(r.data())), size(static_cast<offset_t>(r.size())) {}
  template <class U>
    requires(std::same_as<U const, T> && !std::same_as<U, T>)
  MOEROUTE_HD constexpr row_view(row_view<U> const& r) : data(r.data), size(r.size) {}

  MOEROUTE_HD constexpr T& operator[](offset_t i) const { return data[i]; }
  MOEROUTE_HD constexpr T* begin() const { return data; }
  MOEROUTE_HD constexpr T* end() const { return data + size; }
  MOEROUTE_HD constexpr bool empty() const { return size == 0; }
};

template <class T>
struct matrix_view {
  T* data{};
  offset_t rows{};
  offset_t cols{};
  offset_t stride{};  // elements from a row to the next

  constexpr matrix_view() = default;
  MOEROUTE_HD constexpr matrix_view(T* p, offset_t r, offset_t c) : data(p), rows(r), cols(c), stride(c) {}
  MOEROUTE_HD constexpr matrix_view(T* p, offset_t r, offset_t c, offset_t s) : data(p), rows(r), cols(c), stride(s) {}
  template <class U>
    requires(std::same_as<U const, T> && !std::same_as<U, T>)
  MOEROUTE_HD constexpr matrix_view(matrix_view<U> const& m)
      : data(m.data), rows(m.rows), cols(m.cols), stride(m.stride) {}
  template <class M>
    requires detail::mdspan_of<M, T>
  constexpr matrix_view(M const& m)  // inner stride other than 1: bad_stride at the verb
      : data(m.data_handle()),
        rows(static_cast<offset_t>(m.extent(0))),
        cols(static_cast<offset_t>(m.extent(1))),
        stride(cols <= 1 || m.stride(1) == 1 ? static_cast<offset_t>(m.stride(0)) : -1) {}
  template <class M>
    requires detail::row_major_of<M, T>
  constexpr matrix_view(M&& m)
      : data(m.data()),
        rows(static_cast<offset_t>(m.rows())),
        cols(static_cast<offset_t>(m.cols())),
        stride(m.innerStride() == 1 ? static_cast<offset_t>(m.outerStride()) : -1) {}

  MOEROUTE_HD constexpr row_view<T> operator[](offset_t r) const { return {data + r * stride, cols}; }
  MOEROUTE_HD constexpr bool empty() const { return rows == 0 || cols == 0; }
  // Rows [first, first + count).
  MOEROUTE_HD constexpr matrix_view middle_rows(offset_t first, offset_t count) const {
    return {data + first * stride, count, cols, stride};
  }
};

template <class T>
matrix_view(T*, offset_t, offset_t) -> matrix_view<T>;

}  // namespace moeroute::inline MOEROUTE_ABI
