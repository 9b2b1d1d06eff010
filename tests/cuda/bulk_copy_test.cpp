// Decides whether rows arrive whole where they are bound for, on machines that move bytes as early and as late as they may.
#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include <moeroute/core/philox.hpp>
#include <moeroute/cuda/bulk_copy.hpp>
#include <moeroute/permute.hpp>
#include <moeroute/plan.hpp>

#include "support/lockstep_lanes.hpp"

using namespace moeroute;

namespace {

// Fetches at once or when the piece is waited for; stores at once or when the buffers are wanted back.
template <class G>
struct cpu_machine {
  struct shared {
    alignas(16) std::byte buffer[2][bulk_piece];
    std::byte const* from[2];
    std::size_t bytes[2];
  };
  struct parcel {
    std::byte* to;
    index_t buffer;
    std::size_t bytes;
  };
  G const& g;
  shared& at;
  bool early_fetch, early_store;
  mutable std::vector<parcel> on_the_way{};  // this lane's

  void fetch(index_t b, std::byte const* from, offset_t bytes) const {
    at.from[b] = from, at.bytes[b] = static_cast<std::size_t>(bytes);
    if (early_fetch) std::memcpy(at.buffer[b], from, at.bytes[b]);
  }
  void arrived(index_t b) const {
    g.sync();
    if (!early_fetch && g.rank() == 0) std::memcpy(at.buffer[b], at.from[b], at.bytes[b]);
    g.sync();
  }
  void store(std::byte* to, index_t b, offset_t bytes) const {
    on_the_way.push_back({to, b, static_cast<std::size_t>(bytes)});
    if (early_store) all_read();
  }
  void sent() const {}
  void all_read() const {
    for (auto const& p : on_the_way) std::memcpy(p.to, at.buffer[p.buffer], p.bytes);
    on_the_way.clear();
  }
};

// As many warps as rows of work, in strides over the tokens.
template <class Body>
struct by_warps {
  Body body;
  offset_t tokens, warps;
  bool early_fetch, early_store;
  offset_t scratch_bytes() const { return 2 * bulk_piece + 256; }
  template <class G>
  void operator()(G const& g, offset_t w, scratch s) const {
    using machine = cpu_machine<G>;
    auto& memory = *reinterpret_cast<typename machine::shared*>(s.at);
    copy_runs(g, w, warps, tokens, body, machine{g, memory, early_fetch, early_store});
  }
};

template <class T>
void compare(offset_t tokens, offset_t k, offset_t width, offset_t stride) {
  CAPTURE(tokens);
  CAPTURE(width);
  index_t const experts = 6;
  draws const d{.seed = 3};
  std::vector<index_t> ids;
  for (offset_t i = 0; i < tokens * k; ++i) {
    auto const u = static_cast<index_t>(d.bits(i, 0) % 8);
    ids.push_back(u < experts ? u : no_expert);
  }
  auto const n = static_cast<std::size_t>(tokens * k);
  std::vector<offset_t> offsets(static_cast<std::size_t>(experts) + 1), slots(n);
  plan_view<> plan{.offsets = offsets, .slot_of_choice = slots};
  std::vector<std::byte> memory(static_cast<std::size_t>(plan_workspace_bytes(serial{}, experts)));
  make_plan(serial{}, choices_view<>{.ids = {ids.data(), tokens, k}}, experts, {}, plan, workspace(memory));
  std::vector<T> x(static_cast<std::size_t>(tokens * stride) + 16),
      want(n * static_cast<std::size_t>(width) + 16, T(7)), got(want);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<T>(i % 251);
  auto const on_16 = [](std::vector<T>& v) {
    T* p = v.data();
    while (!detail::on_16_bytes(p)) ++p;
    return p;
  };
  matrix_view<T const> const from(on_16(x), tokens, width, stride);
  matrix_view<T> const here(on_16(want), tokens * k, width), there(on_16(got), tokens * k, width);
  permute(serial{}, plan, from, here);
  permute_row<T, float, T, offset_t> const body{plan, from, {}, there};
  REQUIRE(body.suits_bulk());
  for (bool const early_fetch : {false, true})
    for (bool const early_store : {false, true}) {
      std::fill(got.begin(), got.end(), T(7));
      lockstep_lanes::warp<lockstep_lanes::words<4>> const exec{};
      by_warps<permute_row<T, float, T, offset_t>> const all{body, tokens, 3, early_fetch, early_store};
      std::vector<std::byte> space(static_cast<std::size_t>(exec.workspace_bytes(all.scratch_bytes())));
      REQUIRE(exec.run(3, all, workspace(space)).ok());
      bool same = true;
      for (offset_t i = 0; i < tokens * k * width; ++i) same = same && here.data[i] == there.data[i];
      CHECK(same);
    }
}

}  // namespace

TEST_CASE("P11 bulk copies: a token's row in every slot of its choices, whole pieces and the rest") {
  compare<float>(0, 2, 8, 8);
  compare<float>(1, 2, 4, 4);
  compare<float>(50, 9, 64, 96);
  compare<double>(20, 3, 2 * bulk_piece / 8 + 10, 2 * bulk_piece / 8 + 10);
  compare<float>(9, 3, bulk_piece / 4, bulk_piece / 4);
}

TEST_CASE("bulk copies: rows off 16 bytes and weighed rows are left to the plain form") {
  alignas(16) float a[64] = {}, b[64] = {};
  using body = permute_row<float, float, float, offset_t>;
  plan_view<> const plan{};
  auto const suits = [&](float const* x, offset_t width, offset_t stride, float* y, offset_t to, float const* w) {
    return body{plan, {x, 2, width, stride}, {w, 2, 1}, {y, 2, width, to}}.suits_bulk();
  };
  CHECK(suits(a, 8, 8, b, 8, nullptr));
  CHECK(suits(a, 8, 12, b, 16, nullptr));
  CHECK_FALSE(suits(a + 1, 8, 8, b, 8, nullptr));
  CHECK_FALSE(suits(a, 8, 8, b + 2, 8, nullptr));
  CHECK_FALSE(suits(a, 8, 9, b, 8, nullptr));
  CHECK_FALSE(suits(a, 8, 8, b, 10, nullptr));
  CHECK_FALSE(suits(a, 7, 8, b, 8, nullptr));
  CHECK_FALSE(suits(a, 8, 8, b, 8, a));
  static_assert(bulk_body<body> && !bulk_body<permute_row<float, float, double, offset_t>>);
}
