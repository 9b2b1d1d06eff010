// Decides whether SMoES gives on a device, bit for bit, what one CPU lane gives: every body of smoes/.
#include <doctest/doctest.h>

#include <cstring>
#include <random>

#include <moeroute/cuda.cuh>
#include <moeroute/smoes/smoes.hpp>

#include <support/device.hpp>

using namespace moeroute;
using namespace moeroute_test;

namespace {

// Memory both sides see, poisoned.
template <class T>
struct shared_array {
  T* data = nullptr;
  offset_t size;
  explicit shared_array(offset_t n) : size(n) {
    check(cudaMallocManaged(&data, sizeof(T) * static_cast<std::size_t>(n + 1)), "cudaMallocManaged");
    std::memset(static_cast<void*>(data), 0xff, sizeof(T) * static_cast<std::size_t>(n + 1));
  }
  shared_array(shared_array const&) = delete;
  shared_array& operator=(shared_array const&) = delete;
  ~shared_array() { cudaFree(data); }
  operator row_view<T>() const { return {data, size}; }
  operator row_view<T const>() const { return {data, size}; }
  matrix_view<T> rows(offset_t n) const { return {data, n, size / n}; }
  matrix_view<T const> seen(offset_t n) const { return {data, n, size / n}; }
  void zero() { std::memset(static_cast<void*>(data), 0, sizeof(T) * static_cast<std::size_t>(size)); }
  std::vector<T> values() const { return {data, data + size}; }
};
template <class T>
bool same(std::vector<T> const& a, std::vector<T> const& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), sizeof(T) * a.size()) == 0;
}
// f(executor, workspace) returns what it wrote; the device must write the same.
template <class F>
void same_on_both(F const& f) {
  shared_array<std::byte> work(1 << 24);
  auto const wanted = f(serial{}, workspace(work.data, work.size));
  auto const found = f(on_cuda{}, workspace(work.data, work.size));
  CHECK(same(wanted, found));
}
void finish() { check(cudaDeviceSynchronize(), "cudaDeviceSynchronize"); }

constexpr offset_t tokens = 700, samples = 5;
constexpr index_t experts = 40, bins = 8;

template <class V>
struct inputs {
  shared_array<V> p{tokens * experts}, u{tokens}, features{tokens * experts};
  shared_array<index_t> sample{tokens}, bin{experts}, label{tokens}, ids{tokens * 4};
  inputs() {
    std::mt19937 g(5);
    std::uniform_real_distribution<V> unit;
    std::normal_distribution<V> normal;
    for (offset_t t = 0; t < tokens; ++t) {
      V sum = 0;
      for (index_t e = 0; e < experts; ++e) sum += p.data[t * experts + e] = unit(g);
      for (index_t e = 0; e < experts; ++e) p.data[t * experts + e] /= sum;
      u.data[t] = unit(g), sample.data[t] = static_cast<index_t>(t * samples / tokens),
      label.data[t] = static_cast<index_t>(g() % 2);
      for (offset_t j = 0; j < 4; ++j) ids.data[t * 4 + j] = static_cast<index_t>(g() % experts);
    }
    for (offset_t i = 0; i < features.size; ++i) features.data[i] = normal(g);
    for (index_t e = 0; e < experts; ++e) bin.data[e] = (e * 7) % bins;
  }
};

}  // namespace

TEST_CASE_TEMPLATE("SMoES inter-bin terms on a device equal one CPU lane", V, float, double) {
  if (no_device()) return;
  inputs<V> in;
  for (auto const& term : {inter_bin_mi(bins, .3), inter_bin_kl(bins, .3), smar(.3)})
    same_on_both([&](auto const& x, workspace w) {
      shared_array<double> value(samples);
      shared_array<std::uint8_t> kept(samples);
      shared_array<std::int64_t> totals(3);
      shared_array<V> d(tokens * experts);
      bin_batch<V> b;
      b.p = in.p.seen(tokens), b.modality = modality_scores<V>(row_view<V const>(in.u)), b.sample = in.sample,
      b.samples = samples;
      if (term.bins != 0) b.bin_of_expert = in.bin;
      throw_if_bad(try_inter_bin(x, term, b, value, kept, totals, d.rows(tokens), w));
      finish();
      auto out = d.values();
      for (double const v : value.values()) out.push_back(static_cast<V>(v));
      for (auto const n : totals.values()) out.push_back(static_cast<V>(n));
      return out;
    });
}

