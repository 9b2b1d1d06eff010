// Decides how a recorded route is kept: ids in the narrowest type that holds every expert and the sentinel, the
// log-probabilities, the mask version, and a header that says what is inside (S069; sizes in
// docs/policies.md). A trace that cannot be what its header says is refused with both numbers.
//
//   bytes: header (64), ids [layers * tokens * k] in id_bytes each, log_prob [layers * tokens] float32 if has_log_prob
//   little-endian; a row is (layer, token), layer-major; places in draw order; largest unsigned value = no expert
#pragma once

#include <vector>

#include <moeroute/core/executor.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// 1, 2 or 4 bytes: experts 0..experts-1 and the sentinel must fit.
constexpr index_t trace_id_bytes(index_t experts) { return experts <= 0xFF ? 1 : (experts <= 0xFFFF ? 2 : 4); }

struct trace_header {
  std::uint32_t magic = 0x5452524Du;  // "MRRT"
  std::uint16_t version = 1;
  std::uint8_t id_bytes = 1;
  std::uint8_t has_log_prob = 1;
  std::int64_t layers = 0;
  std::int64_t tokens = 0;
  std::int32_t experts = 0;
  std::int32_t k = 0;
  std::int64_t mask_version = 0;  // which guidance mask was in force
  std::int64_t step = 0;          // of the policy that drew it
  std::uint64_t seed = 0;
  std::int64_t origin = 0;  // 0 rollout, 1 replay: do not move a bias from replayed counts

  constexpr offset_t rows() const { return layers * tokens; }
  constexpr offset_t id_count() const { return rows() * k; }
  constexpr offset_t bytes() const {
    return static_cast<offset_t>(sizeof(trace_header)) + log_prob_at() + (has_log_prob != 0 ? 4 * rows() : 0);
  }
  constexpr offset_t log_prob_at() const { return (id_count() * id_bytes + 3) / 4 * 4; }  // behind the header
  status validate() const {
    checks c;
    c.must_be("trace.magic", magic, trace_header{}.magic, errc::bad_value);
    c.must_be("trace.version", version, 1, errc::unsupported).at_least("trace.layers", layers, 0);
    c.at_least("trace.tokens", tokens, 0).at_least("trace.experts", experts, 1).at_least("trace.k", k, 1);
    if (!c.result().ok()) return c.result();
    c.at_most("trace.layers", layers, offset_t{1} << 20).at_most("trace.tokens", tokens, offset_t{1} << 40);
    c.at_most("trace.k", k, experts);
    if (id_bytes != 1 && id_bytes != 2 && id_bytes != 4)
      return {errc::unsupported, "trace.id_bytes (1, 2 or 4)", "must be at most", id_bytes, 4};
    if (id_bytes < trace_id_bytes(experts))
      return {errc::bad_value, "trace.id_bytes for these experts", "must be at least", id_bytes,
              trace_id_bytes(experts)};
    return c.result();
  }
};
static_assert(sizeof(trace_header) == 64 && std::is_trivially_copyable_v<trace_header>);

// ---- another id type, range-checked -----------------------------------------------------------------------------

// Writes ids of another type; `bad` of a row counts its ids outside [0, experts) that are not the sentinel (they
// become the sentinel).
template <class From, class To>
struct convert_ids_row {
  matrix_view<From const> from;
  matrix_view<To> to;
  index_t experts;
  row_view<index_t> bad;  // rows, optional

  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_HD void operator()(lane_group auto const& g, offset_t r, scratch) const {
    std::int64_t wrong = 0;
    for (offset_t j = g.rank(); j < from.cols; j += g.size()) {
      From const id = from[r][j];
      auto const n = static_cast<offset_t>(id);
      bool const none = id == no_expert_of<From>, inside = !none && n >= 0 && n < experts;
      wrong += !none && !inside;
      to[r][j] = inside ? static_cast<To>(id) : no_expert_of<To>;
    }
    wrong = g.sum(wrong);
    if (g.rank() == 0 && !bad.empty()) bad[r] = static_cast<index_t>(wrong);
    g.sync();
  }
};
template <executor X, class From, class To>
status try_convert_ids(X const& x, matrix_view<From> from, matrix_view<To> to, index_t experts,
                       row_view<index_t> bad = {}, workspace w = {}) noexcept {
  checks c;
  c.must_be("to rows", to.rows, from.rows).must_be("to columns", to.cols, from.cols);
  c.strided("from", from).strided("to", to).empty_or("bad size", bad, from.rows);
  auto const most = static_cast<offset_t>(largest<To>) + (std::is_signed_v<To> ? 1 : 0);
  c.at_most("experts for the id type written", experts, most, errc::bad_shape);
  if (!c.result().ok()) return c.result();
  return x.run(from.rows, convert_ids_row<std::remove_const_t<From>, To>{from, to, experts, bad}, w);
}

