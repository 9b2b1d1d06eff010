// Decides how losses on whole columns and on weights are read from a case: golden folders 24 (Dirichlet
// prior) and 27 (expert-router coupling).
#include <moeroute/loss/dirichlet_prior.hpp>
#include <moeroute/loss/expert_coupling.hpp>

#include "cli/routed.hpp"

namespace moeroute_examples {
namespace {

using namespace moeroute;

outputs dirichlet_prior_case(case_file const& c, any_executor const& x) {
  auto const logits = logits_of<double>(c);
  auto const tokens = logits.extent(0), experts = logits.extent(1);
  auto const alpha = c.floats<float>("alpha", {experts}, nan::forbidden);
  for (float const a : alpha.values)
    if (!(a > 0 && a <= 1e6f)) c.wrong("alpha", "values", "positive numbers up to 1e6", std::to_string(a));
  if (auto const reduce = c.words("reduce", "sum over experts and tokens"); reduce != "sum over experts and tokens")
    c.bad("params.reduce", "sum over experts and tokens", reduce);
  dirichlet_prior const term{.alpha = alpha.row(), .lambda = c.number("coeff", 1)};
  router<> const r{};
  outputs out;
  text t;
  term.describe(t);
  out.describe = t.c_str();
  out.add("probs", forward(x, r, logits, true).scores);
  tensor<double> cdf(logits.shape), d_columns({experts, tokens}), d_probs(logits.shape), d_logits(logits.shape);
  batch<double> in;
  in.logits = logits.matrix();
  double loss = 0;
  auto work = memory(dirichlet_prior_workspace_bytes(x, tokens, as_index(experts)));
  dirichlet_prior_loss(x, term, r, in, &loss, d_logits.matrix(), workspace(work), 1., cdf.matrix(), d_columns.matrix());
  for (std::int64_t i = 0; i < d_probs.size(); ++i) d_probs[i] = d_columns[i % experts * tokens + i / experts];
  out.number("loss", loss);
  out.add("beta_cdf", cdf), out.add("d_probs", d_probs), out.add("d_logits", d_logits);
  return out;
}

outputs expert_coupling_case(case_file const& c, any_executor const& x) {
  auto const rows = c.floats<double>("router", {any, any}, nan::forbidden);
  auto const experts = rows.extent(0), width = rows.extent(1);
  c.same("E", experts), c.same("D", width);
  auto const gate = c.floats<double>("w_gate", {experts, width, any}, nan::forbidden);
  c.same("D_gate", gate.extent(2));
  auto const delta = c.floats<double>("delta", rows.shape, nan::forbidden);
  expert_coupling const term{.alpha = c.number("alpha", 1)};
  outputs out;
  text t;
  term.describe(t);
  out.describe = t.c_str();
  tensor<double> epsilon({experts}), activation({experts, experts}), d_router(rows.shape), d_gate(gate.shape);
  tensor<index_t> nearest({experts});
  throw_if_bad(try_expert_coupling_noise_bound(x, rows.matrix(), epsilon.row(), nearest.row()));
  double loss = 0;
  auto work = memory(expert_coupling_workspace_bytes(x, as_index(experts), gate.extent(2)));
  expert_coupling_loss(x, term, rows.matrix(), delta.matrix(), gate.matrix(), activation.matrix(), &loss,
                       d_router.matrix(), d_gate.matrix(), workspace(work));
  out.number("loss", loss);
  out.add("epsilon", epsilon), out.add("nearest", nearest), out.add("activation_norm", activation);
  out.add("d_router", d_router), out.add("d_w_gate", d_gate);
  return out;
}

register_schemes const registered{
    {"dirichlet_prior_loss", "S115", "sum over experts and ranks of (j / (n + 1) - BetaCDF(p_(j)))^2",
     dirichlet_prior_case},
    {"expert_router_coupling_loss", "S150", "hinges on the activation norms of perturbed router rows (ERC)",
     expert_coupling_case},
};

}  // namespace
}  // namespace moeroute_examples
