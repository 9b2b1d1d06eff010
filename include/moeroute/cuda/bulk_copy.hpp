// Decides how a warp copies runs of bytes to several places each, read once: a piece is fetched into one of two buffers
// while the stores of the piece before it leave the other. What fetches and stores is the machine's (cuda/bulk_copy.cuh).
#pragma once

#include <moeroute/core/executor.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// A body whose rows of work are such copies: row r is run_bytes() bytes at run_from(r), bound for run_to(r, j), j in
// [0, run_places(r)); null: nowhere. suits_bulk(): whether everything lies on 16 bytes and nothing else is to be done.
template <class B>
concept bulk_body = requires(B const& b, offset_t r) {
  { b.suits_bulk() } -> std::same_as<bool>;
  { b.run_bytes() } -> std::same_as<offset_t>;
  { b.run_from(r) } -> std::convertible_to<std::byte const*>;
  { b.run_places(r) } -> std::same_as<offset_t>;
  { b.run_to(r, r) } -> std::convertible_to<std::byte*>;
};

inline constexpr offset_t bulk_piece = 8 * 1024;  // bytes of a buffer, at most
MOEROUTE_HD constexpr offset_t bulk_piece_of(offset_t run_bytes) {
  return run_bytes < bulk_piece ? run_bytes : bulk_piece;
}

// Rows first, first + step, ... below `rows`. The machine, one for all lanes of g:
//   fetch(buffer, from, bytes)   one lane asks; arrived(buffer) returns, for every lane, when the piece is there
//   store(to, buffer, bytes)     a lane asks; sent() ends what it asked for since the last time
//   all_read()                   returns when the buffers of everything this lane has sent may be written again
MOEROUTE_EXEC_CHECK_DISABLE
template <class G, class Body, class Machine>
MOEROUTE_HD void copy_runs(G const& g, offset_t first, offset_t step, offset_t rows, Body const& body,
                           Machine const& machine) {
  offset_t const bytes = body.run_bytes(), piece = bulk_piece_of(bytes);
  struct place {
    offset_t row, at;
  };
  auto const size_at = [&](place p) { return bytes - p.at < piece ? bytes - p.at : piece; };
  auto const after = [&](place p) {
    return p.at + piece < bytes ? place{p.row, p.at + piece} : place{p.row + step, 0};
  };
  auto const fetch = [&](index_t buffer, place p) {
    if (g.rank() == 0) machine.fetch(buffer, body.run_from(p.row) + p.at, size_at(p));
  };
  if (first >= rows || bytes <= 0) return;
  index_t now = 0;
  place p = {first, 0};
  fetch(now, p);
  while (p.row < rows) {
    machine.all_read();  // the other buffer's stores, by this lane
    g.sync();            // and by all
    place const next = after(p);
    if (next.row < rows) fetch(now ^ 1, next);
    machine.arrived(now);
    offset_t const places = body.run_places(p.row);
    for (offset_t j = g.rank(); j < places; j += g.size()) {
      std::byte* const to = body.run_to(p.row, j);
      if (to != nullptr) machine.store(to + p.at, now, size_at(p));
    }
    machine.sent();
    p = next;
    now ^= 1;
  }
  machine.all_read();
  g.sync();
}

}  // namespace moeroute::inline MOEROUTE_ABI
