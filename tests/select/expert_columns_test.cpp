// Decides whether scores become columns: every score in its place, the same bits one token or 16 at a time.
#include <cmath>

#include <moeroute/select/expert_columns.hpp>

#include "support/choice.hpp"

using namespace choice_test;

namespace {
template <class X, class R>
std::vector<float> columns_of(X const& x, R const& r, batch<> const& in) {
  auto const experts = static_cast<index_t>(in.logits.cols);
  auto work = memory(detail::expert_choice_bytes<float>(in.logits.rows, experts, 1)),
       rest = memory(body_workspace_bytes(x, detail::score_columns_bytes<float>(experts, experts),
                                          detail::score_columns_bytes<float>(experts, experts)));
  workspace w(work);
  auto const s = detail::expert_choice_arrays(r, in, 1, w);
  detail::order_tokens<float, float>{in,      choice_scope::batch, r.select.ties, r.select.secret,
                                     s.start, s.token_at,          s.place_of}(serial_group{}, 0, {});
  REQUIRE(x.run((in.logits.rows + 15) / 16, detail::score_columns<R, float, float>{s}, workspace(rest)).ok());
  std::vector<float> out;
  for (index_t e = 0; e < experts; ++e) {
    auto const column = s.column(e, 0);
    for (index_t i = 0; i < column.size(); ++i) out.push_back(column.at(i));
  }
  return out;
}
template <class R>
void check_columns(R const& r, batch<> const& in) {
  auto const a = columns_of(serial{}, r, in);
  CHECK(same_bits(a, columns_of(row_by_row{serial{}}, r, in)));
  CHECK(same_bits(a, columns_of(threads{2}, r, in)));
}
}  // namespace

TEST_CASE("S014 expert columns: 16 tokens at once give the bits of one at a time") {
  for (std::size_t const experts : {3u, 16u, 40u}) {
    auto z = narrow(normal_numbers(75 * experts, static_cast<unsigned>(experts)));
    z[1] = not_a_number<float>, z[experts] = -infinity<float>, z[2 * experts + 1] = infinity<float>;
    for (std::size_t e = 0; e < experts; ++e) z[5 * experts + e] = -infinity<float>;
    std::vector<std::uint8_t> valid(75, 1);
    valid[7] = valid[30] = 0;
    batch<> const all{.logits = {z.data(), 75, static_cast<offset_t>(experts)}};
    batch<> some = all;
    some.valid = valid;
    for (auto const& in : {all, some}) {
      check_columns(router{.select = top_tokens<>{}}, in);
      check_columns(router{.score = sigmoid{}, .select = top_tokens<>{}}, in);
      check_columns(router{.score = identity{}, .select = top_tokens<>{.ties = tie_rule::hashed, .secret = 3}}, in);
      check_columns(router{.select = top_tokens<>{.axis = score_axis::tokens}}, in);
      check_columns(router{.select = top_tokens<>{.within = 2}}, in);
    }
  }
}

TEST_CASE("S014 expert columns: column e holds the softmax of expert e") {
  auto const z = narrow(normal_numbers(32 * 16, 8));
  auto const columns = columns_of(serial{}, router{.select = top_tokens<>{}}, batch<>{.logits = {z.data(), 32, 16}});
  for (std::size_t t = 0; t < 32; ++t) {
    double sum = 0;
    for (std::size_t e = 0; e < 16; ++e) sum += std::exp(static_cast<double>(z[16 * t + e]));
    for (std::size_t e = 0; e < 16; ++e)
      CHECK(static_cast<double>(columns[32 * e + t]) ==
            doctest::Approx(std::exp(static_cast<double>(z[16 * t + e])) / sum).epsilon(1e-6));
  }
}
