// Decides where the experts of a row lie in the registers of its lanes: lane r holds places 0, 1, ..., by chunks of 8.
//
//   turns   lanes take turns with vectors of Vec neighbours, so that a warp reads whole lines
//   runs    a lane, or several, hold an expert group: neighbours in order
// A place has a code that orders as its expert does, the lane's part and the place's part in separate bits. A key
// carries the code inverted, so that among equals the lower id is larger.
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
  static constexpr index_t lanes = Lanes, vec = Vec, chunk = 8;
  static constexpr bool known = Experts > 0;
  static constexpr index_t static_width = Experts / Groups, static_per_group = Lanes > Groups ? Lanes / Groups : 1;
  static constexpr index_t static_run = (static_width + static_per_group - 1) / static_per_group;
  static constexpr bool full = known && Experts % (Lanes * chunk) == 0;  // every place has an expert

  // Numbers of a layout that is not known; the others return constants.
  index_t experts_ = Experts, width_ = 0, per_group_bits_ = 0, run_ = 0, run_bits_ = 0, bits_ = 0;
  index_t whole_ = 0;
  bool vectors_ = true;  // pieces may be read as vectors; always, if the layout is known

  MOEROUTE_HD static constexpr register_layout of(index_t experts, index_t groups) {
    register_layout l;
    l.experts_ = experts;
    l.width_ = experts / groups;
    l.per_group_bits_ = detail::bits_below(groups < Lanes ? Lanes / groups : 1);
    l.run_ = (l.width_ + (1 << l.per_group_bits_) - 1) >> l.per_group_bits_;
    l.run_bits_ = detail::bits_below(l.run_);
    index_t const places = experts > Lanes * Vec ? experts : Lanes * Vec;
    l.bits_ = Runs ? detail::bits_below(Lanes) + l.run_bits_ : detail::bits_below(places);
    l.whole_ = l.filled();
    return l;
  }
  // Rows do not lie on vectors: pieces are read one by one.
  constexpr void without_vectors() { vectors_ = false, whole_ = 0; }
  MOEROUTE_HD constexpr index_t experts() const { return known ? Experts : experts_; }
  // Lanes of a group: a power of two, or this layout serves nobody.
  MOEROUTE_HD constexpr index_t per_group_bits() const {
    return known ? detail::bits_below(static_per_group) : per_group_bits_;
  }
  MOEROUTE_HD constexpr index_t per_group() const { return 1 << per_group_bits(); }
  MOEROUTE_HD constexpr index_t width() const { return known ? static_width : width_; }
  MOEROUTE_HD constexpr index_t run() const { return known ? static_run : run_; }
  MOEROUTE_HD constexpr index_t run_bits() const { return known ? detail::bits_below(static_run) : run_bits_; }
  MOEROUTE_HD constexpr index_t bits() const { return known ? of(Experts, Groups).bits_ : bits_; }
  MOEROUTE_HD constexpr index_t chunks() const {
    return Runs ? (run() + chunk - 1) / chunk : (experts() + Lanes * chunk - 1) / (Lanes * chunk);
  }

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
  // Chunks, from the first on, in which every lane has an expert at every place.
  MOEROUTE_HD constexpr index_t whole_chunks() const { return known ? filled() : whole_; }
  template <class T>
  static constexpr std::size_t vector_bytes = std::size_t{Vec} * sizeof(T) < 16 ? std::size_t{Vec} * sizeof(T) : 16;
  // Whether every lane's vectors lie well in an array that starts here.
  template <class T>
  bool on_vectors(T const* p) const {
    bool const start = reinterpret_cast<std::uintptr_t>(p) % vector_bytes<T> == 0;
    return start && (!Runs || static_cast<std::size_t>(run() | width()) * sizeof(T) % vector_bytes<T> == 0);
  }
  MOEROUTE_HD constexpr std::uint32_t mask() const { return (std::uint32_t{1} << bits()) - 1; }
  // The inverted code of place i, the lane's bits left out.
  MOEROUTE_HD constexpr std::uint32_t place_code(index_t i) const {
    std::uint32_t const lane_bits = static_cast<std::uint32_t>(Lanes - 1) << lane_shift();
    return (mask() ^ lane_bits) - static_cast<std::uint32_t>(within(i));
  }
  MOEROUTE_HD constexpr std::uint32_t lane_code(index_t rank) const {
    return static_cast<std::uint32_t>(Lanes - 1 - rank) << lane_shift();
  }
  // The expert of an inverted code; in range whatever the bits.
  MOEROUTE_HD constexpr index_t expert(std::uint32_t inverted) const {
    auto const code = static_cast<index_t>(mask() - (inverted & mask()));
    index_t e = code;
    if constexpr (Runs) e = id(code >> run_bits(), code & ((1 << run_bits()) - 1));
    if constexpr (known && (Experts & (Experts - 1)) == 0) return e;
    else return e < experts() ? e : experts() - 1;
  }

 private:
  MOEROUTE_HD constexpr index_t filled() const {
    if constexpr (!Runs) return experts() / step;
    else return run() * per_group() == width() ? run() / chunk : 0;
  }
  MOEROUTE_HD constexpr index_t lane_in_group(index_t rank) const { return rank & (per_group() - 1); }
  MOEROUTE_HD constexpr index_t lane_shift() const { return Runs ? run_bits() : detail::bits_below(Vec); }
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
