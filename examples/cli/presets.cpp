// Decides where the presets of the command line are compiled: here, once.
#include "cli/preset_list.hpp"

namespace moeroute_examples {

std::vector<preset> const& all_presets() {
  static std::vector<preset> const all = preset_list();
  return all;
}

}  // namespace moeroute_examples
