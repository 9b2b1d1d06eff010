// Decides how the program moeroute is asked and which exit code answers: 0 done, 1 internal error or a
// comparison failed, 2 bad input, 3 scheme or preset not known.
#include <CLI/CLI.hpp>

#include <cstdio>

#include "cli/commands.hpp"

int main(int argc, char** argv) {
  using namespace moeroute_examples;
  CLI::App app{"moeroute: mixture-of-experts routing, checked and looked at from the command line"};
  app.require_subcommand(1);
  std::string executor = "serial", place, out, preset, trace, other;
  std::vector<std::string> places;
  preset_files files;
  double tolerance_scale = 1;
  bool quiet = false, complete = false, as_json = false;
  char const* const executors = "serial, threads:N, lockstep:N or cuda";

  auto* const route = app.add_subcommand("route", "Route a case folder, or logits through a preset");
  route->add_option("case", place, "A folder with case.json, or its path");
  route->add_option("--out", out, "Folder to write: arrays as NAME.npy, scalars in result.json")->required();
  route->add_option("--executor", executor, executors)->capture_default_str();
  route->add_option("--preset", preset, "A preset by name (moeroute schemes lists them), with --logits");
  route->add_option("--logits", files.logits, "Router logits [tokens, experts]");
  route->add_option("--bias", files.bias, "Selection bias [experts]");
  route->add_option("--modality", files.modality, "Modality of each token [tokens]: 0 vision, 1 text");
  route->add_option("--valid", files.valid, "1 = token, 0 = padding [tokens]");
  route->add_option("--group", files.group, "Isolation group of each token [tokens]");
  route->add_option("--capacity-factor", files.capacity_factor,
                    "Slots per expert: ceil(factor * tokens * k / experts)");
  route->add_option("--align", files.align, "Rows of an expert start at multiples of this")->capture_default_str();
  route->add_option("--k", files.k, "Experts per token, where the preset leaves it open");

  auto* const check = app.add_subcommand("check", "Compare every case below the folders with what it expects");
  check->add_option("folders", places, "Folders")->required();
  check->add_option("--tolerance-scale", tolerance_scale, "Multiplies every tolerance")->capture_default_str();
  check->add_option("--executor", executor, executors)->capture_default_str();
  check->add_flag("--quiet", quiet, "Only failures and the summary");
  check->add_flag("--complete", complete, "An unsupported scheme counts as failed");

  auto* const schemes = app.add_subcommand("schemes", "Every scheme and preset: name, catalogue id, formula");
  schemes->add_flag("--json", as_json, "As JSON");

  auto* const stats = app.add_subcommand("stats", "Load, margins, modality split of saved routes, per layer");
  stats->add_option("trace", trace, "A folder with trace.jsonl, the file itself, or the result of route")->required();
  auto* const plot = app.add_subcommand("plot", "Expert load per layer as SVG");
  plot->add_option("trace", trace, "As for stats")->required();
  plot->add_option("--out", out, "File to write")->required();
  auto* const diff = app.add_subcommand("diff", "Agreement of two traces, per layer");
  diff->add_option("a", trace, "A trace")->required();
  diff->add_option("b", other, "A trace of the same tokens")->required();
  auto* const info = app.add_subcommand("info", "Version, compiler, vector level, threads, GPU, CCCL");

  try {
    app.parse(argc, argv);
  } catch (CLI::ParseError const& e) {
    if (e.get_exit_code() == 0) return app.exit(e);  // --help
    std::fprintf(stderr, "moeroute: command line: %s (--help lists what there is)\n", one_line(e.what()).c_str());
    return 2;
  }
  try {
    if (route->parsed()) {
      auto const x = any_executor::named(executor);
      if (preset.empty() == place.empty())
        throw input_error("command line", "route", "either a case or --preset with --logits",
                          preset.empty() ? "neither" : "both");
      return preset.empty() ? command_route_case(place, out, x) : command_route_preset(preset, files, out, x);
    }
    if (check->parsed()) return command_check(places, tolerance_scale, any_executor::named(executor), quiet, complete);
    if (schemes->parsed()) return command_schemes(as_json);
    if (stats->parsed()) return command_stats(trace);
    if (plot->parsed()) return command_plot(trace, out);
    if (diff->parsed()) return command_diff(trace, other);
    if (info->parsed()) return command_info();
  } catch (input_error const& e) {
    std::fprintf(stderr, "moeroute: %s\n", e.what());
    return 2;
  } catch (unknown_name const& e) {
    std::fprintf(stderr, "moeroute: %s\n", e.what());
    return 3;
  } catch (std::exception const& e) {
    std::fprintf(stderr, "moeroute: internal error: %s\n", e.what());
    return 1;
  }
  return 1;
}
