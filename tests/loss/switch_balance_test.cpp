// Decides whether the Switch family of balance losses is right: promise P14, every scaling against a plain
// double-precision sum, and what the sums can merge.
#include <cmath>

#include "promise14.hpp"

#include <moeroute/loss/switch_balance.hpp>

using namespace p14;

namespace {

std::vector<double> softmax_of(double const* z, index_t experts) {
  std::vector<double> p(z, z + experts);
  double top = *std::max_element(p.begin(), p.end()), sum = 0;
  for (double& x : p) sum += x = std::exp(x - top);
  for (double& x : p) x /= sum;
  return p;
}
// alpha E sum_e (n_e / per) (sum_t p_te / T), n_e from the first `columns` choices.
double reference(tokens<double> const& t, double alpha, double per, index_t columns) {
  std::vector<double> n(static_cast<std::size_t>(t.experts)), mass(n);
  for (offset_t i = 0; i < t.count; ++i) {
    auto const p = softmax_of(t.logits.data() + i * t.experts, t.experts);
    for (std::size_t e = 0; e < p.size(); ++e) mass[e] += p[e];
    for (index_t j = 0; j < columns; ++j) ++n[static_cast<std::size_t>(t.ids[static_cast<std::size_t>(i * t.k + j)])];
  }
  double sum = 0;
  for (std::size_t e = 0; e < n.size(); ++e) sum += n[e] / per * mass[e] / static_cast<double>(t.count);
  return alpha * t.experts * sum;
}

}  // namespace

TEST_CASE("promise P14: Switch balance loss, all choices over tokens k") {
  check(switch_balance{.alpha = .5}, by_softmax, sample(41, 8, 2));
}
TEST_CASE("promise P14: Switch balance loss on sigmoid scores normalized with an epsilon") {
  check(switch_balance{.alpha = .5}, by_sigmoid, sample(23, 7, 3));
}
TEST_CASE("promise P14: Switch balance loss per sequence, per modality and in groups") {
  check(terms{switch_balance{.alpha = .5, .by = segment_by::sequence, .segments = 5},
              switch_balance{.alpha = .25, .by = segment_by::modality, .segments = 2},
              switch_balance{.alpha = .25, .groups = 4}},
        by_softmax, sample(29, 8, 2));
}
TEST_CASE("promise P14: null-averaged Switch loss (S065 AdaMoE)") {
  check(switch_balance{.alpha = 1, .null_experts = 5}, by_softmax, sample(29, 9, 2));
}

TEST_CASE("switch balance: each scaling equals its formula") {
  auto const t = sample(50, 8, 3);
  double const T = 50;
  CHECK(value_of(switch_balance{.alpha = .01}, by_softmax, t) ==
        doctest::Approx(reference(t, .01, 3 * T, 3)).epsilon(1e-12));
  CHECK(value_of(hf_balance(.01), by_softmax, t) == doctest::Approx(reference(t, .01, T, 3)).epsilon(1e-12));
  CHECK(value_of(gshard_balance(.01), by_softmax, t) == doctest::Approx(reference(t, .01, T, 1)).epsilon(1e-12));
  CHECK(value_of(switch_balance{.alpha = .01, .share = load_share::per_choice}, by_softmax, t) ==
        doctest::Approx(reference(t, .01, 3 * T, 3)).epsilon(1e-12));
}

TEST_CASE("switch balance: the mean over the segments that hold tokens") {
  auto const t = sample(27, 8, 2);  // sequences 0, 1, 2
  double const three = value_of(switch_balance{.by = segment_by::sequence, .segments = 3}, router<>{}, t);
  CHECK(value_of(switch_balance{.by = segment_by::sequence, .segments = 5}, router<>{}, t) ==
        doctest::Approx(three).epsilon(1e-14));
}

