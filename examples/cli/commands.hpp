// Decides what the program can be asked: one function a subcommand, each returning the exit code.
// Namespace: moeroute_examples.
#pragma once

#include <string>
#include <vector>

#include "cli/scheme.hpp"

namespace moeroute_examples {

outputs run_case(case_file const& c, any_executor const& x);  // throws unknown_name with the nearest names

struct preset_files {
  std::string logits, bias, modality, valid, group;
  double capacity_factor = 0;  // 0: no capacity
  std::int64_t align = 1;
  std::int64_t k = 0;  // 0: the k of the preset
};

int command_route_case(std::string const& where, std::string const& out, any_executor const& x);
int command_route_preset(std::string const& preset, preset_files const& files, std::string const& out,
                         any_executor const& x);
int command_check(std::vector<std::string> const& where, double tolerance_scale, any_executor const& x, bool quiet,
                  bool complete);
int command_schemes(bool as_json);
int command_stats(std::string const& trace);
int command_plot(std::string const& trace, std::string const& out);
int command_diff(std::string const& a, std::string const& b);
int command_info();

}  // namespace moeroute_examples
