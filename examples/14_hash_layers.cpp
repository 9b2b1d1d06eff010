// Decides by the token's id alone: a random and a balanced table on a vocabulary with Zipf frequencies.
#include <algorithm>
#include <cstdio>
#include <vector>

#include <moeroute/select/hash.hpp>
#include <moeroute/select/hash_tables.hpp>

using namespace moeroute;

int main() {
  constexpr offset_t vocabulary = 5000;
  constexpr index_t experts = 16;
  std::vector<index_t> frequency(vocabulary);
  for (offset_t v = 0; v < vocabulary; ++v)
    frequency[static_cast<std::size_t>(v)] = static_cast<index_t>(200000 / (v + 20));
  auto const skew = [&](std::vector<index_t> const& table) {
    std::vector<double> load(experts);
    double total = 0;
    for (std::size_t v = 0; v < table.size(); ++v)
      load[static_cast<std::size_t>(table[v])] += frequency[v], total += frequency[v];
    return *std::max_element(load.begin(), load.end()) * experts / total;
  };
  std::printf("largest load over the mean: random table %.3f, balanced table %.3f\n",
              skew(random_hash(vocabulary, experts)), skew(balanced_hash(frequency, experts)));
}
