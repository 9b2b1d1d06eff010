// SMoES, oracle 6: attention accumulation, both forms.
#include <cmath>

#include "fixture.hpp"

using namespace smoes_test;

namespace {

constexpr offset_t tokens = 9, width = 5;
constexpr index_t heads = 3;

template <class V>
struct layer_data {
  table<V> attention, stream, added;
  explicit layer_data(unsigned seed) {
    numbers n(seed);
    table<V> z(heads * tokens, tokens);
    for (offset_t r = 0; r < z.rows; ++r)
      for (offset_t j = 0; j < tokens; ++j) z.at(r, j) = j <= r % tokens ? static_cast<V>(n.normal()) : V(-1000);
    attention = softmax_rows(z);
    stream = n.normals<V>(tokens, width), added = n.normals<V>(tokens, width, .7);
  }
  attention_layer<V> view() const {
    return {.heads = heads, .attention = attention.seen(), .stream = stream.seen(), .added = added.seen()};
  }
};

template <class V, class X>
table<V> step(X const& x, attention_layer<V> const& in, table<V> const& before) {
  table<V> after(before.rows, before.cols, V(77));
  attention_score(x, in, before.seen(), after.view(), memory(x.workspace_bytes(0)));
  return after;
}

// The equation as it stands.
double wanted(layer_data<double> const& d, table<double> const& u, offset_t t, offset_t c) {
  double read = 0, a = 0, r = 0;
  for (index_t h = 0; h < heads; ++h)
    for (offset_t j = 0; j < tokens; ++j) read += d.attention.at(h * tokens + t, j) * u.at(j, c) / heads;
  for (offset_t i = 0; i < width; ++i) a += std::pow(d.added.at(t, i), 2), r += std::pow(d.stream.at(t, i), 2);
  a = std::sqrt(a), r = std::sqrt(r);
  return (a * read + r * u.at(t, c)) / (a + r);
}

}  // namespace

TEST_CASE("SMoES attention score: the equation, for u and for every modality's column") {
  layer_data<double> const d(1);
  for (offset_t const columns : {1, 3}) {
    auto const u = numbers(2).units<double>(tokens, columns);
    auto const after = step(serial{}, d.view(), u);
    for (offset_t t = 0; t < tokens; ++t)
      for (offset_t c = 0; c < columns; ++c)
        CHECK(after.at(t, c) == doctest::Approx(wanted(d, u, t, c)).epsilon(1e-12));
  }
}

TEST_CASE("SMoES attention score: the extra value column says what the matrix says") {
  layer_data<double> const d(3);
  auto const u = numbers(4).units<double>(tokens, 2);
  // A fused kernel: values of every head widened by u, output = attention times values.
  table<double> values(tokens, width + 2, 0.5), columns(tokens, heads * 2);
  append_score_columns(u.seen(), values.view(), width);
  for (index_t h = 0; h < heads; ++h)
    for (offset_t t = 0; t < tokens; ++t)
      for (offset_t c = 0; c < 2; ++c)
        for (offset_t j = 0; j < tokens; ++j)
          columns.at(t, h * 2 + c) += d.attention.at(h * tokens + t, j) * values.at(j, width + c);
  auto in = d.view();
  auto const from_matrix = step(serial{}, in, u);
  in.attention = {}, in.columns = columns.seen();
  auto const from_columns = step(serial{}, in, u);
  for (std::size_t i = 0; i < from_matrix.values.size(); ++i)
    CHECK(from_columns.values[i] == doctest::Approx(from_matrix.values[i]).epsilon(1e-12));
}

