// Decides to show two attacks on routing that mixes requests in one batch, and the settings in which they end.
//
//   capacity   an attacker fills the expert of the victim, whose token is dropped        (Hayes et al., S024)
//   ties       expert choice keeps the first of two equal tokens: swapping the guess and the victim's token in
//              the batch tells whether the guess is right                                (Yona et al., S123)
#include <cstdio>
#include <vector>

#include <moeroute/plan.hpp>
#include <moeroute/route_experts.hpp>

using namespace moeroute;

namespace {

constexpr index_t experts = 4;
constexpr offset_t room = 4;

std::uint32_t random_bits(std::uint32_t& state) { return (state = state * 1664525u + 1013904223u) >> 8; }

// ---- capacity: is the last token of the batch, the victim's, kept? ------------------------------------------------

enum class serving { first_come, best_score, shuffled, isolated, unlimited };

bool victim_kept(std::vector<index_t> const& ids, serving how, std::uint64_t seed) {
  auto const tokens = static_cast<offset_t>(ids.size());
  std::vector<index_t> request(ids.size(), 0);
  request.back() = 1;  // everybody else belongs to the attacker
  std::vector<float> score(ids.size(), .9f);
  score.back() = .8f;
  capacity_options<> o{.rule = {.formula = capacity_formula::given, .slots = room}};
  if (how == serving::best_score) o.queue = {.order = queue_order::score, .of_choice = {score.data(), tokens, 1}};
  if (how == serving::shuffled) o.queue = {.order = queue_order::shuffled, .random = {.seed = seed}};
  if (how == serving::isolated) o.segment = request, o.segments = 2;
  if (how == serving::unlimited) o.rule = {.formula = capacity_formula::unlimited};
  std::vector<offset_t> counts(experts), kept(experts), offsets(experts + 1), slot(ids.size()), token(ids.size() + 64);
  plan_view<> plan{.choices = {tokens, 1, {}},
                   .counts = counts,
                   .kept = kept,
                   .offsets = offsets,
                   .slot_of_choice = slot,
                   .token_of_slot = token};
  std::vector<std::byte> work(
      static_cast<std::size_t>(limited_plan_workspace_bytes(serial{}, experts, tokens, tokens, o.segments)));
  throw_if_bad(try_make_plan(serial{}, choices_view<>{.ids = {ids.data(), tokens, 1}}, experts, {}, o, plan, work));
  return slot.back() >= 0;
}

// Share of random attackers that change what happens to the victim, against a harmless batch.
double capacity_attack(serving how, int attackers) {
  int changed = 0;
  for (int a = 0; a < attackers; ++a) {
    auto state = static_cast<std::uint32_t>(a + 1);
    std::vector<index_t> harmless, hostile;
    for (int t = 0; t < 12; ++t) {
      harmless.push_back(static_cast<index_t>(t) % 3 + 1);  // never the victim's expert
      hostile.push_back(random_bits(state) % 4 == 0 ? static_cast<index_t>(random_bits(state) % experts) : 0);
    }
    harmless.push_back(0), hostile.push_back(0);  // the victim wants expert 0
    auto const seed = static_cast<std::uint64_t>(a);
    changed += victim_kept(harmless, how, seed) != victim_kept(hostile, how, seed);
  }
  return static_cast<double>(changed) / attackers;
}

// ---- ties: does swapping guess and victim change what the attacker sees of the guess? -----------------------------

constexpr int vocabulary = 24;
using word = std::vector<float>;  // logits of one vocabulary id

template <class Select>
bool guess_kept(Select const& select, word const& victim, word const& guess, bool guess_first, index_t expert) {
  std::vector<float> logits;
  std::vector<index_t> request;
  std::vector<offset_t> name;
  auto const add = [&](word const& w, index_t who, offset_t id) {
    logits.insert(logits.end(), w.begin(), w.end());
    request.push_back(who);
    name.push_back(id);
  };
  word blocker(experts, 0.f);
  blocker[static_cast<std::size_t>(expert)] = 20;
  for (offset_t i = 0; i + 1 < room; ++i) add(blocker, 0, i);  // the attacker takes all slots but one
  if (guess_first) add(guess, 0, 100), add(victim, 1, 200);
  else add(victim, 1, 200), add(guess, 0, 100);
  auto const tokens = static_cast<offset_t>(request.size());
  offset_t const segments = Select::scope == choice_scope::batch ? 1 : 2;
  router<no_gate, no_prior, softmax, no_bias, Select> const r{.select = select};
  std::vector<offset_t> chosen(static_cast<std::size_t>(segments * experts * room));
  std::vector<float> weights(chosen.size());
  std::vector<std::byte> work(
      static_cast<std::size_t>(route_experts_workspace_bytes(serial{}, r, tokens, experts, segments, room)));
  batch<float> const in{.logits = {logits.data(), tokens, experts}, .token = name, .group = request};
  route_experts(
      serial{}, r, in,
      expert_routing_view<float>{{chosen.data(), segments * experts, room}, {weights.data(), segments * experts, room}},
      workspace(work));
  for (offset_t j = 0; j < room; ++j)  // the attacker reads the rows of its own request
    if (offset_t const t = chosen[static_cast<std::size_t>(expert * room + j)];
        t >= 0 && name[static_cast<std::size_t>(t)] == 100)
      return true;
  return false;
}

// Share of victims whose token an attacker names by trying every id twice.
template <class Select>
double tie_attack(Select const& select, int victims) {
  std::uint32_t state = 7;
  std::vector<word> words(vocabulary, word(experts));
  for (auto& w : words)
    for (auto& z : w) z = static_cast<float>(random_bits(state) % 4096) / 1024.f;
  int found = 0;
  for (int v = 0; v < victims; ++v) {
    auto const& secret = words[random_bits(state) % vocabulary];
    int named = -1, candidates = 0;
    for (int g = 0; g < vocabulary; ++g) {
      auto const& guess = words[static_cast<std::size_t>(g)];
      index_t best = 0;
      for (index_t e = 1; e < experts; ++e)
        if (guess[static_cast<std::size_t>(e)] > guess[static_cast<std::size_t>(best)]) best = e;
      if (guess_kept(select, secret, guess, true, best) != guess_kept(select, secret, guess, false, best))
        named = g, ++candidates;
    }
    found += candidates == 1 && &words[static_cast<std::size_t>(named)] == &secret;
  }
  return static_cast<double>(found) / victims;
}

bool say(char const* attack, char const* setting, double share, bool good) {
  std::printf("%-9s %-42s %5.1f %%   %s\n", attack, setting, 100 * share, good ? "as expected" : "NOT AS EXPECTED");
  return good;
}

}  // namespace

