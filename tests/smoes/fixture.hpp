// Decides what the SMoES tests work on: seeded numbers, probabilities, memory full of garbage, and every CPU
// way to run a body.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/smoes/smoes.hpp>

namespace smoes_test {

using namespace moeroute;

template <class V>
struct table {
  std::vector<V> values;
  offset_t rows = 0, cols = 0;
  table() = default;
  table(offset_t r, offset_t c, V fill = V{}) : values(static_cast<std::size_t>(r * c), fill), rows(r), cols(c) {}
  V& at(offset_t r, offset_t c) { return values[static_cast<std::size_t>(r * cols + c)]; }
  V const& at(offset_t r, offset_t c) const { return values[static_cast<std::size_t>(r * cols + c)]; }
  matrix_view<V> view() { return {values.data(), rows, cols}; }
  matrix_view<V const> view() const { return {values.data(), rows, cols}; }
  matrix_view<V const> seen() const { return view(); }
  row_view<V> row() { return {values.data(), rows * cols}; }
  row_view<V const> row() const { return {values.data(), rows * cols}; }
  row_view<V const> seen_row() const { return row(); }
};

struct numbers {
  std::mt19937 g;
  explicit numbers(unsigned seed) : g(seed) {}
  double normal() { return std::normal_distribution<double>()(g); }
  double unit() { return std::uniform_real_distribution<double>()(g); }
  index_t below(index_t n) { return std::uniform_int_distribution<index_t>(0, n - 1)(g); }
  template <class V>
  table<V> normals(offset_t r, offset_t c, double scale = 1) {
    table<V> t(r, c);
    for (auto& v : t.values) v = static_cast<V>(normal() * scale);
    return t;
  }
  template <class V>
  table<V> units(offset_t r, offset_t c) {
    table<V> t(r, c);
    for (auto& v : t.values) v = static_cast<V>(unit());
    return t;
  }
  table<index_t> ids(offset_t r, offset_t c, index_t n) {
    table<index_t> t(r, c);
    for (auto& v : t.values) v = below(n);
    return t;
  }
};

template <class V>
table<V> softmax_rows(table<V> const& z) {
  table<V> p(z.rows, z.cols);
  for (offset_t t = 0; t < z.rows; ++t) {
    V sum = 0;
    for (offset_t e = 0; e < z.cols; ++e) sum += p.at(t, e) = std::exp(z.at(t, e));
    for (offset_t e = 0; e < z.cols; ++e) p.at(t, e) /= sum;
  }
  return p;
}

inline std::vector<std::byte> memory(offset_t bytes) {
  return std::vector<std::byte>(static_cast<std::size_t>(bytes), std::byte{0xFF});
}

template <class V>
bool same_bits(std::vector<V> const& a, std::vector<V> const& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(V)) == 0);
}

// f(executor) gives a vector; every way to run must give the same bits.
template <class F>
void same_everywhere(F const& f) {
  auto const wanted = f(serial{});
  CHECK(same_bits(wanted, f(threads{3})));
  for (index_t const lanes : {2, 4, 8, 32}) {
    CAPTURE(lanes);
    CHECK(same_bits(wanted, f(lockstep{lanes})));
  }
}

}  // namespace smoes_test
