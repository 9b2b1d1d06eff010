// Decides whether the attacks of examples/attack_demo succeed where they should and end where they must.
#include <doctest/doctest.h>

#define main attack_demo_main
#include "../examples/attack_demo.cpp"
#undef main

TEST_CASE("S024 buffer overflow: shared queues let attackers decide, isolated or unlimited ones do not") {
  CHECK(capacity_attack(serving::first_come, 100) > .95);
  CHECK(capacity_attack(serving::best_score, 100) > .95);
  double const shuffled = capacity_attack(serving::shuffled, 300);
  CHECK((shuffled > .3 && shuffled < .8));  // about 4 places for 10 hostile tokens and the victim
  CHECK(capacity_attack(serving::unlimited, 300) == 0);
  CHECK(capacity_attack(serving::isolated, 300) == 0);
}

TEST_CASE("S123 tie oracle: index ties name every victim, hashed ties do not follow the order, isolation ends it") {
  top_tokens<> const by_index{.fixed_count = room},
      by_hash{.fixed_count = room, .ties = tie_rule::hashed, .secret = 99};
  CHECK(tie_attack(by_index, 30) == 1);
  CHECK(tie_attack(by_hash, 30) == 0);
  CHECK(tie_attack(top_tokens<choice_scope::group>{.fixed_count = room}, 30) == 0);
}

TEST_CASE("S123 hashed ties: over many secrets the guess wins about half the time, in either order") {
  word const token{1, 2, 3, 4};
  int first = 0, second = 0;
  for (std::uint64_t secret = 0; secret < 400; ++secret) {
    top_tokens<> const s{.fixed_count = room, .ties = tie_rule::hashed, .secret = secret};
    bool const a = guess_kept(s, token, token, true, 3), b = guess_kept(s, token, token, false, 3);
    CHECK(a == b);
    first += a, second += b;
  }
  CHECK(first == second);
  CHECK((first > 150 && first < 250));
}