int main() {
  int const attackers = 300, victims = 60;
  std::printf("%-9s %-42s %s\n", "attack", "setting", "victims changed or read");
  bool good = true;
  double share = capacity_attack(serving::first_come, attackers);
  good &= say("capacity", "one queue, first come", share, share > .95);
  share = capacity_attack(serving::best_score, attackers);
  good &= say("capacity", "one queue, best score first", share, share > .95);
  share = capacity_attack(serving::shuffled, attackers);
  good &= say("capacity", "one queue, shuffled (weaker, not gone)", share, share > .3 && share < .8);
  share = capacity_attack(serving::unlimited, attackers);
  good &= say("capacity", "no capacity", share, share == 0);
  share = capacity_attack(serving::isolated, attackers);
  good &= say("capacity", "queues of each request", share, share == 0);
  top_tokens<> const by_index{.fixed_count = room};
  top_tokens<> const by_hash{.fixed_count = room, .ties = tie_rule::hashed, .secret = 0x5EC};
  top_tokens<choice_scope::group> const isolated{.fixed_count = room};
  share = tie_attack(by_index, victims);
  good &= say("ties", "expert choice over the batch, lower index", share, share == 1);
  share = tie_attack(by_hash, victims);
  good &= say("ties", "expert choice, keyed hash (this probe only)", share, share == 0);
  share = tie_attack(isolated, victims);
  good &= say("ties", "expert choice inside each request", share, share == 0);
  static_assert(dependence_of<top_tokens<>> == cross_token_dependence::whole_batch);
  static_assert(dependence_of<top_tokens<choice_scope::group>> == cross_token_dependence::within_group);
  std::printf("%s\n",
              good ? "The unsafe settings leak; isolated requests never notice each other." : "Something is wrong.");
  return good ? 0 : 1;
}
