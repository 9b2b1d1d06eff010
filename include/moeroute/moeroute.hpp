// Everything for the CPU, in reading order. CUDA: <moeroute/cuda.cuh>.
#pragma once

#include <moeroute/concepts.hpp>
#include <moeroute/prior.hpp>
#include <moeroute/score.hpp>
#include <moeroute/bias.hpp>
#include <moeroute/select/top_k.hpp>
#include <moeroute/select/group_limited_top_k.hpp>
#include <moeroute/select/above.hpp>
#include <moeroute/select/entropy_switch.hpp>
#include <moeroute/select/hash.hpp>
#include <moeroute/select/hash_tables.hpp>
#include <moeroute/select/null_experts.hpp>
#include <moeroute/select/ratio_threshold.hpp>
#include <moeroute/select/top_p.hpp>
#include <moeroute/weigh.hpp>
#include <moeroute/router.hpp>
#include <moeroute/route.hpp>
#include <moeroute/plan.hpp>
#include <moeroute/permute.hpp>
#include <moeroute/combine.hpp>
#include <moeroute/presets.hpp>
#include <moeroute/gate/linear.hpp>
#include <moeroute/gate/cosine.hpp>
#include <moeroute/gate/gru.hpp>
