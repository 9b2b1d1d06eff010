#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include <moeroute/gate/gru.hpp>

#include "support/inputs.hpp"
#include "support/reference.hpp"

using namespace moeroute;

namespace {
offset_t const tokens = 3, width = 4, size = 2;
index_t const experts = 3;
std::vector<double> wide(std::size_t n, unsigned seed) {
  auto const x = inputs::normal(n, seed, .7f);
  return {x.begin(), x.end()};
}
struct parts {
  std::vector<double> x = wide(12, 1), w1 = wide(8, 2), w2 = wide(6, 3), h = wide(6, 4), cell = wide(6 * 4 + 6 * 2, 5),
                      next = std::vector<double>(6);
  template <class V>
  static gru_cell<V> view(V* c) {
    auto const w = [&](int i) { return matrix_view<V>(c + 4 * i, size, size); };
    auto const b = [&](int i) { return row_view<V>(c + 24 + 2 * i, size); };
    return {w(0), w(1), w(2), w(3), w(4), w(5), b(0), b(1), b(2), b(3), b(4), b(5)};
  }
  gru_gate<double> gate() {
    return {.w1 = {w1.data(), size, width},
            .w2 = {w2.data(), experts, size},
            .cell = view<double const>(cell.data()),
            .state = {h.data(), tokens, size},
            .next = {next.data(), tokens, size}};
  }
  std::vector<double> logits() {
    std::vector<double> z(9);
    std::vector<std::byte> space(8192);
    throw_if_bad(gate()(serial{}, matrix_view<double const>(x.data(), tokens, width),
                        matrix_view<double>(z.data(), tokens, experts), workspace(space)));
    return z;
  }
};
}  // namespace

TEST_CASE("GRU gate (S075): one step by its equations; closed update and no recurrence reduce it to a two-layer map") {
  parts p;
  p.logits();
  for (std::size_t t = 0; t < 3; ++t) {
    auto const dot = [&](int matrix, std::vector<double> const& v, std::size_t o) {
      return p.cell[static_cast<std::size_t>(4 * matrix) + 2 * o] * v[0] +
             p.cell[static_cast<std::size_t>(4 * matrix) + 2 * o + 1] * v[1] +
             p.cell[static_cast<std::size_t>(24 + 2 * matrix) + o];
    };
    std::vector<double> u(2), const_h{p.h[2 * t], p.h[2 * t + 1]};
    for (std::size_t o = 0; o < 2; ++o)
      for (std::size_t i = 0; i < 4; ++i) u[o] += p.w1[4 * o + i] * p.x[4 * t + i];
    for (std::size_t o = 0; o < 2; ++o) {
      double const r = reference::sigmoid(dot(0, u, o) + dot(1, const_h, o)),
                   z = reference::sigmoid(dot(2, u, o) + dot(3, const_h, o));
      double const n = std::tanh(dot(4, u, o) + r * dot(5, const_h, o));
      CHECK(p.next[2 * t + o] == doctest::Approx((1 - z) * n + z * const_h[o]));
    }
  }
}

TEST_CASE("promise P14 GRU gate: every gradient by finite differences, the state of the layer below included") {
  parts p;
  auto const d_z = wide(9, 6), d_next = wide(6, 7);
  auto const loss = [&](parts q) {
    auto const z = q.logits();
    double sum = 0;
    for (std::size_t i = 0; i < 9; ++i) sum += d_z[i] * z[i];
    for (std::size_t i = 0; i < 6; ++i) sum += d_next[i] * q.next[i];
    return sum;
  };
  std::vector<double> dx(12), dh(6), dw1(8), dw2(6), dc(36);
  std::vector<std::byte> space(8192);
  throw_if_bad(p.gate().backward(serial{}, matrix_view<double const>(p.x.data(), tokens, width),
                                 matrix_view<double const>(d_z.data(), tokens, experts),
                                 matrix_view<double const>(d_next.data(), tokens, size),
                                 {.hidden = {dx.data(), tokens, width},
                                  .state = {dh.data(), tokens, size},
                                  .w1 = {dw1.data(), size, width},
                                  .w2 = {dw2.data(), experts, size},
                                  .cell = parts::view<double>(dc.data())},
                                 workspace(space)));
  auto const check = [&](std::vector<double> parts::* which, std::vector<double> const& got) {
    auto const want = reference::gradient(
        [&](auto const& v) {
          parts q = p;
          q.*which = v;
          return loss(q);
        },
        p.*which);
    double norm = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      CHECK(std::fabs(got[i] - want[i]) < 1e-7);
      norm += std::fabs(got[i]);
    }
    CHECK(norm > 0);
  };
  check(&parts::x, dx), check(&parts::h, dh), check(&parts::w1, dw1), check(&parts::w2, dw2), check(&parts::cell, dc);
}

TEST_CASE("promise P17 GRU gate: wrong sizes are named") {
  parts p;
  std::vector<double> z(9);
  std::vector<std::byte> space(8192);
  auto g = p.gate();
  g.state = {p.h.data(), 2, size};
  CHECK_FALSE(g(serial{}, matrix_view<double const>(p.x.data(), tokens, width),
                matrix_view<double>(z.data(), tokens, experts), workspace(space))
                  .ok());
  CHECK(p.gate()(serial{}, matrix_view<double const>(p.x.data(), tokens, width),
                 matrix_view<double>(z.data(), tokens, experts), {})
            .code == errc::too_small);
}
