// Decides how the comparison runs and what it shows: one table, and one SVG for each way to look at it.
//
//   compare_schemes [--out DIR] [--experts 16] [--k 2] [--images 300] [--glosses 430]
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>

#include "compare_schemes/contender.hpp"
#include "compare_schemes/views.hpp"
#include "support/progress.hpp"
#include "support/table.hpp"

namespace moeroute_examples {
namespace {

std::string short_table(std::vector<shown> const& all, world const& w) {
  table t({"scheme", "id", "experts a token", "max/mean", "variation", "entropy", "unused", "dropped at 1.25",
           "modality split", "top weight", "as softmax top-k"});
  for (auto const& s : all)
    t.add({s.name, s.id, fixed_digits(static_cast<double>(s.load.summary.total) / static_cast<double>(w.size()), 2),
           fixed_digits(s.load.summary.max_over_mean(), 2), fixed_digits(s.load.summary.cv, 2),
           fixed_digits(s.load.summary.relative_entropy(), 3), std::to_string(s.load.summary.dead),
           fixed_digits(100 * s.dropped, 1) + " %", fixed_digits(s.load.specialization, 2),
           fixed_digits(s.load.top_weight, 2), fixed_digits(s.agreement, 3)});
  return t.words();
}

int run(int argc, char** argv) {
  CLI::App app{"Routes the same real tokens through every scheme"};
  std::string out = "compare_schemes_out", data = default_data_folder().string(), executor = "serial";
  std::int64_t images = 300, glosses = 430, experts = 16, k = 2;
  bool quiet = false;
  app.add_option("--out", out, "Folder for table and figures")->capture_default_str();
  app.add_option("--data", data, "Folder of the data")->capture_default_str();
  app.add_option("--images", images, "Images, 16 tokens each")->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_option("--glosses", glosses, "Glosses, about 11 tokens each")
      ->check(CLI::Range(1, 2000))
      ->capture_default_str();
  app.add_option("--experts", experts, "Experts: a multiple of 8")->check(CLI::Range(8, 256))->capture_default_str();
  app.add_option("--k", k, "Experts per token, where a scheme leaves it open")
      ->check(CLI::Range(1, 8))
      ->capture_default_str();
  app.add_option("--executor", executor, "serial or threads:N")->capture_default_str();
  app.add_flag("--quiet", quiet, "No progress line");
  CLI11_PARSE(app, argc, argv);

  auto const w = make_world(load_corpus(data), images, glosses, experts, k, any_executor::named(executor));
  auto contenders = all_contenders();  // softmax top-k first: the others are compared with it
  auto const first =
      std::find_if(contenders.begin(), contenders.end(), [](auto const& c) { return c.name == "softmax top-k"; });
  if (first != contenders.end()) std::rotate(contenders.begin(), first, first + 1);
  progress bar("routing", std::ssize(contenders), quiet);
  std::vector<shown> all;
  std::vector<std::string> skipped;
  for (auto const& c : contenders) {
    try {
      all.push_back(look_at(c, w, all.empty() ? nullptr : &all.front()));
    } catch (moeroute::error const& e) {  // e.g. more groups than these experts make
      skipped.push_back(c.name + ": " + e.what());
    }
    bar.step();
  }
  bar.clear();
  std::printf("%lld image tokens, %lld words, %lld experts, k = %lld\n\n", static_cast<long long>(images * patches),
              static_cast<long long>(w.size() - images * patches), static_cast<long long>(experts),
              static_cast<long long>(k));
  auto const words = short_table(all, w);
  std::printf("%s", words.c_str());
  for (auto const& s : skipped) std::printf("left out: %s\n", s.c_str());
  std::filesystem::create_directories(out);
  write_text(std::filesystem::path(out) / "table.txt", words);
  auto const different = distinct(all);
  for (auto const& [name, svg] : views(different, w)) write_text(std::filesystem::path(out) / name, svg);
  std::printf("\n%zu schemes, %zu of them different at this k; table and figures in %s\n", all.size(), different.size(),
              out.c_str());
  return 0;
}

}  // namespace
}  // namespace moeroute_examples

int main(int argc, char** argv) {
  try {
    return moeroute_examples::run(argc, argv);
  } catch (std::exception const& e) {
    std::fprintf(stderr, "compare_schemes: %s\n", e.what());
    return 1;
  }
}