TEST_CASE("switch balance: alpha at perfect balance, more when uneven") {
  tokens<double> t{8, 4, 1, std::vector<double>(32), {}, {}, {}, {}};
  for (index_t i = 0; i < 8; ++i) t.ids.push_back(i % 4), t.sequence.push_back(0), t.modality.push_back(0);
  CHECK(value_of(switch_balance{.alpha = .01}, by_softmax, t) == doctest::Approx(.01).epsilon(1e-14));
  CHECK(value_of(hf_balance(.01), by_softmax, t) == doctest::Approx(.01).epsilon(1e-14));
  for (std::size_t i = 0; i < 8; ++i) t.ids[i] = 0, t.logits[4 * i] = 2;
  CHECK(value_of(switch_balance{.alpha = .01}, by_softmax, t) > .02);
  CHECK(value_of(switch_balance{.alpha = .01}, by_softmax, sample(64, 8, 2, 6)) >
        value_of(switch_balance{.alpha = .01}, by_softmax, sample(64, 8, 2, 0)));
}

TEST_CASE(
    "switch balance: a global batch is the loss of the concatenation, not the mean of micro losses "
    "(P11)") {
  auto const t = sample(60, 8, 2, 3);
  switch_balance const term{.alpha = 1};
  auto a = sums_of(serial{}, term, by_softmax, t.rows(0, 20));
  auto const b = sums_of(serial{}, term, by_softmax, t.rows(20, 40));
  double const micro = (loss_value(term, 8, a) + 2 * loss_value(term, 8, b)) / 3;
  merge_sums(a, b);
  CHECK(loss_value(term, 8, a) == value_of(term, by_softmax, t));
  CHECK(loss_value(term, 8, a) != doctest::Approx(micro).epsilon(1e-9));
}

TEST_CASE("switch balance: dropped choices count nowhere, given counts replace the ids") {
  auto t = sample(40, 8, 2);
  auto dropped = t;
  for (std::size_t i = 1; i < dropped.ids.size(); i += 2) dropped.ids[i] = no_expert;
  switch_balance const given{.alpha = 1, .load = load_source::given};
  auto s = sums_of(serial{}, given, by_softmax, t);
  std::vector<std::int64_t> counts(8);
  count_choices(serial{}, dropped.choices(), {}, row_view<std::int64_t>(counts), workspace(memory()));
  CHECK(loss_value(given, 8, s) == 0);
  given.give_counts(8, s, row_view<std::int64_t>(counts), 80);
  CHECK(loss_value(given, 8, s) == value_of(switch_balance{.alpha = 1}, by_softmax, dropped));
  CHECK(loss_value(given, 8, s) < value_of(switch_balance{.alpha = 1}, by_softmax, t));
}

TEST_CASE("switch balance: tiny sigmoid scores cannot hide behind the epsilon unnoticed") {
  auto t = sample(20, 8, 2);
  for (double& z : t.logits) z -= 80;  // scores near 1e-35, far below the default epsilon
  double const hidden = value_of(switch_balance{.alpha = 1}, by_sigmoid, t);
  double const seen = value_of(switch_balance{.alpha = 1, .eps = 0}, by_sigmoid, t);
  CHECK(hidden < 1e-10);
  CHECK(seen > .9);
}

TEST_CASE(
    "switch balance: the group form with one expert a group, and with E groups, is the plain "
    "form") {
  auto const t = sample(33, 8, 2);
  CHECK(value_of(switch_balance{.alpha = 1, .groups = 8}, by_softmax, t) ==
        doctest::Approx(value_of(switch_balance{.alpha = 1}, by_softmax, t)).epsilon(1e-14));
  CHECK(value_of(switch_balance{.alpha = 1, .groups = 1}, by_softmax, t) == doctest::Approx(1).epsilon(1e-12));
}

TEST_CASE("switch balance: permuting loads among null experts changes nothing (S065)") {
  auto t = sample(33, 8, 2);
  switch_balance const term{.alpha = 1, .null_experts = 3};
  double const before = value_of(term, by_softmax, t);
  for (auto& e : t.ids)
    if (e >= 5) e = 5 + (e - 5 + 1) % 3;
  CHECK(value_of(term, by_softmax, t) == doctest::Approx(before).epsilon(1e-14));
}

