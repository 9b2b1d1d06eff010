// Decides how an array looks once it is read: values of one type and a shape, seen through the views
// the library takes. Namespace: moeroute_examples.
#pragma once

#include <moeroute/core/view.hpp>

#include "npy.hpp"

namespace moeroute_examples {

template <class T>
struct tensor {
  std::vector<T> values;
  shape_t shape;

  tensor() = default;
  explicit tensor(shape_t s, T fill = T{}) : values(static_cast<std::size_t>(elements(s)), fill), shape(std::move(s)) {}
  tensor(std::vector<T> v, shape_t s) : values(std::move(v)), shape(std::move(s)) {}

  std::int64_t size() const { return std::ssize(values); }
  std::int64_t extent(std::size_t i) const { return shape.at(i); }
  T& operator[](std::int64_t i) { return values[static_cast<std::size_t>(i)]; }
  T const& operator[](std::int64_t i) const { return values[static_cast<std::size_t>(i)]; }

  // The last axis as columns, all others as rows: [layers, T, E] is layers*T rows.
  moeroute::matrix_view<T> matrix() { return {values.data(), rows(), columns()}; }
  moeroute::matrix_view<T const> matrix() const { return {values.data(), rows(), columns()}; }
  // Slice i of the first axis as a matrix: layer i of [layers, T, E].
  moeroute::matrix_view<T> slice(std::int64_t i) {
    auto const n = rows() / shape.at(0);
    return {values.data() + i * n * columns(), n, columns()};
  }
  moeroute::matrix_view<T const> slice(std::int64_t i) const {
    auto const n = rows() / shape.at(0);
    return {values.data() + i * n * columns(), n, columns()};
  }
  moeroute::row_view<T> row() { return {values.data(), size()}; }
  moeroute::row_view<T const> row() const { return {values.data(), size()}; }

  template <class U>
  tensor<U> as() const {
    tensor<U> out(shape);
    for (std::size_t i = 0; i < values.size(); ++i) out.values[i] = static_cast<U>(values[i]);
    return out;
  }
  array to_array() const { return array::of(values, shape); }

 private:
  std::int64_t columns() const { return shape.empty() ? 1 : shape.back(); }
  std::int64_t rows() const {
    std::int64_t n = 1;
    for (std::size_t i = 0; i + 1 < shape.size(); ++i) n *= shape[i];
    return n;
  }
};

}  // namespace moeroute_examples
