// SMoES: the sums behind the inter-bin terms; samples split over shards.
#include "inter_bin_fixture.hpp"

using namespace smoes_test;

namespace {

template <class X, class V>
table<std::int64_t> sums_of(X const& x, bin_batch<V> const& in, index_t bins) {
  auto const term = inter_bin_mi(bins);
  table<std::int64_t> sums(in.samples, bin_sum_columns(in.modality.count(), bins));
  sum_bins(x, term, in, sums.view(),
           memory(bin_sums_workspace_bytes<X, V>(x, term, static_cast<index_t>(in.p.cols), in.modality.count())));
  return sums;
}
// Tokens [first, last) of a batch: a shard.
template <class V>
bin_batch<V> cut(bin_batch<V> in, offset_t first, offset_t last) {
  in.p = in.p.middle_rows(first, last - first);
  in.modality.of = in.modality.of.middle_rows(first, last - first);
  in.sample = {in.sample.data + first, last - first};
  return in;
}

}  // namespace

TEST_CASE_TEMPLATE("SMoES sums: any cut of the tokens over shards merges to the same bits, loss and gradient too", V,
                   float, double) {
  mi_data<V> const d(1, 4, 25, 12, 3);
  auto const in = d.batch();
  auto const whole = sums_of(serial{}, in, 3);
  auto merged = sums_of(threads{2}, cut(in, 0, 37), 3);
  merge(merged.row(), sums_of(serial{}, cut(in, 37, 38), 3).seen_row());
  merge(merged.row(), sums_of(lockstep{4}, cut(in, 38, 100), 3).seen_row());
  CHECK(same_bits(merged.values, whole.values));

  // One shard's gradient from merged sums equals those rows of the whole gradient.
  auto const term = inter_bin_mi(3, .1);
  auto const all = inter_bin_of(serial{}, term, in);
  auto const shard = cut(in, 37, 100);
  table<double> value(1, 4);
  table<std::uint8_t> kept(1, 4);
  table<std::int64_t> totals(1, 3);
  table<V> coefficient(4, inter_bin_coefficients(2, 12)), d_logits(63, 12);
  inter_bin_result<V> const result{value.row(), kept.row(), coefficient.view(), totals.row()};
  throw_if_bad(try_inter_bin_value(serial{}, term, shard, merged.seen(), result, memory(4096)));
  throw_if_bad(try_inter_bin_backward(serial{}, term, shard, result, d_logits.view(), {}));
  CHECK(inter_bin_loss(term, totals.seen_row()) == all.loss);
  for (offset_t t = 0; t < 63; ++t)
    for (index_t e = 0; e < 12; ++e) CHECK(d_logits.at(t, e) == all.d_logits.at(37 + t, e));
}

TEST_CASE("SMoES sums: adding a gradient to what is there") {
  mi_data<double> const d(2, 2, 6, 6, 3);
  auto const in = d.batch();
  auto const term = inter_bin_mi(3, 1);
  auto const alone = inter_bin_of(serial{}, term, in);
  table<double> d_logits(12, 6, 2.), value(1, 2);
  table<std::uint8_t> kept(1, 2);
  table<std::int64_t> totals(1, 3);
  inter_bin(serial{}, term, in, value.row(), kept.row(), totals.row(), d_logits.view(),
            memory(inter_bin_workspace_bytes<double>(serial{}, term, 12, 6, 2, 2)), true);
  for (std::size_t i = 0; i < d_logits.values.size(); ++i) CHECK(d_logits.values[i] == 2. + alone.d_logits.values[i]);
}

TEST_CASE("SMoES sums: samples without tokens, and more samples than tokens") {
  mi_data<double> d(3, 2, 6, 6, 3);
  for (index_t& s : d.sample.values) s = s == 0 ? 1 : 4;
  auto in = d.batch();
  in.samples = 7;
  auto const r = inter_bin_of(serial{}, inter_bin_mi(3, 1), in);
  CHECK(r.kept.values == std::vector<std::uint8_t>{0, 1, 0, 0, 1, 0, 0});
  CHECK(r.totals.values == std::vector<std::int64_t>{r.totals.at(0, 0), 2, 7});
}