// ---- the owning record (host) -------------------------------------------------------------------------------------

// All layers of one rollout. Ids come and go as int32 with the sentinel -1; inside they are `header.id_bytes` wide.
class route_trace {
 public:
  route_trace() = default;
  MOEROUTE_ON_DEMAND
  route_trace(index_t experts, index_t k, offset_t layers, offset_t tokens) {
    header_.id_bytes = static_cast<std::uint8_t>(trace_id_bytes(experts));
    header_.experts = experts, header_.k = k, header_.layers = layers, header_.tokens = tokens;
    throw_if_bad(header_.validate());
    ids_.assign(static_cast<std::size_t>(header_.id_count() * header_.id_bytes), std::byte{0xFF});
    log_prob_.assign(static_cast<std::size_t>(header_.rows()), 0.f);
  }
  trace_header const& header() const { return header_; }
  void stamp(std::int64_t mask_version, std::int64_t step, std::uint64_t seed) {
    header_.mask_version = mask_version, header_.step = step, header_.seed = seed;
  }

  // Ids of one layer (tokens x k). An id outside the experts is an error that names its place.
  void record(offset_t layer, matrix_view<index_t const> ids, row_view<float const> log_prob = {}) {
    checks c;
    c.at_least("layer", layer, 0).at_most("layer", layer, header_.layers - 1);
    c.must_be("ids rows", ids.rows, header_.tokens).must_be("ids columns", ids.cols, header_.k);
    c.empty_or("log_prob size", log_prob, header_.tokens);
    throw_if_bad(c.result());
    for (offset_t t = 0; t < ids.rows; ++t)
      for (offset_t j = 0; j < ids.cols; ++j) {
        index_t const id = ids[t][j];
        if (id != no_expert && (id < 0 || id >= header_.experts))
          throw_if_bad({errc::bad_value, "ids: an expert", "must be below", id, header_.experts});
        put((layer * header_.tokens + t) * header_.k + j, id);
      }
    for (offset_t t = 0; t < log_prob.size; ++t) log_prob_[at(layer * header_.tokens + t)] = log_prob[t];
  }
  void read(offset_t layer, matrix_view<index_t> ids) const {
    for (offset_t t = 0; t < header_.tokens; ++t)
      for (offset_t j = 0; j < header_.k; ++j) ids[t][j] = get((layer * header_.tokens + t) * header_.k + j);
  }
  // The ids of a layer as they lie, for a replay selector of that type: sizeof(Id) == header().id_bytes.
  template <std::unsigned_integral Id>
  matrix_view<Id const> layer(offset_t l) const {
    throw_if_bad(checks{}.must_be("bytes of the id type", sizeof(Id), header_.id_bytes).result());
    auto const* const p = reinterpret_cast<Id const*>(ids_.data());
    return {p + l * header_.tokens * header_.k, header_.tokens, header_.k};
  }
  row_view<float const> log_prob(offset_t l) const { return {log_prob_.data() + l * header_.tokens, header_.tokens}; }

