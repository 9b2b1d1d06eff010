// Decides how MoE-GRPO is put to the test: trains every method from the same start on the committed images and glosses,
// writes a line of JSON for each (method, seed), and sums up in tables and figures. docs/moe_grpo.md reports a run.
//
//   moe_grpo --seeds 5 --out results          minutes a seed; a second call goes on where the first ended
//   moe_grpo --quick                          one small seed: the pipeline runs and the reward rises
#include <Eigen/Core>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <chrono>
#include <functional>
#include <iostream>
#include <numeric>
#include <set>
#include <sstream>

#include "moe_grpo/summary.hpp"
#include "moe_grpo/train.hpp"
#include "training/start.hpp"

namespace {

using namespace moeroute_training;
namespace fs = std::filesystem;

struct settings {
  int seeds = 3, first_seed = 1;
  std::string bench = "routing", out = "moe_grpo_results", only;
  bool quick = false, quiet = false, summary_alone = false;
};

std::vector<std::int64_t> some(std::int64_t first, std::int64_t count, int wanted, generator& g) {
  std::vector<std::int64_t> all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), first);
  g.shuffle(all);
  all.resize(static_cast<std::size_t>(wanted));
  return all;
}

std::vector<parameters<float>> start_of(settings const& s, sources from, vocabulary const& words) {
  start_options o;
  if (s.quick) o.dense_steps = 120, o.expert_steps = 40;
  auto const file = fs::path(s.out) / (s.quick ? "start_quick.bin" : "start.bin");
  if (auto have = load(file, {}, 9); !have.empty()) return have;
  auto made = train_start(from, words, {}, o, s.quiet);
  save(made, file);
  return made;
}

int run(settings const& s) {
  fs::create_directories(s.out);
  auto const results = fs::path(s.out) / ("results_" + s.bench + (s.quick ? "_quick" : "") + ".jsonl");
  if (s.quick) fs::remove(results);
  if (!s.summary_alone) {
    auto const data = moeroute_examples::load_corpus(moeroute_examples::default_data_folder());
    vocabulary const words(data.glosses_train);
    sources const before{&data.images_start, &data.glosses_train};
    auto const dense = start_of(s, before, words);
    bench where = named_bench(s.bench);
    if (s.quick) where.steps = 60;

    int const held_out = s.quick ? 150 : 1000;
    std::vector<std::int64_t> first(static_cast<std::size_t>(held_out));
    std::iota(first.begin(), first.end(), 0);
    sources const test{&data.images_test, &data.glosses_test}, tune{&data.images_tune, &data.glosses_train};
    auto const questions = ask(test, first, first, 99);
    auto const about_images = ask(test, first, {}, 99);

    std::set<std::string> done;
    for (auto const& line : read_lines(results))
      done.insert(line.at("method").get<std::string>() + "/" + std::to_string(line.at("seed").get<int>()));
    std::set<std::string> wanted;
    std::istringstream list(s.quick && s.only.empty() ? "start,det_ft,moe_grpo" : s.only);
    for (std::string w; std::getline(list, w, ',');) wanted.insert(w);
    std::vector<method> methods;
    for (auto const& m : all_methods())
      if (wanted.empty() || wanted.contains(m.name)) methods.push_back(m);

    for (int seed = s.first_seed; seed < s.first_seed + s.seeds; ++seed) {
      auto const u = static_cast<std::uint64_t>(seed);
      generator g(u, 0x5EED);
      std::vector<int> order = where.experts;
      g.shuffle(order);
      auto start = stacked(dense, order, 2, u);
      settle(start, where, before, words, u);
      auto const images = some(0, data.images_tune.size(), where.images, g);
      auto const glosses = some(2000, std::ssize(data.glosses_train) - 2000, where.glosses, g);
      for (auto const& m : methods) {
        if (done.contains(m.name + "/" + std::to_string(seed))) continue;
        auto items = ask(tune, images, glosses, u);
        redraw_labels(items, m.wrong < 0 ? where.wrong : m.wrong, u);
        auto p = start;
        auto const began = std::chrono::steady_clock::now();
        moeroute_examples::progress bar(m.name + " " + std::to_string(seed), where.steps * m.longer, s.quiet);
        auto const log = run_method(m, where, p, items, tune, words, u, [&] { bar.step(); });
        double const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
        library_router<float> plain;
        plain.experts = p.shape.experts;
        auto const held = evaluate(p, questions, test, words, &plain);
        auto const shifted = evaluate(p, about_images, test, words, &plain, {.pixel_noise = .5, .seed = 7});
        auto labelled = items;
        for (auto& q : labelled) q.right = q.label;
        auto const seen = evaluate(p, labelled, tune, words, &plain);
        nlohmann::json j{{"method", m.name},       {"seed", seed},          {"bench", where.name},
                         {"seconds", seconds},     {"test", to_json(held)}, {"shifted_image", shifted.image()},
                         {"train", seen.overall()}};
        j["reward"] = log.reward, j["spread"] = log.spread;
        j["clipped"] = mean_of(log.clipped), j["kl"] = mean_of(log.kl);
        j["ratio_most"] = log.ratio_most.empty() ? 0 : *std::max_element(log.ratio_most.begin(), log.ratio_most.end());
        std::ofstream(results, std::ios::app) << j.dump() << "\n";
        bar.clear();
        std::printf("%-16s seed %d  test %.1f  use entropy %.3f  divergence %.3f  %.0f s\n", m.name.c_str(), seed,
                    100 * held.overall(), held.use_entropy(), held.divergence(), seconds);
        std::fflush(stdout);
      }
    }
  }
  auto const lines = read_lines(results);
  std::cout << "\n" << summarize(lines, all_methods(), fs::path(s.out) / ("figures_" + s.bench));
  if (s.quick) {  // the reward must rise
    for (auto const& l : lines)
      if (l.at("method") == "moe_grpo") {
        auto const r = l.at("reward").get<std::vector<double>>();
        double const before = std::accumulate(r.begin(), r.begin() + 15, 0.) / 15,
                     after = std::accumulate(r.end() - 15, r.end(), 0.) / 15;
        std::printf("reward of the first 15 steps %.3f, of the last 15 %.3f\n", before, after);
        return after > before ? 0 : 1;
      }
    return 1;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  settings s;
  CLI::App app("MoE-GRPO on a small multimodal transformer");
  app.add_option("--seeds", s.seeds, "how many seeds")->check(CLI::Range(1, 1000));
  app.add_option("--first-seed", s.first_seed, "the first of them");
  app.add_option(
      "--bench", s.bench,
      "routing (gates alone learn), all (every weight), more (more items), wide (16 experts, a settled start), "
      "upcycled (equal experts)");
  app.add_option("--methods", s.only, "names with commas between; all if left out");
  app.add_option("--out", s.out, "folder of the results");
  app.add_flag("--quick", s.quick, "one small seed, in seconds; fails if the reward does not rise");
  app.add_flag("--quiet", s.quiet, "no progress bar");
  app.add_flag("--summary", s.summary_alone, "only sum up what is there");
  CLI11_PARSE(app, argc, argv);
  if (s.quick) s.seeds = 1;
  try {
    return run(s);
  } catch (std::exception const& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  }
}
