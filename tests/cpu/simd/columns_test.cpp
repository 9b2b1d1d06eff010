#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include <moeroute/cpu/simd/columns.hpp>

#include "support/inputs.hpp"

using namespace moeroute;
using simd::tokens_at_once;

namespace {
constexpr auto N = static_cast<std::size_t>(tokens_at_once);

// n columns whose numbers tell where they are.
template <class T>
std::vector<T> numbered(std::size_t n) {
  std::vector<T> column(16 * N);
  for (std::size_t j = 0; j < n; ++j)
    for (std::size_t t = 0; t < N; ++t) column[N * j + t] = static_cast<T>(100 * j + t);
  return column;
}
template <class U, class T>
void check_written() {
  for (offset_t n = 1; n <= 16; ++n)
    for (offset_t gap : {0, 3})
      for (int tokens : {1, 5, tokens_at_once}) {
        std::vector<T> const column = numbered<T>(static_cast<std::size_t>(n));
        std::vector<U> out(static_cast<std::size_t>((tokens + 2) * (n + gap)), U(9));
        matrix_view<U> const view{out.data(), tokens + 2, n, n + gap};
        simd::write_columns(column.data(), view, 1, tokens);
        for (offset_t t = 0; t < tokens + 2; ++t)
          for (offset_t j = 0; j < n + gap; ++j) {
            bool const inside = t >= 1 && t <= tokens && j < n;
            CHECK(out[static_cast<std::size_t>(t * (n + gap) + j)] == (inside ? U(100 * j + t - 1) : U(9)));
          }
      }
}
}  // namespace

TEST_CASE("columns: a row of lanes gives out expert after expert of all tokens, collectives join what it gives") {
  std::vector<float> column = numbered<float>(6);
  simd::lane_row const z{column.data(), 5};
  std::size_t seen = 0;
  z.each(simd::column_group{}, [&](index_t e, simd::several_columns x) {
    CHECK(static_cast<std::size_t>(e) == seen);
    std::vector<float> lane(N * simd::experts_at_once), all(lane.size());
    simd::store(lane.data(), x);
    for (std::size_t i = 0; i < lane.size(); ++i) CHECK(lane[i] == column[N * seen + i]);
    seen += simd::experts_at_once;
    simd::store(all.data(), simd::column_group::max(x));
    for (std::size_t i = 0; i < all.size(); ++i) CHECK(all[i] == lane[lane.size() - N + i % N]);
    simd::store(all.data(), simd::column_group::sum(x));
    for (std::size_t i = 0; i < all.size(); ++i)
      CHECK(all[i] == (simd::experts_at_once == 1 ? lane[i] : lane[i % N] + lane[N + i % N]));
  });
  CHECK(seen == (simd::experts_at_once == 1 ? 5 : 6));
}

TEST_CASE("columns: a sum of few terms has the bits of the exact sum") {
  std::vector<float> const noise = inputs::normal(16 * N, 3, 4.f);
  std::vector<exact_sum<float>> want(N);
  unit_sum<simd::several_columns> sum;
  std::vector<float> x(noise.size());
  for (std::size_t i = 0; i < x.size(); ++i) want[i % N].add(x[i] = math::exp(-std::fabs(noise[i])));
  for (std::size_t i = 0; i < x.size(); i += N * simd::experts_at_once)
    sum.add(simd::load<simd::several_columns>(x.data() + i));
  std::vector<float> got(N * simd::experts_at_once);
  simd::store(got.data(), sum.total(simd::column_group{}));
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == want[i % N].value());
}

TEST_CASE("columns: rows become columns, NaN is closed") {
  for (index_t width : {8, 16}) {
    auto const w = static_cast<std::size_t>(width);
    std::vector<float> rows = inputs::normal(N * w, 2), column(16 * N);
    rows[w + 3] = not_a_number<float>;
    simd::columns_of_rows(rows.data(), width, column.data());
    for (std::size_t e = 0; e < w; ++e)
      for (std::size_t t = 0; t < N; ++t)
        CHECK(column[N * e + t] == (t == 1 && e == 3 ? -infinity<float> : rows[w * t + e]));
  }
}

TEST_CASE("columns: columns become rows of any length, stride and type, and nothing else is touched") {
  check_written<float, float>();
  check_written<double, float>();
  check_written<std::int32_t, std::int32_t>();
  check_written<std::int64_t, std::int32_t>();
  check_written<std::uint16_t, std::int32_t>();
}