  MOEROUTE_ON_DEMAND
  std::vector<std::byte> to_bytes() const {
    std::vector<std::byte> out(static_cast<std::size_t>(header_.bytes()), std::byte{0});
    copy(out.data(), reinterpret_cast<std::byte const*>(&header_), sizeof header_);
    std::byte* const body = out.data() + sizeof header_;
    copy(body, ids_.data(), ids_.size());
    if (header_.has_log_prob != 0)
      copy(body + header_.log_prob_at(), reinterpret_cast<std::byte const*>(log_prob_.data()), 4 * log_prob_.size());
    return out;
  }
  // Reads and checks everything: sizes against the header, every id against the experts.
  MOEROUTE_ON_DEMAND
  status from_bytes(row_view<std::byte const> bytes) {
    trace_header h;
    auto const least_bytes = static_cast<offset_t>(sizeof h);
    if (bytes.size < least_bytes) return {errc::too_small, "trace bytes", "must be at least", bytes.size, least_bytes};
    copy(reinterpret_cast<std::byte*>(&h), bytes.data, sizeof h);
    if (status const s = h.validate(); !s.ok()) return s;
    if (bytes.size != h.bytes()) return {errc::bad_shape, "trace bytes", "must be", bytes.size, h.bytes()};
    route_trace t;
    t.header_ = h;
    std::byte const* const body = bytes.data + sizeof h;
    t.ids_.assign(body, body + h.id_count() * h.id_bytes);
    t.log_prob_.assign(static_cast<std::size_t>(h.rows()), 0.f);
    if (h.has_log_prob != 0)
      copy(reinterpret_cast<std::byte*>(t.log_prob_.data()), body + h.log_prob_at(), 4 * t.log_prob_.size());
    for (offset_t i = 0; i < h.id_count(); ++i)
      if (index_t const id = t.get(i); id != no_expert && (id < 0 || id >= h.experts))
        return {errc::bad_value, "trace: an expert", "must be below", id, h.experts};
    *this = static_cast<route_trace&&>(t);
    return {};
  }

 private:
  static std::size_t at(offset_t i) { return static_cast<std::size_t>(i); }
  static void copy(std::byte* to, std::byte const* from, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) to[i] = from[i];
  }
  void put(offset_t i, index_t id) {
    auto const u = static_cast<std::uint32_t>(id);  // -1: all ones in every width
    for (index_t b = 0; b < header_.id_bytes; ++b)
      ids_[at(i * header_.id_bytes + b)] = static_cast<std::byte>(u >> (8 * b) & 0xFFu);
  }
  index_t get(offset_t i) const {
    std::uint32_t u = 0;
    for (index_t b = 0; b < header_.id_bytes; ++b)
      u |= static_cast<std::uint32_t>(ids_[at(i * header_.id_bytes + b)]) << (8 * b);
    std::uint32_t const none = header_.id_bytes == 4 ? ~0u : (1u << (8 * header_.id_bytes)) - 1;
    return u == none ? no_expert : static_cast<index_t>(u);
  }

  trace_header header_{};
  std::vector<std::byte> ids_;
  std::vector<float> log_prob_;
};

// Forward passes record in order, backward passes (or recomputation) take the records back in the same order: what
// pipeline schedules need when several micro-batches are under way.
class replay_queue {
 public:
  MOEROUTE_ON_DEMAND
  void push(route_trace t) { waiting_.push_back(static_cast<route_trace&&>(t)); }
  bool empty() const { return taken_ == waiting_.size(); }
  offset_t size() const { return static_cast<offset_t>(waiting_.size() - taken_); }
  // The oldest record that was not taken yet.
  MOEROUTE_ON_DEMAND
  route_trace pop() {
    throw_if_bad(checks{}.at_least("replay_queue: records waiting", size(), 1).result());
    route_trace t = static_cast<route_trace&&>(waiting_[taken_++]);
    if (taken_ == waiting_.size()) waiting_.clear(), taken_ = 0;
    return t;
  }

 private:
  std::vector<route_trace> waiting_;
  std::size_t taken_ = 0;
};

}  // namespace moeroute::inline MOEROUTE_ABI
