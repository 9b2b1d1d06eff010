// Decides what a plan and its travels must be: plain loops over (expert, token, choice), no library code.
#pragma once

#include <cstdint>
#include <vector>

namespace reference {

struct plan {
  std::vector<std::int64_t> counts, offsets, slot_of_choice, token_of_slot, choice_of_slot;
};

// ids[t] lists the choices of token t; anything outside [0, experts) has no slot.
inline plan make_plan(std::vector<std::vector<int>> const& ids, int experts, std::int64_t align) {
  plan p;
  std::int64_t choices = 0;
  for (auto const& row : ids) choices += std::ssize(row);
  p.slot_of_choice.assign(static_cast<std::size_t>(choices), -1);
  p.offsets.push_back(0);
  for (int e = 0; e < experts; ++e) {
    std::int64_t c = 0, n = 0;
    for (std::size_t t = 0; t < ids.size(); ++t)
      for (int const id : ids[t]) {
        if (id == e) {
          p.slot_of_choice[static_cast<std::size_t>(c)] = std::ssize(p.token_of_slot);
          p.token_of_slot.push_back(static_cast<std::int64_t>(t));
          p.choice_of_slot.push_back(c);
          ++n;
        }
        ++c;
      }
    p.counts.push_back(n);
    for (; n % align != 0; ++n) p.token_of_slot.push_back(-1), p.choice_of_slot.push_back(-1);
    p.offsets.push_back(p.offsets.back() + n);
  }
  return p;
}

}  // namespace reference
