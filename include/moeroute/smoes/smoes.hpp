// Decides nothing itself: SMoES (arXiv 2604.23996) in reading order.
//
//   score each token's modality, softly        attention_score.hpp, gaussian_statistics.hpp, gaussian_score.hpp
//   count who chose what                       choice_counts.hpp
//   sort experts into bins                     binning.hpp
//   pull the modalities' bins apart            inter_bin_term.hpp, bin_sums.hpp, inter_bin_value.hpp, inter_bin_mi.hpp
//   balance inside a bin                       bin_balance.hpp
//   the same as terms of a router              regularize.hpp
//   look at it, and pay for it                 specialization.hpp, expert_parallel.hpp
//   what it is compared with                   pools.hpp, inter_bin_kl and smar in inter_bin_term.hpp
#pragma once

#include <moeroute/smoes/attention_score.hpp>
#include <moeroute/smoes/gaussian_score.hpp>
#include <moeroute/smoes/choice_counts.hpp>
#include <moeroute/smoes/binning.hpp>
#include <moeroute/smoes/inter_bin_mi.hpp>
#include <moeroute/smoes/bin_balance.hpp>
#include <moeroute/smoes/regularize.hpp>
#include <moeroute/smoes/specialization.hpp>
#include <moeroute/smoes/expert_parallel.hpp>
#include <moeroute/smoes/pools.hpp>
