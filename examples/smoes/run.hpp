// Decides how one method is trained and measured: the text-trained start, a second stage with images, held-out
// accuracy, specialization, and transfers under placements found on calibration items. Namespace: moeroute_smoes.
#pragma once

#include <chrono>
#include <optional>

#include "smoes/smoes_router.hpp"
#include "training/evaluate.hpp"
#include "training/supervised.hpp"

namespace moeroute_smoes {

using namespace moeroute_training;
using moeroute_examples::corpus;

struct sizes {
  int experts = 16, layers = 4, width = 32;
  int start_glosses = 7000, start_steps = 1000, projector_steps = 100;
  int images = 2000, glosses = 200, steps = 250, batch = 48;
  int calibration = 400, test_images = 1000, test_glosses = 1000;

  static sizes quick() {
    sizes s;
    s.experts = 8, s.layers = 2, s.start_glosses = 100, s.start_steps = 20, s.projector_steps = 5;
    s.images = 60, s.glosses = 40, s.steps = 15, s.batch = 16, s.calibration = 60, s.test_images = 40,
    s.test_glosses = 40;
    return s;
  }
};

inline std::vector<std::int64_t> numbers_from(std::int64_t first, std::int64_t count) {
  std::vector<std::int64_t> out(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) out[static_cast<std::size_t>(i)] = first + i;
  return out;
}

struct bench {
  corpus const& data;
  vocabulary const& words;
  sizes size;
  sources start_sources() const { return {&data.images_start, &data.glosses_train}; }
  sources test_sources() const { return {&data.images_test, &data.glosses_test}; }

  // A mixture of experts that knows text, with its patch projection and answers touched by images.
  parameters<float> start(int k) const {
    model_shape shape{.width = size.width, .layers = size.layers, .experts = size.experts, .k = k};
    parameters<float> p(shape);
    p.draw(1);
    library_router<float> router;
    router.experts = size.experts, router.k = k, router.balance = 1e-2;
    auto const quiet = [](auto...) {};
    item_stream text(ask(start_sources(), {}, numbers_from(0, size.start_glosses), 2), 3);
    train_supervised(p, text, start_sources(), words, &router, {{3e-3, size.start_steps, 20, 3}, 64}, quiet, quiet);
    std::vector<item> shown;
    for (auto const& q : ask(start_sources(), numbers_from(0, size.images), {}, 4))
      if (q.family == 0) shown.push_back(q);
    auto const before = p;
    item_stream images(shown, 5);
    train_supervised(p, images, start_sources(), words, &router, {{3e-3, size.projector_steps, 10}, 64, part::body},
                     quiet, [&](int, double) {  // the rest of the body stays
                       for (std::size_t i = 0; i < p.where.tensors.size(); ++i)
                         if (auto const t = static_cast<int>(i); t != p.where.patches && t != p.where.answers)
                           p[t] = before[t];
                     });
    return p;
  }

  // Stage 2: all weights, images and few texts; the seed decides which texts and the order.
  nlohmann::json run(method const& how, std::uint64_t seed, parameters<float> p) const {
    auto const begun = std::chrono::steady_clock::now();
    smoes_router<float> router(how, size.layers, size.experts, size.width);
    auto const glosses =
        numbers_from(size.start_glosses + static_cast<std::int64_t>(seed) * size.glosses % 2000, size.glosses);
    auto const items = ask(start_sources(), numbers_from(0, size.images), glosses, 100 + seed);
    if (how.name != "start") {
      router.training = true, router.label_seed = seed;
      item_stream stream(items, 200 + seed);
      train_supervised(
          p, stream, start_sources(), words, &router, {{2e-3, size.steps, 20, 3}, size.batch},
          [&](int step, moeroute_training::batch const&) { router.step = static_cast<std::uint32_t>(step); },
          [](int, double) {});
      router.training = false;
    }
    double const trained = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();

    router.measuring = true;
    auto calibration = items;
    generator(seed, 7).shuffle(calibration);
    calibration.resize(std::min(calibration.size(), static_cast<std::size_t>(size.calibration)));
    evaluate(p, calibration, start_sources(), words, &router);
    auto const placements = place(how, router);
    router.clear_measures();
    router.placements = placements;
    auto const test = ask(test_sources(), numbers_from(0, size.test_images), numbers_from(0, size.test_glosses), 300);
    auto const judged = evaluate(p, test, test_sources(), words, &router);

    nlohmann::json j = to_json(judged);
    j.erase("by_family");
    j["method"] = how.name, j["seed"] = seed, j["k"] = how.k, j["bins"] = how.binning.bins, j["alpha"] = how.term.alpha;
    j["train_seconds"] = trained, j["term"] = router.term_loss, j["balance"] = router.balance_value;
    describe_routing(router, j);
    return j;
  }

