// Decides what `moeroute route CASE`, `moeroute check` and `moeroute schemes` do.
#include <cmath>
#include <cstdio>
#include <set>

#include <moeroute/core/status.hpp>

#include "cli/commands.hpp"
#include "cli/names.hpp"
#include "cli/output_folder.hpp"
#include "cli/preset.hpp"
#include "support/compare.hpp"
#include "support/progress.hpp"
#include "support/table.hpp"

namespace moeroute_examples {

namespace fs = std::filesystem;

outputs run_case(case_file const& c, any_executor const& x) {
  std::vector<std::string> names;
  for (auto const& s : all_schemes()) {
    if (c.scheme == s.name) try {
        return s.run(c, x);
      } catch (moeroute::error const& e) {  // a verb refused what the case asks for
        c.bad("params", "what " + c.scheme + " can route", e.what());
      }
    names.emplace_back(s.name);
  }
  throw unknown_name(c.path.string() + ": scheme '" + one_line(c.scheme) +
                     "' is not known; nearest: " + joined(nearest(c.scheme, names)));
}

int command_route_case(std::string const& where, std::string const& out, any_executor const& x) {
  auto const c = case_file::load(where);
  write_result(out, c.scheme, run_case(c, x));
  return 0;
}

namespace {

void find_cases(fs::path const& where, std::set<fs::path>& found) {
  std::error_code failed;
  if (!fs::exists(where, failed)) throw input_error(where.string(), "file", "a folder with cases", "none");
  if (fs::is_regular_file(where, failed)) {
    found.insert(where);
    return;
  }
  for (auto it = fs::recursive_directory_iterator(where, fs::directory_options::skip_permission_denied, failed);
       it != fs::recursive_directory_iterator(); it.increment(failed)) {
    if (failed) break;
    if (it->path().filename() == "case.json") found.insert(it->path());
  }
}

}  // namespace

int command_check(std::vector<std::string> const& where, double tolerance_scale, any_executor const& x, bool quiet,
                  bool complete) {
  std::set<fs::path> cases;
  for (auto const& w : where) find_cases(w, cases);
  if (cases.empty()) throw input_error(where.front(), "folder", "at least one case.json below it", "none");
  progress bar("checking", std::ssize(cases), quiet);
  int passed = 0, failed = 0, unsupported = 0;
  for (auto const& path : cases) {
    auto const name = path.parent_path().generic_string();
    std::string line;
    try {
      auto const c = case_file::load(path);
      auto const v = compare_case(c, run_case(c, x), tolerance_scale);
      if (v.good) {
        ++passed;
        line = "pass  " + name + "  " + c.scheme;
        if (v.worst > 0) line += "  worst " + in_words(std::round(v.worst * 1000) / 1000) + " of tolerance";
      } else {
        ++failed;
        line = "FAIL  " + name + "  " + c.scheme + "  " + v.why;
      }
    } catch (unknown_name const& e) {
      ++unsupported;
      line = "----  " + name + "  " + e.what();
    } catch (std::exception const& e) {
      ++failed;
      line = "FAIL  " + name + "  " + e.what();
    }
    bar.clear();
    if (!quiet || line.starts_with("FAIL") || (complete && line.starts_with("----"))) std::printf("%s\n", line.c_str());
    bar.step();
  }
  bar.clear();
  std::printf("%d passed, %d failed, %d unsupported\n", passed, failed, unsupported);
  return failed == 0 && (!complete || unsupported == 0) ? 0 : 1;
}

int command_schemes(bool as_json) {
  table t({"name", "kind", "id", "formula"});
  auto j = nlohmann::ordered_json::array();
  auto const add = [&](std::string const& name, char const* kind, std::string const& id, std::string const& formula) {
    t.add({name, kind, id, formula});
    j.push_back({{"name", name}, {"kind", kind}, {"id", id}, {"formula", formula}});
  };
  auto schemes = all_schemes();
  std::sort(schemes.begin(), schemes.end(), [](auto const& a, auto const& b) { return std::string(a.name) < b.name; });
  for (auto const& s : schemes) add(s.name, "scheme", s.id, s.formula);
  auto presets = all_presets();
  std::sort(presets.begin(), presets.end(), [](auto const& a, auto const& b) { return a.name < b.name; });
  for (auto const& p : presets) add(p.name, "preset", p.id, p.describe());
  std::printf("%s", as_json ? (j.dump(2) + "\n").c_str() : t.words().c_str());
  return 0;
}

}  // namespace moeroute_examples
