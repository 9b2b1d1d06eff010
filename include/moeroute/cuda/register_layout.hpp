// Decides where the experts of a row lie in the registers of its lanes: lane r holds places 0, 1, ..., by chunks of 8.
//
//   turns   lanes take turns with vectors of Vec neighbours, so that a warp reads whole lines
//   runs    a lane, or several, hold an expert group: neighbours in order
// A key carries the inverted code of its expert, so that among equals the lower id is larger; the lane's part and the
// place's part are separate bits. Codes count back from the end of the chunk read last, so that those of a place are
// the same in every chunk: keys from before rise by a chunk. Where the layout is known, all count back from its end.
#pragma once

#include <moeroute/core/executor.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {
MOEROUTE_HD constexpr index_t bits_below(index_t n) {  // of the numbers 0 ... n - 1
  index_t bits = 0;
  while ((n - 1) >> bits > 0) ++bits;
  return bits;
}
// Neighbours that are read at once: 16 bytes, or what divides a run of such a known length.
template <class T>
constexpr index_t vector_of(index_t run) {
  index_t const most = 16 / static_cast<index_t>(sizeof(T));
  for (index_t n = most; n > 1; n /= 2)
    if (run % n == 0) return n;
  return most;
}
}  // namespace detail

// Experts > 0: the numbers of experts and groups are known at compile time.
template <index_t Lanes, index_t Vec, bool Runs, index_t Experts = 0, index_t Groups = 8>
struct register_layout {
  static constexpr index_t lanes = Lanes, vec = Vec, known_groups = Groups, chunk = 8;
  static constexpr bool known = Experts > 0;
  static constexpr bool full = known && Experts % (Lanes * chunk) == 0;  // every place has an expert

  // Of a layout that is known the numbers are constants, whatever stands here.
  index_t experts_ = Experts, width_ = 0, per_group_bits_ = 0, run_ = 0, chunks_ = 0, whole_ = 0;
  index_t bits_ = 0, mask_ = 0, place_bits_ = 0, spare_ = 0;
  bool vectors_ = true;  // pieces may be read as vectors; always, if the layout is known

  MOEROUTE_HD static constexpr register_layout of(index_t experts, index_t groups) {
    register_layout l;
    l.experts_ = experts;
    l.width_ = experts / groups;
    l.per_group_bits_ = detail::bits_below(groups < Lanes ? Lanes / groups : 1);
    index_t const lanes_of_group = 1 << l.per_group_bits_;
    l.run_ = (l.width_ + lanes_of_group - 1) / lanes_of_group;
    l.chunks_ = ((Runs ? l.run_ : experts) + step - 1) / step;
    if constexpr (!Runs) l.whole_ = experts / step;
    else l.whole_ = l.run_ * lanes_of_group == l.width_ ? l.run_ / step : 0;
    l.place_bits_ = detail::bits_below(l.chunks_ * step);
    l.bits_ = l.place_bits_ + (Runs ? detail::bits_below(Lanes) : 0);
    l.mask_ = (1 << l.bits_) - 1;
    l.spare_ = (1 << l.place_bits_) - l.chunks_ * step;
    return l;
  }
  // Rows do not lie on vectors: pieces are read one by one.
  constexpr void without_vectors() { vectors_ = false, whole_ = 0; }
  MOEROUTE_HD constexpr index_t experts() const { return number(&register_layout::experts_); }
  // Experts of a group, and of a lane. Lanes of a group: a power of two, or this layout serves nobody.
  MOEROUTE_HD constexpr index_t width() const { return number(&register_layout::width_); }
  MOEROUTE_HD constexpr index_t run() const { return number(&register_layout::run_); }
  MOEROUTE_HD constexpr index_t per_group_bits() const { return number(&register_layout::per_group_bits_); }
  MOEROUTE_HD constexpr index_t per_group() const { return 1 << per_group_bits(); }
  // Chunks, and those from the first on in which every lane has an expert at every place.
  MOEROUTE_HD constexpr index_t chunks() const { return number(&register_layout::chunks_); }
  MOEROUTE_HD constexpr index_t whole_chunks() const { return number(&register_layout::whole_); }
  // Bits of a code, all of them set, and those of the part that counts places.
  MOEROUTE_HD constexpr index_t bits() const { return number(&register_layout::bits_); }
  MOEROUTE_HD constexpr auto mask() const { return static_cast<std::uint32_t>(number(&register_layout::mask_)); }
  MOEROUTE_HD constexpr index_t place_bits() const { return number(&register_layout::place_bits_); }