TEST_CASE_TEMPLATE("SMoES attention score: range, fixed point, identity, heads, padding", V, float, double) {
  layer_data<V> const d(5);
  V const close = sizeof(V) == 4 ? V(1e-6) : V(1e-14);
  auto u = numbers(6).units<V>(tokens, 1);
  for (int l = 0; l < 20; ++l) {  // stays in [0, 1]
    u = step(serial{}, d.view(), u);
    for (V const x : u.values) CHECK((x >= 0 && x <= 1));
  }
  table<V> const constant(tokens, 1, V(.3));
  for (V const x : step(serial{}, d.view(), constant).values) CHECK(std::fabs(x - V(.3)) <= close);

  layer_data<V> self(7);  // identity attention
  for (offset_t r = 0; r < self.attention.rows; ++r)
    for (offset_t j = 0; j < tokens; ++j) self.attention.at(r, j) = j == r % tokens ? V(1) : V(0);
  auto const mixed = numbers(8).units<V>(tokens, 1);
  auto const kept = step(serial{}, self.view(), mixed);
  for (offset_t t = 0; t < tokens; ++t) CHECK(std::fabs(kept.at(t, 0) - mixed.at(t, 0)) <= close);

  auto permuted = d;  // heads in another order
  for (index_t h = 0; h < heads; ++h)
    for (offset_t r = 0; r < tokens; ++r)
      for (offset_t j = 0; j < tokens; ++j)
        permuted.attention.at((h + 1) % heads * tokens + r, j) = d.attention.at(h * tokens + r, j);
  auto const a = step(serial{}, d.view(), mixed), b = step(serial{}, permuted.view(), mixed);
  for (offset_t t = 0; t < tokens; ++t) CHECK(std::fabs(a.at(t, 0) - b.at(t, 0)) <= close);

  auto padded = d.view();
  std::vector<std::uint8_t> valid(tokens, 1);
  valid[4] = 0;
  padded.valid = valid;
  CHECK(step(serial{}, padded, mixed).at(4, 0) == mixed.at(4, 0));

  auto still = d;  // nothing added, nothing in the stream: the score stays
  for (offset_t i = 0; i < width; ++i) still.added.at(2, i) = 0, still.stream.at(2, i) = 0;
  CHECK(step(serial{}, still.view(), mixed).at(2, 0) == mixed.at(2, 0));
}

TEST_CASE(
    "SMoES attention score: causal image tokens before all text stay vision for ever; scores sum "
    "to 1") {
  layer_data<double> const d(9);
  table<double> u(tokens, 2);
  std::vector<index_t> modality{0, 0, 0, 0, 1, 0, 1, 1, 0};
  fill_hard_scores(row_view<index_t const>(modality), u.view());
  for (int l = 0; l < 5; ++l) u = step(serial{}, d.view(), u);
  for (offset_t t = 0; t < 4; ++t) CHECK(u.at(t, 1) == 0.);
  CHECK(u.at(5, 1) > 0.);
  for (offset_t t = 0; t < tokens; ++t) CHECK(u.at(t, 0) + u.at(t, 1) == doctest::Approx(1.));
  modality_scores<double> const scores(u.seen());
  CHECK(mixing(scores, 0) == 0.);
  CHECK(mixing(scores, 5) > 0.);
}

TEST_CASE("SMoES attention score: keys that start elsewhere, for sequences packed into one batch") {
  layer_data<double> const d(10);
  table<double> two(2 * tokens, 1);
  auto const first = numbers(11).units<double>(tokens, 1), second = numbers(12).units<double>(tokens, 1);
  layer_data<double> both(13);
  both.stream = table<double>(2 * tokens, width), both.added = both.stream,
  both.attention = table<double>(heads * 2 * tokens, tokens);
  std::vector<offset_t> first_key(2 * tokens);
  for (offset_t t = 0; t < 2 * tokens; ++t) {
    two.at(t, 0) = t < tokens ? first.at(t, 0) : second.at(t - tokens, 0);
    first_key[static_cast<std::size_t>(t)] = t < tokens ? 0 : tokens;
    for (offset_t i = 0; i < width; ++i)
      both.stream.at(t, i) = d.stream.at(t % tokens, i), both.added.at(t, i) = d.added.at(t % tokens, i);
    for (index_t h = 0; h < heads; ++h)
      for (offset_t j = 0; j < tokens; ++j)
        both.attention.at(h * 2 * tokens + t, j) = d.attention.at(h * tokens + t % tokens, j);
  }
  auto in = both.view();
  in.first_key = first_key;
  auto const packed = step(serial{}, in, two), alone = step(serial{}, d.view(), second);
  for (offset_t t = 0; t < tokens; ++t) CHECK(packed.at(tokens + t, 0) == alone.at(t, 0));
}

TEST_CASE("SMoES attention score: every group the same bits; shapes are checked") {
  same_everywhere(
      [&](auto const& x) { return step(x, layer_data<float>(20).view(), numbers(21).units<float>(tokens, 2)).values; });
  same_everywhere([&](auto const& x) {
    return step(x, layer_data<double>(22).view(), numbers(23).units<double>(tokens, 1)).values;
  });

  layer_data<float> const d(24);
  table<float> const u(tokens, 1);
  table<float> small(tokens - 1, 1);
  CHECK(try_attention_score(serial{}, d.view(), u.seen(), small.view(), {}).code == errc::bad_shape);
  CHECK(score_layer(3, score_lag::none) == 4);
  CHECK(score_layer(3, score_lag::one) == 3);
}
