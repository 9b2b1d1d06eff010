// Decides what `smoes` does: trains and measures every method for every seed, one JSON line each (a run that is
// already in the file is not repeated), then writes the table of claims and the figures.
//
//   smoes --out FOLDER [--seeds 5] [--sweep-seeds 3] [--quick] [--only NAME]...
#include <CLI/CLI.hpp>
#include <Eigen/Core>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "smoes/report.hpp"
#include "smoes/run.hpp"

using namespace moeroute_smoes;

namespace {

struct job {
  method how;
  std::uint64_t seed;
};
// Five digits are more than the seeds agree on, and keep the file small.
nlohmann::json rounded(nlohmann::json j) {
  if (j.is_structured())
    for (auto& part : j) part = rounded(std::move(part));
  if (j.is_number_float()) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.5g", j.get<double>());
    j = std::strtod(buffer, nullptr);
  }
  return j;
}
std::string key(std::string const& name, std::uint64_t seed) { return name + "/" + std::to_string(seed); }

// The start is trained once and kept beside the results.
parameters<float> start_of(bench const& b, int k, std::filesystem::path const& folder) {
  auto const file = folder / ("start-k" + std::to_string(k) + (b.size.experts == 16 ? "" : "-quick") + ".bin");
  model_shape const shape{.width = b.size.width, .layers = b.size.layers, .experts = b.size.experts, .k = k};
  parameters<float> p(shape);
  auto const bytes = static_cast<std::streamsize>(p.values.size() * sizeof(float));
  if (std::ifstream in(file, std::ios::binary); in.read(reinterpret_cast<char*>(p.values.data()), bytes)) return p;
  p = b.start(k);
  std::ofstream(file, std::ios::binary).write(reinterpret_cast<char const*>(p.values.data()), bytes);
  return p;
}

}  // namespace

int main(int count, char** words) {
  CLI::App app{"SMoES on images and glosses: methods, seeds, claims"};
  std::string out = "smoes-out", data_folder = moeroute_examples::default_data_folder().string();
  std::uint64_t seeds = 5, sweep_seeds = 3;
  bool quick = false, report_only = false;
  std::vector<std::string> only;
  app.add_option("--out", out, "folder of the results");
  app.add_option("--data", data_folder, "folder of the images and glosses");
  app.add_option("--seeds", seeds, "paired seeds of the main comparison");
  app.add_option("--sweep-seeds", sweep_seeds, "seeds of the sweeps");
  app.add_option("--only", only, "these methods alone");
  app.add_flag("--quick", quick, "a minute's check that everything runs; its figures mean nothing");
  app.add_flag("--report", report_only, "only write the report from what is there");
  CLI11_PARSE(app, count, words);
  try {
    std::filesystem::create_directories(out);
    auto const lines_file = std::filesystem::path(out) / "runs.jsonl";
    if (quick) std::filesystem::remove(lines_file), seeds = 2, sweep_seeds = 1;
    std::vector<nlohmann::json> lines;
    std::set<std::string> done;
    std::string line;
    for (std::ifstream in(lines_file); std::getline(in, line);)
      if (auto j = nlohmann::json::parse(line, nullptr, false); !j.is_discarded()) {
        done.insert(key(j["method"], j["seed"]));
        lines.push_back(std::move(j));
      }
    if (!report_only) {
      auto const data = moeroute_examples::load_corpus(data_folder);
      vocabulary const vocabulary(data.glosses_train);
      bench const b{data, vocabulary, quick ? sizes::quick() : sizes{}};
      std::vector<job> jobs;
      auto const add = [&](std::vector<method> const& some, std::uint64_t n) {
        for (std::uint64_t seed = 0; seed < n; ++seed)
          for (auto const& m : some)
            if (only.empty() || std::find(only.begin(), only.end(), m.name) != only.end()) jobs.push_back({m, seed});
      };
      add({{.name = "start"}}, 1);
      add(main_methods(b.size.experts), seeds);
      if (!quick) add(bin_sweep(), seeds), add(alpha_sweep(), sweep_seeds);
      add(four_choices(b.size.experts), sweep_seeds);
      std::map<int, parameters<float>> starts;
      for (auto const& [how, seed] : jobs) {
        if (done.contains(key(how.name, seed))) continue;
        if (!starts.contains(how.k)) starts.emplace(how.k, start_of(b, how.k, out));
        auto j = rounded(b.run(how, seed, starts.at(how.k)));
        std::ofstream(lines_file, std::ios::app) << j.dump() << '\n';
        std::printf("%-20s seed %llu  image %.3f text %.3f  MSI %.3f  bytes %.0f -> %.0f  %.1f s\n", how.name.c_str(),
                    static_cast<unsigned long long>(seed), j["image"].get<double>(), j["text"].get<double>(),
                    j["msi"].get<double>(), j["placement"]["index2"]["all"]["bytes"].get<double>(),
                    j["placement"]["bin2"]["all"]["bytes"].get<double>(), j["train_seconds"].get<double>());
        std::fflush(stdout);
        lines.push_back(std::move(j));
      }
    }
    write_report(lines, out);
  } catch (std::exception const& e) {
    std::fprintf(stderr, "smoes: %s\n", e.what());
    return 1;
  }
}