  // The expert at place i of a lane, and whether there is one.
  MOEROUTE_HD constexpr index_t id(index_t rank, index_t i) const {
    if constexpr (!Runs) return (i / Vec * Lanes + rank) * Vec + i % Vec;
    else return (rank >> per_group_bits()) * width() + lane_in_group(rank) * run() + i;
  }
  MOEROUTE_HD constexpr bool holds(index_t rank, index_t i) const {
    if constexpr (full) return true;
    else if constexpr (!Runs) return id(rank, i) < experts();
    else return i < run() && lane_in_group(rank) * run() + i < width();
  }
  // Place i of chunk n lies n * step + within(i) experts from the lane's first place.
  static constexpr index_t step = Runs ? chunk : Lanes * chunk;
  MOEROUTE_HD static constexpr index_t within(index_t i) { return Runs ? i : i / Vec * Lanes * Vec + i % Vec; }
  template <class T>
  static constexpr std::size_t vector_bytes = std::size_t{Vec} * sizeof(T) < 16 ? std::size_t{Vec} * sizeof(T) : 16;
  // Whether every lane's vectors lie well in an array that starts here.
  template <class T>
  bool on_vectors(T const* p) const {
    bool const start = reinterpret_cast<std::uintptr_t>(p) % vector_bytes<T> == 0;
    return start && (!Runs || static_cast<std::size_t>(run() | width()) * sizeof(T) % vector_bytes<T> == 0);
  }
  // The inverted code of place i of chunk n, the lane's part left out, and by how much it rises with the next chunk.
  static constexpr std::uint32_t rise = known ? 0 : step;
  MOEROUTE_HD constexpr std::uint32_t place_code(index_t n, index_t i) const {
    index_t const lane_bits = Runs ? 0 : (Lanes - 1) << lane_shift(), later = known ? chunks() - 1 - n : 0;
    return static_cast<std::uint32_t>((later + 1) * step - 1 - lane_bits - within(i));
  }
  // The lane's part, and what the last code is above 0.
  MOEROUTE_HD constexpr std::uint32_t lane_code(index_t rank) const {
    return static_cast<std::uint32_t>(((Lanes - 1 - rank) << lane_shift()) + number(&register_layout::spare_));
  }
  // The expert of an inverted code; in range whatever the bits.
  MOEROUTE_HD constexpr index_t expert(std::uint32_t inverted) const {
    auto const code = static_cast<index_t>(~inverted & mask());
    index_t e = code, last = experts() - 1;
    if constexpr (Runs) e = id(code >> place_bits(), code & ((1 << place_bits()) - 1));
    return e < last ? e : last;
  }

 private:
  MOEROUTE_HD constexpr index_t number(index_t register_layout::* which) const {
    if constexpr (known) {
      constexpr register_layout l = of(Experts, Groups);
      return l.*which;
    } else {
      return this->*which;
    }
  }
  MOEROUTE_HD constexpr index_t lane_in_group(index_t rank) const { return rank & (per_group() - 1); }
  MOEROUTE_HD constexpr index_t lane_shift() const { return Runs ? place_bits() : detail::bits_below(Vec); }
};

template <class T, index_t N>
struct neighbours {
  T x[std::size_t{N}];
};
template <class Layout, class T>
MOEROUTE_HD neighbours<T, Layout::vec> vector_at(T const* p) {
  neighbours<T, Layout::vec> v;
  __builtin_memcpy(&v, __builtin_assume_aligned(p, Layout::template vector_bytes<T>), sizeof v);
  return v;
}
// The logits of experts e, e + 1, ... from p on, as many as there are.
template <class Layout, class T>
MOEROUTE_HD neighbours<T, Layout::vec> piece_at(Layout const& layout, T const* p, index_t e) {
  if (Layout::full || ((Layout::known || layout.vectors_) && e + Layout::vec <= layout.experts()))
    return vector_at<Layout>(p);
  neighbours<T, Layout::vec> some{};
  MOEROUTE_UNROLL
  for (index_t j = 0; j < Layout::vec; ++j)
    if (e + j < layout.experts()) some.x[j] = p[j];  // seldom
  return some;
}

// A row in memory in that layout: read by vectors, every lane its own places.
template <class T, class Layout>
struct vector_row {
  using value_type = compute_t<T>;
  T const* data;
  Layout layout;

  MOEROUTE_HD index_t size() const { return layout.experts(); }
  MOEROUTE_HD value_type at(index_t e) const { return load(data[e]); }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <class G, class F>
  MOEROUTE_HD void each(G const& g, F&& f) const {
    MOEROUTE_UNROLL_BY(1)
    for (index_t c = 0; c < layout.chunks(); ++c) {
      MOEROUTE_UNROLL
      for (index_t i = c * Layout::chunk; i < (c + 1) * Layout::chunk; i += Layout::vec) {
        auto const p = piece(g.rank(), i);
        MOEROUTE_UNROLL
        for (index_t j = 0; j < Layout::vec; ++j)
          if (layout.holds(g.rank(), i + j)) f(layout.id(g.rank(), i + j), load(p.x[j]));
      }
    }
  }
  // Places i, ..., i + vec - 1 of a lane.
  MOEROUTE_HD neighbours<T, Layout::vec> piece(index_t rank, index_t i) const {
    index_t const e = layout.id(rank, i);
    return piece_at(layout, data + e, e);
  }
};
template <class T, class Layout>
vector_row(T const*, Layout) -> vector_row<T, Layout>;

}  // namespace moeroute::inline MOEROUTE_ABI
