// riverrun bench tokenizer: how fast one core reads text and turns it into token ids.

#include "core/error.h"
#include "jobs/bench/bench.h"
#include "text/reader.h"
#include "text/tokenizer.h"

namespace riverrun::jobs {

namespace {

std::vector<text::Document> read_all(const std::string& input) {
  const auto reader = text::open_reader(input, {});
  std::vector<text::Document> documents;
  for (text::Document next; reader->next(next);) documents.push_back(std::move(next));
  return documents;
}

}  // namespace

BenchRows bench_tokenizer(const BenchOptions& options) {
  RR_CHECK_INPUT(!options.tokenizer.empty() && !options.input.empty(),
                 "bench tokenizer needs --tokenizer (a vocabulary) and --input (what to tokenise)");
  const auto tokenizer = text::load_tokenizer(options.tokenizer);
  std::vector<text::Document> documents;
  const auto reading = time_rounds(options.rounds, [&] { documents = read_all(options.input); });
  double bytes = 0;
  for (const auto& document : documents) {
    RR_CHECK_INPUT(document.error.empty(), document.error);
    bytes += double(document.text.size());
  }
  RR_CHECK_INPUT(bytes > 0, options.input, " holds no text to tokenise");
  std::vector<TokenId> ids;
  const auto encoding = time_rounds(options.rounds, [&] {
    ids.clear();
    for (const auto& document : documents) tokenizer->encode(document.text, ids);
  });
  BenchRows rows = BenchRows::array();
  rows.push_back({{"tokenizer", tokenizer->name()},
                  {"input", options.input},
                  {"documents", documents.size()},
                  {"MB", bytes / 1e6},
                  {"tokens", ids.size()},
                  {"bytes/token", bytes / double(ids.size())},
                  {"MB/s", bytes / encoding.front() / 1e6},
                  {"median", bytes / median(encoding) / 1e6},
                  {"MB/s of reading", bytes / reading.front() / 1e6}});
  return rows;
}

}  // namespace riverrun::jobs
