#include <doctest/doctest.h>

#include <moeroute/core/key_network.hpp>

#include <algorithm>
#include <functional>
#include <vector>

#include "support/lockstep_lanes.hpp"

using namespace moeroute;

namespace {

std::uint32_t some_key(std::uint32_t seed, std::uint32_t i) {  // distinct: the low bits are the place
  std::uint32_t h = (seed * 0x9E3779B1u) ^ (i * 0x85EBCA6Bu);
  h ^= h >> 15;
  return (h * 0xC2B2AE35u & ~1023u) | i;
}

// Every lane has M keys; all lanes write the best N.
template <index_t M, index_t N>
struct best_row {
  std::uint32_t* out;  // lanes x N
  offset_t scratch_bytes() const { return 0; }
  template <lane_group G>
  void operator()(G const& g, offset_t r, scratch) const {
    std::uint32_t keys[std::size_t{M}], top[std::size_t{N}];
    for (index_t i = 0; i < M; ++i)
      keys[i] = some_key(static_cast<std::uint32_t>(r), static_cast<std::uint32_t>(g.rank() * M + i));
    std::fill(std::begin(top), std::end(top), 0u);
    if constexpr (requires { G::static_lanes; }) {
      for (index_t c = 0; c < M; c += N) {
        std::uint32_t chunk[std::size_t{N}] = {};
        for (index_t i = c; i < M && i < c + N; ++i) chunk[i - c] = keys[i];
        network::take_in(top, chunk);
      }
      network::best_of_lanes(g, top);
    }
    for (index_t i = 0; i < N; ++i) out[g.rank() * N + i] = network::at(top, i);
  }
};

template <index_t Lanes, index_t M, index_t N>
void check() {
  std::vector<std::uint32_t> out(Lanes * N), all;
  REQUIRE(lockstep_lanes::warp<lockstep_lanes::words<Lanes>>{}.run(1, best_row<M, N>{out.data()}, {}).ok());
  for (index_t i = 0; i < Lanes * M; ++i) all.push_back(some_key(0, static_cast<std::uint32_t>(i)));
  std::sort(all.begin(), all.end(), std::greater<>{});
  all.resize(N, 0u);
  for (index_t l = 0; l < Lanes; ++l) CHECK(std::equal(all.begin(), all.end(), out.begin() + l * N));
}

}  // namespace

TEST_CASE("the network sorts every pattern of 0 and 1, hence everything (zero-one principle)") {
  for (std::uint32_t pattern = 0; pattern < 256; ++pattern) {
    network::key a[8];
    for (std::uint32_t i = 0; i < 8; ++i) a[i] = pattern >> i & 1u;
    network::sort(a);
    CHECK(std::is_sorted(std::begin(a), std::end(a), std::greater<>{}));
  }
  for (std::uint32_t pattern = 0; pattern < 65536; ++pattern) {
    network::key a[16];
    for (std::uint32_t i = 0; i < 16; ++i) a[i] = pattern >> i & 1u;
    network::sort(a);
    if (!std::is_sorted(std::begin(a), std::end(a), std::greater<>{})) FAIL("16 keys unsorted: " << pattern);
  }
}

TEST_CASE("every lane holds the best keys of all lanes, best first") {
  check<8, 32, 8>();
  check<4, 6, 8>();   // fewer keys a lane than the network holds
  check<2, 3, 16>();  // fewer keys in all
  check<16, 5, 1>();
  check<1, 9, 4>();
}

TEST_CASE("a list that is worth more takes in a chunk") {
  for (std::uint32_t seed = 0; seed < 50; ++seed) {
    std::uint32_t const rise = seed % 5 * 1024;
    std::vector<std::uint32_t> all;
    network::key top[8], chunk[8];
    for (std::uint32_t i = 0; i < 8; ++i) {
      all.push_back((top[i] = some_key(seed, i) >> 1) + rise);
      all.push_back(chunk[i] = some_key(seed, 8 + i) >> 1);
    }
    network::sort(top);
    network::take_in(top, chunk, rise);
    std::sort(all.begin(), all.end(), std::greater<>{});
    CHECK(std::equal(std::begin(top), std::end(top), all.begin()));
  }
}

TEST_CASE("a key within a range is found, and none where there is none") {
  network::key const a[] = {0xffffffffu, 70, 69, 40, 7, 1, 0, 0};
  for (std::uint32_t to : {1u, 2u, 41u, 69u, 70u, 71u, 0x80000000u, 0xffffffffu})
    for (std::uint32_t from : {0u, 1u, 8u, 40u, 41u, 68u, 69u, 70u, 0x7fffffffu, 0xfffffffeu}) {
      if (from >= to) continue;
      bool const found = std::any_of(std::begin(a), std::end(a), [&](auto x) { return x >= from && x < to; });
      CHECK(network::any_within(a, from, to) == found);
    }
}
