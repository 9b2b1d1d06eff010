// Decides what a routing costs when experts live on several devices (SMoES, section on deployment; the
// definition of the transferred share is an adopted reading, all four are given).
//
//   R_any   share of tokens with an expert off their home device
//   R_span  share of tokens whose experts live on more than one device (needs no home)
//   R_slot  share of (token, choice) off the home device
//   bytes   sum over tokens of (devices other than home that hold its experts) * 2 * width * bytes_per_value:
//           one copy out and one back for each device
//
// Tallies are integers and merge by adding; experts may be anywhere, homes too.
#pragma once

#include <moeroute/core/math.hpp>
#include <moeroute/core/status.hpp>
#include <moeroute/core/view.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct transfer_tally {
  std::int64_t tokens = 0;  // with at least one expert
  std::int64_t slots = 0;
  std::int64_t any = 0, span = 0, off_home = 0;
  std::int64_t copies = 0;  // (token, foreign device) pairs

  transfer_tally& operator+=(transfer_tally const& o) {
    tokens += o.tokens, slots += o.slots, any += o.any, span += o.span, off_home += o.off_home, copies += o.copies;
    return *this;
  }
  double r_any() const { return share(any, tokens); }
  double r_span() const { return share(span, tokens); }
  double r_slot() const { return share(off_home, slots); }
  std::int64_t bytes(std::int64_t width, std::int64_t bytes_per_value) const {
    return copies * 2 * width * bytes_per_value;
  }

 private:
  static double share(std::int64_t n, std::int64_t of) {
    return of > 0 ? static_cast<double>(n) / static_cast<double>(of) : 0;
  }
};

// One token.
template <std::integral Id>
MOEROUTE_HD transfer_tally transfers_of(row_view<Id const> ids, row_view<index_t const> device_of_expert,
                                        index_t home) {
  transfer_tally r;
  for (offset_t j = 0; j < ids.size; ++j) {
    if (ids[j] == no_expert_of<Id>) continue;
    index_t const device = device_of_expert[ids[j]];
    bool fresh = true;
    for (offset_t i = 0; i < j; ++i)
      fresh = fresh && (ids[i] == no_expert_of<Id> || device_of_expert[ids[i]] != device);
    ++r.slots;
    if (device != home) ++r.off_home, r.copies += fresh ? 1 : 0;
    if (fresh && r.slots > 1) r.span = 1;
  }
  r.tokens = r.slots > 0 ? 1 : 0;
  r.any = r.copies > 0 ? 1 : 0;
  return r;
}

// Tokens x k choices. `only`: count tokens of this label alone, given modality (-1: all). `load` (devices,
// may be empty) gets the slots of each device added.
template <std::integral Id>
transfer_tally transfers(matrix_view<Id const> ids, row_view<index_t const> device_of_expert,
                         row_view<index_t const> home, row_view<std::int64_t> load = {},
                         row_view<index_t const> modality = {}, index_t only = -1) {
  transfer_tally total;
  for (offset_t t = 0; t < ids.rows; ++t) {
    if (only >= 0 && modality[t] != only) continue;
    total += transfers_of(ids[t], device_of_expert, home.empty() ? 0 : home[t]);
    if (!load.empty())
      for (Id const id : ids[t])
        if (id != no_expert_of<Id>) ++load[device_of_expert[id]];
  }
  return total;
}

// Uniformly random sets of k distinct experts of E on Q equal devices: the expected shares.
inline double uniform_r_any(index_t experts, index_t k, index_t devices) {
  index_t const local = experts / devices;
  double all_home = 1;  // C(local, k) / C(experts, k)
  for (index_t i = 0; i < k; ++i) all_home = math::mul(all_home, math::max(1. * (local - i), 0.) / (experts - i));
  return 1 - all_home;
}
inline double uniform_r_slot(index_t devices) { return 1 - 1. / devices; }
// P(experts on more than one device) = 1 - Q C(local, k) / C(E, k).
inline double uniform_r_span(index_t experts, index_t k, index_t devices) {
  return 1 - math::mul(1. * devices, 1 - uniform_r_any(experts, k, devices));
}
// Expected foreign copies of a token: (Q - 1) P(a given device is used).
inline double uniform_copies(index_t experts, index_t k, index_t devices) {
  index_t const others = experts - experts / devices;
  double unused = 1;
  for (index_t i = 0; i < k; ++i) unused = math::mul(unused, math::max(1. * (others - i), 0.) / (experts - i));
  return (devices - 1) * (1 - unused);
}