TEST_CASE("promise P14: scores come typed, no softmax of a softmax") {
  auto const t = sample(21, 8, 2);
  std::vector<double> p;
  for (offset_t i = 0; i < t.count; ++i)
    for (double x : softmax_of(t.logits.data() + i * 8, 8)) p.push_back(x);
  switch_balance const term{.alpha = 1};
  std::vector<wide_sum> a(static_cast<std::size_t>(term.sums(8))), b(a);
  observe(serial{}, term, from_scores<double>{matrix_view<double const>{p.data(), 21, 8}}, t.choices(),
          row_view<wide_sum>(a), workspace(memory()));
  observe(serial{}, term, from_logits<double>{matrix_view<double const>{t.logits.data(), 21, 8}}, t.choices(),
          row_view<wide_sum>(b), workspace(memory()));
  CHECK(loss_value(term, 8, a) == doctest::Approx(loss_value(term, 8, b)).epsilon(1e-14));
  std::vector<double> d(p.size());
  add_gradient(serial{}, term, from_scores<double>{matrix_view<double const>{p.data(), 21, 8}}, t.choices(),
               row_view<wide_sum const>(a), matrix_view<double>(d.data(), 21, 8), workspace(memory()));
  double sum = 0;  // L is linear in the scores: L = sum p dL/dp
  for (std::size_t i = 0; i < p.size(); ++i) sum += p[i] * d[i];
  CHECK(sum == doctest::Approx(loss_value(term, 8, a)).epsilon(1e-13));
}

TEST_CASE("promise P17: wrong sizes are named") {
  auto const t = sample(5, 8, 2);
  std::vector<wide_sum> s(3);
  auto const why = try_observe(serial{}, switch_balance{}, by_softmax, t.view(), t.choices(), row_view<wide_sum>(s),
                               workspace(memory()));
  CHECK(std::string(message(why).c_str()) == "moeroute: sums size = 3 must be 19");
  CHECK(switch_balance{.groups = 3}.validate(8).code == errc::bad_shape);
  s.resize(19);
  auto const many = sample(9, 8, 2);  // three sequences, two announced
  switch_balance const two{.by = segment_by::sequence, .segments = 2};
  CHECK(is_nan(value_of(two, by_softmax, many)));
  auto const silent = try_observe(serial{}, switch_balance{}, by_softmax, t.view(), matrix_view<index_t const>{},
                                  row_view<wide_sum>(s), workspace(memory()));
  CHECK(std::string(message(silent).c_str()) == "moeroute: ids rows = 0 must be 5");
}

TEST_CASE("switch balance in the router's own field") {
  auto const t = sample(30, 8, 2);
  router const r{.score = softmax{}, .regularize = switch_balance{.alpha = .02}};
  std::vector<wide_sum> s(static_cast<std::size_t>(r.regularize.sums(8)));
  observe(serial{}, r, t.view(), t.choices(), row_view<wide_sum>(s), workspace(memory()));
  CHECK(loss_value(r.regularize, 8, s) == value_of(switch_balance{.alpha = .02}, by_softmax, t));
  std::vector<double> d(t.logits.size());
  add_gradient(serial{}, r, t.view(), t.choices(), row_view<wide_sum const>(s), matrix_view<double>(d.data(), 30, 8),
               workspace(memory()));
  CHECK(d == gradient_of(serial{}, switch_balance{.alpha = .02}, by_softmax, t, s));
}

TEST_CASE("S042 SMILE: two Switch losses, one over nodes and one over local experts, each its coefficient at balance") {
  auto const nodes = flat(16, 4), local = flat(16, 8);
  double const both_levels = value_of(switch_balance{.alpha = .3}, by_softmax, nodes) +
                             value_of(switch_balance{.alpha = .2}, by_softmax, local);
  CHECK(both_levels == doctest::Approx(.5).epsilon(1e-14));
}
