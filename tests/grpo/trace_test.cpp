#include <doctest/doctest.h>

#include <cstring>
#include <string>

#include <moeroute/grpo/trace.hpp>

#include "support/lockstep_lanes.hpp"

using namespace moeroute;

namespace {

route_trace filled(index_t experts) {
  route_trace t(experts, 2, 2, 3);
  std::vector<index_t> const a{0, experts - 1, 1, no_expert, 2, 0}, b{1, 0, no_expert, no_expert, experts - 1, 2};
  std::vector<float> const lp{-1, -2, -3};
  t.record(0, {a.data(), 3, 2}, row_view<float const>(lp));
  t.record(1, {b.data(), 3, 2});
  t.stamp(7, 11, 13);
  return t;
}
std::string complaint(std::vector<std::byte> const& bytes) {
  route_trace t;
  return message(t.from_bytes(row_view<std::byte const>(bytes))).c_str();
}
template <class T>
void put(std::vector<std::byte>& bytes, std::size_t at, T x) {
  std::memcpy(bytes.data() + at, &x, sizeof x);
}

}  // namespace

TEST_CASE("S069 trace: the narrowest type that holds every expert and the sentinel") {
  CHECK(trace_id_bytes(255) == 1);
  CHECK(trace_id_bytes(256) == 2);  // 255 would be the sentinel
  CHECK(trace_id_bytes(512) == 2);
  CHECK(trace_id_bytes(65535) == 2);
  CHECK(trace_id_bytes(65536) == 4);
}

TEST_CASE("S069 trace: bytes and back, for every width") {
  for (index_t const experts : {8, 255, 256, 65535, 70000}) {
    auto const t = filled(experts);
    auto const bytes = t.to_bytes();
    route_trace u;
    REQUIRE(u.from_bytes(row_view<std::byte const>(bytes)).ok());
    CHECK(u.header().experts == experts);
    CHECK(u.header().mask_version == 7);
    CHECK(u.header().step == 11);
    CHECK(u.to_bytes() == bytes);
    std::vector<index_t> ids(6);
    u.read(0, {ids.data(), 3, 2});
    CHECK(ids == std::vector<index_t>{0, experts - 1, 1, no_expert, 2, 0});
    u.read(1, {ids.data(), 3, 2});
    CHECK(ids == std::vector<index_t>{1, 0, no_expert, no_expert, experts - 1, 2});
    CHECK(u.log_prob(0)[2] == -3.f);
  }
  CHECK(filled(8).layer<std::uint8_t>(0)[1][1] == 0xFF);
  CHECK_THROWS_AS(filled(8).layer<std::uint16_t>(0), error);
}

TEST_CASE("promise P17 trace: what cannot be true is refused with both numbers") {
  auto const good = filled(8).to_bytes();
  auto const with = [&](std::size_t at, auto x) {
    auto bytes = good;
    put(bytes, at, x);
    return complaint(bytes);
  };
  CHECK(complaint(good) == "ok");
  CHECK(complaint({good.begin(), good.begin() + 10}) == "moeroute: trace bytes = 10 must be at least 64");
  CHECK(complaint({good.begin(), good.end() - 1}).find("trace bytes = 99 must be 100") != std::string::npos);
  CHECK(with(0, std::uint32_t{1}).find("trace.magic") != std::string::npos);
  CHECK(with(4, std::uint16_t{2}).find("trace.version = 2 must be 1") != std::string::npos);
  CHECK(with(6, std::uint8_t{3}).find("trace.id_bytes") != std::string::npos);
  CHECK(with(8, std::int64_t{-1}).find("trace.layers") != std::string::npos);
  CHECK(with(16, std::int64_t{1} << 62).find("trace.tokens") != std::string::npos);
  CHECK(with(24, std::int32_t{300}).find("trace.id_bytes for these experts = 1 must be at least 2") !=
        std::string::npos);
  CHECK(with(64, std::uint8_t{8}) == "moeroute: trace: an expert = 8 must be below 8");
  route_trace t(8, 2, 1, 1);
  std::vector<index_t> const ids{3, 8};
  CHECK_THROWS_WITH(t.record(0, {ids.data(), 1, 2}), "moeroute: ids: an expert = 8 must be below 8");
}

TEST_CASE("S069 trace: ids of another type; out of range becomes the sentinel and is counted") {
  std::vector<index_t> const ids{3, no_expert, 9, 0, -5, 7};
  auto const convert = [&](auto const& x) {
    std::vector<std::uint8_t> out(6, 77);
    std::vector<index_t> bad(3, 77);
    CHECK(try_convert_ids(x, matrix_view<index_t const>{ids.data(), 3, 2}, matrix_view<std::uint8_t>{out.data(), 3, 2},
                          8, row_view<index_t>(bad))
              .ok());
    CHECK(out == std::vector<std::uint8_t>{3, 255, 255, 0, 255, 7});
    CHECK(bad == std::vector<index_t>{0, 1, 1});
  };
  convert(serial{});
  convert(lockstep{3});
  convert(lockstep_lanes::warp<lockstep_lanes::words<4>>{});
  std::vector<std::uint8_t> out(6);
  auto const s = try_convert_ids(serial{}, matrix_view<index_t const>{ids.data(), 3, 2},
                                 matrix_view<std::uint8_t>{out.data(), 3, 2}, 256);
  CHECK(std::string(message(s).c_str()) == "moeroute: experts for the id type written = 256 must be at most 255");
}

TEST_CASE("S069 queue: backward passes take the records in the order of the forward passes") {
  replay_queue q;
  for (std::int64_t i = 0; i < 3; ++i) {
    auto t = filled(8);
    t.stamp(0, i, 0);
    q.push(t);
  }
  CHECK(q.size() == 3);
  CHECK(q.pop().header().step == 0);
  auto t = filled(8);
  t.stamp(0, 3, 0);
  q.push(t);
  for (std::int64_t i = 1; i < 4; ++i) CHECK(q.pop().header().step == i);
  CHECK(q.empty());
  CHECK_THROWS_AS(q.pop(), error);
}