// ---- placement ------------------------------------------------------------------------------------------------

// Bins go to devices in runs (S15): device q takes bins q nb / Q to (q + 1) nb / Q - 1.
constexpr index_t device_of_bin(index_t bin, index_t bins, index_t devices) { return bin * devices / bins; }
inline status try_place_bins(row_view<index_t const> bin_of_expert, index_t bins, index_t devices,
                             row_view<index_t> device_of_expert) noexcept {
  checks c;
  c.at_least("devices", devices, 1).divides("devices", devices, bins);
  c.must_be("device_of_expert size", device_of_expert.size, bin_of_expert.size);
  if (!c.result().ok()) return c.result();
  for (offset_t e = 0; e < bin_of_expert.size; ++e)
    device_of_expert[e] = device_of_bin(bin_of_expert[e], bins, devices);
  return {};
}
// Any order of experts cut into equal runs: the bin order, or, left empty, the expert ids (the baseline).
inline status try_place_in_order(row_view<index_t const> order, index_t devices,
                                 row_view<index_t> device_of_expert) noexcept {
  offset_t const experts = device_of_expert.size;
  checks c;
  c.at_least("devices", devices, 1).divides("devices", devices, experts).empty_or("order size", order, experts);
  if (!c.result().ok()) return c.result();
  for (offset_t r = 0; r < experts; ++r)
    device_of_expert[order.empty() ? r : order[r]] = static_cast<index_t>(r * devices / experts);
  return {};
}
inline void place_bins(row_view<index_t const> bin_of_expert, index_t bins, index_t devices,
                       row_view<index_t> device_of_expert) {
  throw_if_bad(try_place_bins(bin_of_expert, bins, devices, device_of_expert));
}
inline void place_in_order(row_view<index_t const> order, index_t devices, row_view<index_t> device_of_expert) {
  throw_if_bad(try_place_in_order(order, devices, device_of_expert));
}

// ---- homes ----------------------------------------------------------------------------------------------------

// Slots by modality and device from the choice counts of a calibration set: device_counts modalities x devices.
inline void count_devices(matrix_view<std::int64_t const> counts, row_view<index_t const> device_of_expert,
                          matrix_view<std::int64_t> device_counts) {
  for (offset_t m = 0; m < counts.rows; ++m) {
    for (std::int64_t& n : device_counts[m]) n = 0;
    for (offset_t e = 0; e < counts.cols; ++e) device_counts[m][device_of_expert[e]] += counts[m][e];
  }
}
// Home by modality: the device with most of its slots; ties to the lower device.
inline void home_by_modality(matrix_view<std::int64_t const> device_counts, row_view<index_t> home_of_modality) {
  for (offset_t m = 0; m < device_counts.rows; ++m) {
    index_t best = 0;
    for (offset_t q = 1; q < device_counts.cols; ++q)
      if (device_counts[m][q] > device_counts[m][best]) best = static_cast<index_t>(q);
    home_of_modality[m] = best;
  }
}
inline void homes_of_tokens(row_view<index_t const> modality, row_view<index_t const> home_of_modality,
                            row_view<index_t> home) {
  for (offset_t t = 0; t < home.size; ++t) home[t] = home_of_modality[modality[t]];
}
// Home by position: data-parallel shares, token t of n on device t Q / n.
inline void homes_in_runs(index_t devices, row_view<index_t> home) {
  for (offset_t t = 0; t < home.size; ++t) home[t] = static_cast<index_t>(t * devices / home.size);
}

// ---- time -----------------------------------------------------------------------------------------------------

// Layer time from what is moved and what the busiest device computes.
struct link_model {
  double latency = 20e-6;          // seconds a message
  double bandwidth = 1.25e9;       // bytes a second (10 Gb Ethernet)
  double seconds_per_slot = 1e-6;  // compute of one (token, expert)
  bool overlapped = true;          // transfer runs behind the compute

  double transfer(std::int64_t messages, std::int64_t bytes) const {
    return math::mul(static_cast<double>(messages), latency) + static_cast<double>(bytes) / bandwidth;
  }
  double layer(std::int64_t busiest_slots, std::int64_t messages, std::int64_t bytes) const {
    double const compute = math::mul(static_cast<double>(busiest_slots), seconds_per_slot),
                 moved = transfer(messages, bytes);
    return overlapped ? math::max(compute, moved) : compute + moved;
  }
};

}  // namespace moeroute::inline MOEROUTE_ABI