TEST_CASE_TEMPLATE("SMoES balance, counts and bins on a device equal one CPU lane", V, float, double) {
  if (no_device()) return;
  inputs<V> in;
  for (auto const form : {balance_form::in_bin, balance_form::literal, balance_form::global})
    same_on_both([&](auto const& x, workspace w) {
      shared_array<std::int64_t> mass(experts + 1), counts(2 * experts), chosen(experts);
      shared_array<V> coefficient(experts), d(tokens * experts);
      shared_array<double> loss(1), moving(2 * experts), preference(experts);
      shared_array<index_t> order(experts), bin(experts);
      mass.zero(), counts.zero(), chosen.zero(), moving.zero();
      bin_balance const term{.alpha = .1, .form = form, .bins = bins};
      throw_if_bad(try_gate_mass(x, gate_form::softmax, in.p.seen(tokens), {}, mass, w));
      throw_if_bad(try_choice_counts(x, count_weight::hard, in.ids.seen(tokens), {}, modality_scores<V>{}, {},
                                     chosen.rows(1), w));
      throw_if_bad(try_choice_counts(x, count_weight::hard, in.ids.seen(tokens), in.label, modality_scores<V>{}, {},
                                     counts.rows(2), w));
      throw_if_bad(try_update_bins(x, {.bins = bins}, counts.seen(2), moving.rows(2), preference, order, bin, w));
      throw_if_bad(try_bin_balance(x, term, row_view<std::int64_t const>(chosen), row_view<std::int64_t const>(mass),
                                   row_view<index_t const>(bin), row_view<V>(coefficient), loss.data, w));
      throw_if_bad(
          try_bin_balance_backward(x, term, in.p.seen(tokens), {}, row_view<V const>(coefficient), d.rows(tokens), w));
      finish();
      auto out = d.values();
      out.push_back(static_cast<V>(loss.data[0]));
      for (auto const n : counts.values()) out.push_back(static_cast<V>(n));
      for (auto const e : order.values()) out.push_back(static_cast<V>(e));
      return out;
    });
}

TEST_CASE_TEMPLATE("SMoES scores on a device equal one CPU lane", V, float, double) {
  if (no_device()) return;
  inputs<V> in;
  same_on_both([&](auto const& x, workspace w) {
    shared_array<wide_sum> moments(2 * moment_columns(experts));
    shared_array<V> mean(2 * experts), variance(2 * experts), inverse(2 * experts), log_sum(2), score(tokens * 2);
    shared_array<std::uint8_t> seen(2);
    moments.zero(), seen.zero();
    gaussian_view<V> const state{mean.rows(2), variance.rows(2), inverse.rows(2), log_sum, seen};
    throw_if_bad(try_gaussian_moments(x, gauss_weight::hard, in.features.seen(tokens), in.label, modality_scores<V>{},
                                      {}, moments.rows(2), w));
    throw_if_bad(try_update_gaussians(x, {}, moments.seen(2), state, w));
    throw_if_bad(
        try_gaussian_score(x, {}, in.features.seen(tokens), state, {}, score.rows(tokens), matrix_view<V>{}, w));
    finish();
    return score.values();
  });
  same_on_both([&](auto const& x, workspace w) {  // any numbers will do as attention
    shared_array<V> after(20);
    attention_layer<V> layer;
    layer.heads = 7, layer.attention = {in.p.data, 140, 20, experts};
    layer.stream = {in.features.data, 20, experts}, layer.added = {in.features.data + 800, 20, experts};
    throw_if_bad(try_attention_score(x, layer, matrix_view<V const>(in.u.data, 20, 1), after.rows(20), w));
    finish();
    return after.values();
  });
}
