// Everything beyond top-k that chooses: selectors of variable count, hashing, expert choice and what belongs to it.
#pragma once

#include <moeroute/select/above.hpp>
#include <moeroute/select/entropy_switch.hpp>
#include <moeroute/select/hash.hpp>
#include <moeroute/select/hash_tables.hpp>
#include <moeroute/select/null_experts.hpp>
#include <moeroute/select/ratio_threshold.hpp>
#include <moeroute/select/top_p.hpp>
#include <moeroute/select/take_many.hpp>
#include <moeroute/select/top_tokens.hpp>
#include <moeroute/route_experts.hpp>
#include <moeroute/select/picks_by_token.hpp>
#include <moeroute/select/ranked_by.hpp>
#include <moeroute/select/second_of_rest.hpp>
#include <moeroute/assign/sinkhorn.hpp>
#include <moeroute/assign/balanced.hpp>
#include <moeroute/estimate/sparsemixer.hpp>
#include <moeroute/soft/slot_logits.hpp>
#include <moeroute/soft/soft_moe.hpp>
#include <moeroute/select/gumbel_threshold.hpp>
#include <moeroute/select/per_token_k.hpp>
#include <moeroute/select/prefix_mask.hpp>
#include <moeroute/loss/symmetric_kl.hpp>
#include <moeroute/route_two_level.hpp>
#include <moeroute/prior/visibility_mask.hpp>
