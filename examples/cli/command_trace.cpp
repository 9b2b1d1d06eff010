// Decides what `moeroute stats`, `plot` and `diff` say of saved routes.
#include <cmath>
#include <cstdio>

#include <moeroute/loss/observe.hpp>
#include <moeroute/stats/margin.hpp>

#include "cli/commands.hpp"
#include "support/load_statistics.hpp"
#include "support/svg.hpp"
#include "support/table.hpp"
#include "support/trace.hpp"

namespace moeroute_examples {
namespace {

// How close the choices were: median and first percentile of the margin of the softmax of the logits, to 2^-12.
struct margins {
  double median, least;
};
margins margins_of(trace_layer const& l) {
  using namespace moeroute;
  margin_histogram const h{.bins = 8192};
  auto const experts = static_cast<index_t>(l.experts);
  std::vector<wide_sum> sums(static_cast<std::size_t>(h.sums(experts)));
  std::vector<std::byte> work(
      static_cast<std::size_t>(observe_workspace_bytes<serial, margin_histogram, double>({}, h, l.tokens(), experts)));
  observe(serial{}, h, from_logits{matrix_view<double const>(l.logits.data(), l.tokens(), l.experts)}, l.ids.matrix(),
          row_view<wide_sum>(sums), workspace(work));
  return {h.quantile(.5, sums), h.quantile(.01, sums)};
}
std::string percent(double part) { return fixed_digits(100 * part, 1) + " %"; }

}  // namespace

int command_stats(std::string const& trace) {
  auto const layers = load_trace(trace);
  table t({"layer", "tokens", "experts", "k", "empty", "max/mean", "variation", "entropy", "unused", "top weight",
           "modality split", "margin median", "margin 1 %"});
  for (auto const& l : layers) {
    auto const s = statistics_of(l.ids, l.weights, l.modality, l.experts);
    bool const close = !l.logits.empty() && l.tokens() > 0;
    margins const m = close ? margins_of(l) : margins{};
    double const all = static_cast<double>(l.ids.size());
    t.add({std::to_string(l.layer), std::to_string(l.tokens()), std::to_string(l.experts), std::to_string(l.k),
           percent(all > 0 ? static_cast<double>(s.empty) / all : 0), fixed_digits(s.summary.max_over_mean(), 3),
           fixed_digits(s.summary.cv, 3), fixed_digits(s.summary.relative_entropy(), 4), std::to_string(s.summary.dead),
           l.weights.empty() ? "-" : fixed_digits(s.top_weight, 3),
           l.modality.empty() ? "-" : fixed_digits(s.specialization, 3), close ? short_number(m.median) : "-",
           close ? short_number(m.least) : "-"});
  }
  std::printf("%s", t.words().c_str());
  return 0;
}

int command_plot(std::string const& trace, std::string const& out) {
  auto const layers = load_trace(trace);
  std::vector<panel> panels;
  for (auto const& l : layers) {
    auto const s = statistics_of(l.ids, l.weights, l.modality, l.experts);
    panel p{
        "layer " + std::to_string(l.layer),
        "max/mean " + fixed_digits(s.summary.max_over_mean(), 2) + " \u00b7 unused " + std::to_string(s.summary.dead),
        {}};
    auto const row = [&](std::int64_t m) {
      return std::vector<double>(s.usage.matrix()[m].begin(), s.usage.matrix()[m].end());
    };
    p.stack.push_back({.name = l.modality.empty() ? "tokens" : "vision", .y = row(0)});
    if (!l.modality.empty()) p.stack.push_back({.name = "text", .y = row(1)});
    panels.push_back(std::move(p));
  }
  try {
    write_text(out, small_multiples({.title = "Expert load by layer",
                                     .subtitle = one_line(trace),
                                     .x_label = "expert",
                                     .y_label = "chosen places"},
                                    panels, 4, false));
  } catch (std::runtime_error const&) { throw input_error(out, "--out", "a file that can be written", "an error"); }
  return 0;
}

int command_diff(std::string const& a, std::string const& b) {
  auto const x = load_trace(a), y = load_trace(b);
  table t({"layer", "tokens", "same set", "same first", "shared choices", "weight difference"});
  for (auto const& l : x) {
    auto const it = std::find_if(y.begin(), y.end(), [&](auto const& o) { return o.layer == l.layer; });
    if (it == y.end()) {
      t.add({std::to_string(l.layer), std::to_string(l.tokens()), "only in the first"});
      continue;
    }
    if (it->tokens() != l.tokens())
      throw input_error(b, "layer " + std::to_string(l.layer), std::to_string(l.tokens()) + " tokens as in " + a,
                        std::to_string(it->tokens()));
    std::int64_t equal = 0, first = 0;
    double difference = 0;
    bool const weights = !l.weights.empty() && !it->weights.empty() && l.k == it->k;
    for (std::int64_t r = 0; r < l.tokens(); ++r) {
      std::vector<std::int32_t> p(l.ids.matrix()[r].begin(), l.ids.matrix()[r].end());
      std::vector<std::int32_t> q(it->ids.matrix()[r].begin(), it->ids.matrix()[r].end());
      first += !p.empty() && !q.empty() && p[0] == q[0] ? 1 : 0;
      if (weights)
        for (std::int64_t j = 0; j < l.k; ++j) {
          auto const at = std::find(q.begin(), q.end(), p[static_cast<std::size_t>(j)]);
          double const other = at == q.end() ? 0 : it->weights[static_cast<std::size_t>(r * l.k + (at - q.begin()))];
          difference = std::max(difference, std::fabs(l.weights[static_cast<std::size_t>(r * l.k + j)] - other));
        }
      std::sort(p.begin(), p.end()), std::sort(q.begin(), q.end());
      equal += p == q ? 1 : 0;
    }
    auto const share = [&](std::int64_t n) {
      return percent(l.tokens() > 0 ? static_cast<double>(n) / static_cast<double>(l.tokens()) : 1);
    };
    t.add({std::to_string(l.layer), std::to_string(l.tokens()), share(equal), share(first),
           percent(shared_choices(l.ids, it->ids)), weights ? in_words(difference) : "-"});
  }
  for (auto const& l : y)
    if (std::none_of(x.begin(), x.end(), [&](auto const& o) { return o.layer == l.layer; }))
      t.add({std::to_string(l.layer), std::to_string(l.tokens()), "only in the second"});
  std::printf("%s", t.words().c_str());
  return 0;
}

}  // namespace moeroute_examples
