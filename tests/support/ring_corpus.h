// A corpus of token ids through the ring on rank-threads, and its results put together per document.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/thread_pool.h"
#include "plan/plan.h"
#include "ring/ring.h"
#include "tests/support/small_model.h"
#include "transport/transport.h"

namespace riverrun::test {

using Corpus = std::vector<std::vector<TokenId>>;

inline Corpus random_corpus(const std::vector<Index>& lengths) {
  Corpus corpus;
  for (const Index length : lengths) corpus.push_back(random_tokens(length, static_cast<unsigned>(corpus.size()) + 1));
  return corpus;
}

inline ring::Request everything(ring::Pool pool = ring::Pool::mean) {
  ring::Request request;
  request.embedding = request.scores = request.states = true;
  request.window = 48;
  request.pool = pool;
  return request;
}

struct DocumentResult {
  std::vector<float> scores, windows, embedding, state;
  Index tokens = 0;
  std::map<Index, ring::WrittenText> written;  // by section
};

struct RingRun {
  int ranks = 1, threads = 1;
  Index block_tokens = 64;
  ring::Request request;
  double timeout_seconds = 60;
  plan::Sections sections = {};
  const model::State* start = nullptr;
  std::function<std::unique_ptr<ring::Fork>()> make_fork = {};  // one per rank
  ring::Checkpoints checkpoints = {};
  std::vector<Index> begins = {};  // where documents go on
  Index verify = 0;
  std::function<void(Index first, transport::Transport&)> before_tokens = {};  // called by the rank that is about to read them
};

// Bits, not values: NaN is equal to itself, and 0 is not -0.
inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}
inline bool same_bits(const DocumentResult& a, const DocumentResult& b) {
  return same_bits(a.scores, b.scores) && same_bits(a.windows, b.windows) && same_bits(a.embedding, b.embedding) &&
         same_bits(a.state, b.state) && a.tokens == b.tokens && a.written == b.written;
}

inline void expect_same_bits(const std::vector<DocumentResult>& found, const std::vector<DocumentResult>& expected, const std::string& what) {
  ASSERT_EQ(found.size(), expected.size()) << what;
  for (std::size_t d = 0; d < found.size(); ++d) EXPECT_TRUE(same_bits(found[d], expected[d])) << what << ", document " << d;
}

class ResultCollector {
 public:
  ResultCollector(std::size_t documents, Index channels) : results_(documents), channels_(channels) {}

  void take(const ring::SliceResult& slice) {
    DocumentResult& document = results_.at(slice.document);
    document.tokens += slice.tokens;
    if (slice.written) {
      EXPECT_TRUE(document.written.emplace(slice.written->section, *slice.written).second) << "section " << slice.written->section;
      return;
    }
    place(document.scores, slice.first_score, slice.scores);
    place(document.windows, slice.first_window * channels_, slice.windows);
    if (slice.last) document.embedding = slice.embedding, document.state = slice.state;
  }
  std::vector<DocumentResult> results() const { return results_; }

 private:
  static void place(std::vector<float>& all, Index first, const std::vector<float>& part) {
    if (part.empty()) return;
    if (static_cast<Index>(all.size()) < first + static_cast<Index>(part.size())) {
      all.resize(first + part.size(), -777.0f);  // a gap that nobody fills shows
    }
    std::copy(part.begin(), part.end(), all.begin() + first);
  }
  std::vector<DocumentResult> results_;
  Index channels_;
};

inline plan::Plan plan_corpus(const Corpus& corpus, const model::Model& model, int ranks, Index block_tokens,
                              plan::Sections sections = {}, const std::vector<Index>& begins = {}) {
  std::vector<Index> lengths;
  for (const auto& document : corpus) lengths.push_back(static_cast<Index>(document.size()));
  plan::Options options;
  options.ranks = ranks;
  options.block_tokens = block_tokens;
  options.cost.layers = model.config().layers;
  options.sections = sections;
  return plan::make_plan(lengths, options, begins);
}

// This rank's part; rank 0's collector gets the results.
inline void run_rank(const Corpus& corpus, const plan::Plan& plan, const model::Model& model, const kernels::KernelTable& kernels,
                     const RingRun& run, transport::Transport& transport, ResultCollector& collector) {
  ThreadPool pool(run.threads);
  const auto tokens = [&](Index document, Index first, Index count) {
    if (run.before_tokens) run.before_tokens(first, transport);
    return std::span<const TokenId>(corpus[document]).subspan(first, count);
  };
  const auto fork = run.make_fork ? run.make_fork() : nullptr;
  const auto timeout = std::chrono::duration_cast<transport::Clock::duration>(std::chrono::duration<double>(run.timeout_seconds));
  ring::Job job{plan, model, kernels, run.request, tokens, timeout, [&](ring::SliceResult slice, double) { collector.take(slice); },
                nullptr, run.start, fork.get(), run.checkpoints};
  job.verify = run.verify;
  const OwnStream stream(*kernels.device, pool);
  ring::run(job, transport, stream);
}

inline std::vector<DocumentResult> run_corpus(const Corpus& corpus, const model::Model& model, const kernels::KernelTable& kernels,
                                              const RingRun& run) {
  const plan::Plan plan = plan_corpus(corpus, model, run.ranks, run.block_tokens, run.sections, run.begins);
  ResultCollector collector(corpus.size(), model.config().channels);
  transport::run_ranks(run.ranks > 1 ? "threads" : "self", {run.ranks}, [&](transport::Transport& transport) {
    run_rank(corpus, plan, model, kernels, run, transport, collector);
    return 0;
  });
  return collector.results();
}

}  // namespace riverrun::test
