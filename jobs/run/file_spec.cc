#include "jobs/run/file_spec.h"

#include <algorithm>

#include "model/model.h"

namespace riverrun::jobs {

namespace {

// The document's own tokens: what is scored and pooled.
Index own_tokens(const text::DocumentInfo& document, const ring::Request& request) {
  return document.length == 0 ? 0 : document.length - request.start_tokens;
}

}  // namespace

Index count_windows(Index tokens, Index window) { return window > 0 ? (tokens + window - 1) / window : 0; }

output::FileSpec make_file_spec(const std::string& job, const ring::Request& request, bool embedding_f16,
                                const model::Config& config, const text::Corpus& corpus, const Writing* writing) {
  output::FileSpec spec;
  spec.job = job;
  if (request.window > 0) spec.windows.emplace();
  if (writing && writing->summarises()) spec.summaries = writing->room();
  if (writing && writing->mode() != WritingMode::final) spec.sections = output::SectionsSpec{{}, {}, {}, writing->room()};
  for (std::size_t d = 0; d < corpus.documents.size(); ++d) {
    const text::DocumentInfo& document = corpus.documents[d];
    const Index tokens = own_tokens(document, request);
    spec.ids.push_back(document.id);
    spec.tokens.push_back(tokens);
    spec.bytes.push_back(document.bytes);
    for (Index w = 0; w < count_windows(tokens, request.window); ++w) {
      spec.windows->document.push_back(static_cast<Index>(d));
      spec.windows->first_token.push_back(w * request.window);
      spec.windows->tokens.push_back(std::min(request.window, tokens - w * request.window));
    }
    for (Index s = 0; writing && s < writing->count_section_texts(tokens); ++s) {
      const Index first = s * writing->reading().tokens;
      spec.sections->document.push_back(static_cast<Index>(d));
      spec.sections->first_token.push_back(first);
      spec.sections->tokens.push_back(std::min(writing->reading().tokens, tokens - first));
    }
  }
  if (request.embedding) spec.embedding_width = config.channels;
  spec.embedding_f16 = embedding_f16;
  spec.scores = request.scores;
  if (request.states) {
    const model::StateShape state = model::state_shape(config);
    const Index N = config.head_size;
    const bool square = state.part_floats == N * N;  // a matrix per head; else a few numbers per channel
    spec.states = output::StatesSpec{config.layers, square ? std::vector{state.parts, N, N} : std::vector{state.parts, state.part_floats},
                                     config.layers, config.channels};
  }
  return spec;
}

}  // namespace riverrun::jobs