 private:
  // Experts in id order, and in the order of their text share on the calibration items; homes by modality.
  std::vector<placement> place(method const& how, smoes_router<float> const& router) const {
    std::vector<placement> out;
    std::size_t const n = static_cast<std::size_t>(size.experts);
    for (bool const sorted : {false, true})
      for (int const devices : {2, 4}) {
        placement p;
        p.name = (sorted ? "bin" : "index") + std::to_string(devices), p.devices = devices;
        for (auto const& counts : router.counts) {
          table<double> moving(2 * n), share(n);
          table<index_t> order(n), bin(n), device(n), home(2);
          table<std::int64_t> by_device(static_cast<std::size_t>(2 * devices));
          matrix_view<std::int64_t const> const seen(counts.data(), 2, size.experts);
          moeroute::update_bins(moeroute::serial{}, {.bins = how.binning.bins, .beta = 0}, seen,
                                {moving.data(), 2, size.experts}, share, order, bin);
          moeroute::place_in_order(sorted ? row_view<index_t const>(order) : row_view<index_t const>{}, devices,
                                   device);
          moeroute::count_devices(seen, row_view<index_t const>(device), {by_device.data(), 2, devices});
          moeroute::home_by_modality(matrix_view<std::int64_t const>(by_device.data(), 2, devices), home);
          p.device.push_back(device), p.home_of.push_back(home);
          p.tally.push_back({}), p.load.emplace_back(static_cast<std::size_t>(devices));
        }
        out.push_back(std::move(p));
      }
    return out;
  }
  void describe_routing(smoes_router<float> const& router, nlohmann::json& j) const {
    double sum = 0, variation = 0;
    for (int l = 0; l < size.layers; ++l) {
      auto const& c = router.counts[static_cast<std::size_t>(l)];
      matrix_view<std::int64_t const> const seen(c.data(), 2, size.experts);
      table<double> share(static_cast<std::size_t>(size.experts)), moving(c.size());
      double const index = moeroute::specialization(seen, share);
      j["msi_layers"].push_back(index), sum += index;
      table<index_t> order(share.size()), bin(share.size());
      table<std::int64_t> both(share.size());
      moeroute::update_bins(moeroute::serial{}, {.bins = 4, .beta = 0}, seen, {moving.data(), 2, size.experts}, share,
                            order, bin);
      for (std::size_t e = 0; e < both.size(); ++e) both[e] = c[e] + c[e + both.size()];
      variation += moeroute::variation_inside(both, bin, 4) / size.layers;
      auto const& f = router.figures[static_cast<std::size_t>(l)];
      j["mixing_attention"].push_back(f.mixed_a / std::max(1., f.tokens)),
          j["mixing_gaussian"].push_back(f.mixed_b / std::max(1., f.tokens));
      j["attention_label"].push_back(f.a_label.correlation()), j["gaussian_label"].push_back(f.b_label.correlation());
      j["attention_gaussian"].push_back(f.a_b.correlation());
    }
    j["msi"] = sum / size.layers, j["variation_inside"] = variation;
    for (auto const& p : router.placements) {
      std::array<moeroute::transfer_tally, 4> all{};
      double busiest = 0;
      for (std::size_t l = 0; l < p.tally.size(); ++l) {
        for (std::size_t m = 0; m < 4; ++m) all[m] += p.tally[l][m];
        busiest += moeroute::load_of(row_view<std::int64_t const>(p.load[l])).most / size.layers;
      }
      auto& out = j["placement"][p.name];
      char const* const kind[] = {"vision", "text", "answer", "all"};
      for (std::size_t m = 0; m < 4; ++m) {
        auto const& r = all[m];
        double const n = static_cast<double>(std::max<std::int64_t>(1, r.tokens));
        out[kind[m]] = {{"r_any", r.r_any()},
                        {"r_span", r.r_span()},
                        {"r_slot", r.r_slot()},
                        {"copies", static_cast<double>(r.copies) / n},
                        {"bytes", static_cast<double>(r.bytes(size.width, 4)) / n}};
      }
      out["busiest"] = busiest;
    }
  }
};

}  // namespace moeroute_smoes
