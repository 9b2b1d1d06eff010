// Decides what the runs say: the table of methods, the claims Q1 to Q13 with intervals and a plain verdict, and the
// figures. Namespace: moeroute_smoes.
#pragma once

#include <filesystem>
#include <fstream>

#include <moeroute/smoes/expert_parallel.hpp>

#include "smoes/figures.hpp"
#include "smoes/statistics.hpp"

namespace moeroute_smoes {

inline measure const msi = field("msi"), image = field("image", 100), text_accuracy = field("text", 100),
                     overall = field("accuracy", 100), inside = field("variation_inside");

inline double rank_correlation_with_depth(json const& j, char const* name) {
  auto const v = j.at(name).get<std::vector<double>>();
  double up = 0, pairs = 0;  // Kendall
  for (std::size_t a = 0; a < v.size(); ++a)
    for (std::size_t b = a + 1; b < v.size(); ++b) up += v[b] > v[a] ? 1 : (v[b] < v[a] ? -1 : 0), pairs += 1;
  return pairs > 0 ? up / pairs : 0;
}

// Seconds of one layer for a prefill of `tokens`: the shape of OLMoE on two boards over 10 Gb Ethernet.
struct deployment {
  moeroute::link_model link{.latency = 50e-6, .bandwidth = 1.25e9, .seconds_per_slot = 6.3e-6, .overlapped = true};
  double width = 2048, bytes_per_value = 2, messages = 4;
  double seconds(json const& j, std::string const& place, double tokens, int k) const {
    auto const& p = j.at("placement").at(place);
    double const bytes = p.at("all").at("copies").get<double>() * tokens * 2 * width * bytes_per_value;
    double const busiest = p.at("busiest").get<double>() * tokens * k;
    return link.layer(static_cast<std::int64_t>(busiest), static_cast<std::int64_t>(messages),
                      static_cast<std::int64_t>(bytes));
  }
};

inline void write_methods(std::ostream& out, std::vector<json> const& lines, results const& r) {
  out << "| method | n | MSI | image | text | bytes a token and layer, Q = 2: index / bin | Q = 4: "
         "index / bin | R_any vision, text, answer (bin, Q = 2) | variation inside bins | busiest "
         "of 2 |\n"
         "|---|---|---|---|---|---|---|---|---|---|\n";
  std::vector<std::string> order;
  for (auto const& j : lines)
    if (std::string const name = j.at("method"); std::find(order.begin(), order.end(), name) == order.end())
      order.push_back(name);
  for (auto const& m : order) {
    auto const mean = [&](measure const& f) { return r.value(m, f).mean; };
    auto const bytes = [&](char const* place) { return mean(transfer(place, "all", "bytes")); };
    auto const any = [&](char const* kind) { return mean(transfer("bin2", kind, "r_any")); };
    out << "| " << m << " | " << r.of(m).size() << " | " << shown(r.value(m, msi), 3) << " | "
        << shown(r.value(m, image), 1) << " | " << shown(r.value(m, text_accuracy), 1)
        << words(" | %.0f / %.0f | %.0f / %.0f", bytes("index2"), bytes("bin2"), bytes("index4"), bytes("bin4"))
        << words(" | %.2f, %.2f, %.2f", any("vision"), any("text"), any("answer")) << " | "
        << shown(r.value(m, inside), 2)
        << words(" | %.2f |\n",
                 mean([](json const& j) { return j.at("placement").at("bin2").at("busiest").get<double>(); }));
  }
}

class claims {
 public:
  claims(std::ostream& out, results const& r) : out_(out), r_(r) {
    out_ << "| claim | found | verdict |\n|---|---|---|\n";
  }
  void line(char const* id, std::string const& found, bool pass) {
    out_ << "| " << id << " | " << found << " | " << (pass ? "pass" : "**does not show**") << " |\n";
  }

