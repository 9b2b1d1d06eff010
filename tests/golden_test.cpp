// Decides whether the command line reproduces every golden vector: one test case a folder, through the
// program itself, so that reading, routing and comparing are all part of what is proved.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#if defined(MOEROUTE_CLI) && defined(MOEROUTE_GOLDEN_DIR)

namespace {

// Exit code 0 and nothing unsupported: a scheme that vanished is a failure, not a pass.
void check(std::string const& folder) {
  std::string const where = std::string(MOEROUTE_GOLDEN_DIR) + "/" + folder;
  REQUIRE(std::filesystem::is_directory(where));
  for (std::string const executor : {"serial", "threads:3", "lockstep:4"}) {
    CAPTURE(executor);
    std::string const command =
        std::string("\"") + MOEROUTE_CLI + "\" check --complete --quiet --executor " + executor + " \"" + where + "\"";
    CHECK(std::system(command.c_str()) == 0);
  }
}

}  // namespace

#define MOEROUTE_GOLDEN(folder) \
  TEST_CASE("golden: " folder) { check(folder); }

MOEROUTE_GOLDEN("01_softmax_topk")
MOEROUTE_GOLDEN("02_softmax_topk_renorm")
MOEROUTE_GOLDEN("03_topk_softmax")
MOEROUTE_GOLDEN("04_deepseek_v3")
MOEROUTE_GOLDEN("05_deepseek_v2")
MOEROUTE_GOLDEN("06_llama4_sigmoid_top1")
MOEROUTE_GOLDEN("07_sqrtsoftplus_bias")
MOEROUTE_GOLDEN("08_megatron_group_limited")
MOEROUTE_GOLDEN("09_flashinfer_plan")
MOEROUTE_GOLDEN("10_capacity")
MOEROUTE_GOLDEN("11_losses")
MOEROUTE_GOLDEN("12_sinkhorn")
MOEROUTE_GOLDEN("13_permute")
MOEROUTE_GOLDEN("14_megablocks_pnorm")
MOEROUTE_GOLDEN("15_expert_choice")
MOEROUTE_GOLDEN("16_base_assignment")
MOEROUTE_GOLDEN("17_xmoe_cosine")
MOEROUTE_GOLDEN("18_adamoe_null")
MOEROUTE_GOLDEN("19_rmoe_gru")
MOEROUTE_GOLDEN("20_remoe_relu")
MOEROUTE_GOLDEN("21_top_p")
MOEROUTE_GOLDEN("22_hash")
MOEROUTE_GOLDEN("23_sparsemixer")
MOEROUTE_GOLDEN("24_dirichlet_prior")
MOEROUTE_GOLDEN("25_loss_free_bias")
MOEROUTE_GOLDEN("26_soft_moe")
MOEROUTE_GOLDEN("27_erc")
MOEROUTE_GOLDEN("28_replay")
MOEROUTE_GOLDEN("29_moe_grpo")
MOEROUTE_GOLDEN("30_smoes")
MOEROUTE_GOLDEN("31_quantile_balance")

#endif