  void all() {
    auto const bytes = [](char const* place) { return transfer(place, "all", "bytes"); };
    auto const any = [](char const* place, char const* kind) { return transfer(place, kind, "r_any"); };
    std::string const none = "none", soft = "soft-attention", hard = "hard-score", mask = "hard-routing";
    auto const diff = [&](std::string const& a, std::string const& b, measure const& f) {
      return r_.difference(a, b, f);
    };

    auto const a = diff(soft, none, msi), b = diff(hard, soft, msi), c = diff(mask, hard, msi);
    line("Q1 MSI: none < soft + MI < hard score <= hard routing",
         "steps " + shown(a, 3) + ", " + shown(b, 3) + ", " + shown(c, 3), a.above(0) && b.above(0) && c.low >= 0);
    auto const soft_image = diff(soft, none, image), soft_text = diff(soft, none, text_accuracy);
    line("Q2 soft + MI costs at most 0.5 point, text up", "image " + shown(soft_image) + ", text " + shown(soft_text),
         soft_image.low >= -.5 && soft_text.low >= -.5 && soft_text.mean > 0);
    auto const light_image = diff("soft-attention-.1", none, image),
               light_text = diff("soft-attention-.1", none, text_accuracy);
    line("Q2 at alpha 0.1", "image " + shown(light_image) + ", text " + shown(light_text),
         light_image.low >= -.5 && light_text.low >= -.5 && light_text.mean > 0);
    auto const mask_image = diff(mask, none, image), mask_text = diff(mask, none, text_accuracy);
    line("Q3 hard routing loses, text most", "image " + shown(mask_image) + ", text " + shown(mask_text),
         mask_image.below(0) && mask_text.below(0) && mask_text.mean < mask_image.mean);
    auto const kl_index = diff("inter-bin-kl", soft, msi), kl_inside = diff(soft, "inter-bin-kl", inside),
               kl_all = diff(soft, "inter-bin-kl", overall);
    line("Q4 MI against KL",
         "MSI of KL less MI " + shown(kl_index, 3) + "; MI less KL: variation inside bins " + shown(kl_inside) +
             ", accuracy " + shown(kl_all),
         kl_inside.below(0) && kl_all.above(0));
    auto const fixed_any = diff(soft, "fixed-bins", any("bin2", "all")),
               fixed_text = diff(soft, "fixed-bins", text_accuracy);
    line("Q5 adaptive bins against fixed: lower R_any, text not worse",
         "R_any " + shown(fixed_any, 3) + ", text " + shown(fixed_text), fixed_any.below(0) && fixed_text.low >= -.5);
    auto const score_all = diff(soft, hard, overall);
    line("Q6 soft score against hard: better at lower MSI",
         "accuracy " + shown(score_all) + ", MSI " + shown(diff(soft, hard, msi), 3), score_all.above(0) && b.above(0));
    for (int const Q : {2, 4}) {
      auto const index = "index" + std::to_string(Q), bin = "bin" + std::to_string(Q);
      auto const total = r_.saving(soft, bytes(bin.c_str()), none, bytes(index.c_str())),
                 alone = r_.saving(none, bytes(bin.c_str()), none, bytes(index.c_str()));
      auto const own = r_.saving(soft, bytes(bin.c_str()), soft, bytes(index.c_str()));
      auto const kinds = [&](char const* kind) {
        return r_.saving(soft, any(bin.c_str(), kind), none, any(index.c_str(), kind));
      };
      auto const v = kinds("vision"), t = kinds("text"), d = kinds("answer");
      std::string const at = " at Q = " + std::to_string(Q);
      line(("Q7 bytes down by 40 %" + at).c_str(),
           percent(total) + " against none and index; " + percent(own) +
               " against its own index placement; placement alone " + percent(alone),
           total.low >= .4);
      line(("Q7 R_any falls most for vision" + at).c_str(),
           "vision " + percent(v) + ", text " + percent(t) + ", answer slot (decode) " + percent(d),
           v.mean > t.mean && v.mean > d.mean);
    }
    deployment plan;
    std::string gains;
    double last = -1;
    bool grows = true;
    for (bool const overlapped : {false, true}) {
      plan.link.overlapped = overlapped;
      gains += overlapped ? "; overlapped " : "not overlapped ";
      for (double const prompts : {.01, 1., 8.}) {
        auto const seconds = [&](char const* place) {
          return measure(
              [&plan, place, prompts](json const& j) { return plan.seconds(j, place, prompts * 640, j.at("k")); });
        };
        auto const g = r_.saving(soft, seconds("bin2"), none, seconds("index2"));
        gains += words("%s (%.0f tokens) ", percent(g).c_str(), prompts * 640);
        if (!overlapped) grows = grows && g.mean > last && g.mean > 0, last = g.mean;
      }
    }
    line("Q8 modeled time of a layer saved, grows with the prefill (verdict: not overlapped)", gains, grows);
    auto const within = diff(soft, none, inside);
    auto const busiest = [](json const& j) { return j.at("placement").at("bin2").at("busiest").get<double>(); };
    line("Q9 load inside bins not more uneven than the baseline",
         "variation " + shown(within) + " (soft less none); busiest of 2 devices " + shown(r_.value(soft, busiest)) +
             " against " + shown(r_.value(none, busiest)),
         within.mean <= 0);
    auto const depth = [&](std::string const& m, char const* f) {
      return r_.value(m, [f](json const& j) { return rank_correlation_with_depth(j, f); });
    };
    line("Q10 MSI falls with depth",
         "rank correlation soft " + shown(depth(soft, "msi_layers")) + ", none " + shown(depth(none, "msi_layers")),
         depth(soft, "msi_layers").below(0));
    auto const mixed = depth(soft, "mixing_attention");
    auto const first = [&](char const* f, std::size_t l) {
      return r_.value(soft, [f, l](json const& j) { return j.at(f).at(l).get<double>(); });
    };
    line("Q11 scores mix with depth; both know the label at layer 1; they differ",
         "rank correlation of mixing with depth " + shown(mixed) +
             "; correlation with the label at layer 1: attention " + shown(first("attention_label", 0)) +
             ", Gaussian " + shown(first("gaussian_label", 0)) + "; with each other, last layer " +
             shown(first("attention_gaussian", 3)),
         mixed.above(0) && first("attention_label", 0).above(.5) && first("gaussian_label", 0).above(.5) &&
             first("attention_gaussian", 3).below(.95));
    std::string sweep;
    std::vector<double> cost;
    for (auto const& m : {"bins-2", "soft-attention", "bins-8", "bins-16"}) {
      auto const b2 = r_.value(m, bytes("bin2"));
      cost.push_back(b2.mean);
      sweep += words("%s: bytes %.0f, accuracy ", m, b2.mean) + shown(r_.value(m, overall), 1) + "; ";
    }
    if (r_.has("bins-2") && r_.has("bins-8") && r_.has("bins-16"))
      line("Q12 interior optimum of bytes over the bins (soft-attention: 4)", sweep,
           std::min(cost[1], cost[2]) < std::min(cost[0], cost[3]));
    auto const control = diff("random-labels", none, msi),
               control_bytes = r_.saving("random-labels", bytes("bin2"), none, bytes("bin2"));
    line("Q13 random labels stay at the baseline",
         "MSI " + shown(control, 3) + ", bytes saved " + percent(control_bytes),
         control.mean < .25 * a.mean && control_bytes.mean < .1);
  }

 private:
  std::ostream& out_;
  results const& r_;
};

inline void write_report(std::vector<json> const& lines, std::filesystem::path const& folder) {
  results const r(lines);
  std::ofstream out(folder / "report.md");
  write_methods(out, lines, r);
  out << '\n';
  if (r.has("none") && r.has("soft-attention") && r.of("none").begin()->second.at("msi_layers").size() >= 4)
    claims(out, r).all();
  write_figures(r, folder);
}

}  // namespace moeroute_smoes
