#include "jobs/run/corpus_run.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "core/crc32c.h"
#include "core/error.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/stop.h"
#include "core/thread_pool.h"
#include "jobs/run/first_pass.h"
#include "jobs/run/report.h"
#include "jobs/run/while_alive.h"
#include "jobs/texts/text_writer.h"
#include "output/utf8.h"

namespace riverrun::jobs {

namespace {
constexpr const char* kSpoolSuffix = ".tokens";
}  // namespace

CorpusRun::CorpusRun(const CorpusJob& job, const Prepared& prepared, const Writing* writing, transport::Transport& transport)
    : job_(job), prepared_(prepared), model_(prepared.model), writing_(writing), transport_(transport),
      timeout_(prepared.machine.timeout), request_(job.request), folder_(job.options.output) {}

int CorpusRun::run() {
  if (leads()) while_alive(transport_, [this] { prepare(); });
  // A hierarchy of summaries reads those of one level as the documents of the next; other jobs have one level.
  do {
    share();
    compute();
    if (statistics_.stopped) return stop();
    ++level_;
  } while (next_level());
  if (leads()) {
    while_alive(transport_, [this] {
      results_->finish();
      checkpoints_.reset();
      folder_.remove_all();
    });
  }
  return finish();
}

// Rank 0: reads the input and makes the output file, so that every shape is known before anything is computed.
void CorpusRun::prepare() {
  ScratchFile::remove_left_behind(job_.options.output, kSpoolSuffix);  // this run holds the lock
  spool_file_ = std::make_unique<ScratchFile>(job_.options.output, kSpoolSuffix);
  std::unique_ptr<text::Tokenizer> tokenizer;
  if (job_.passages > 0) tokenizer = open_tokenizer(job_.options.model, job_.options.tokenizer, model_.config().vocab);
  FirstPass pass = read_input({job_.options.model, job_.options.input, job_.options.tokenizer, spool_file_->path(),
                               writing_ ? "none" : job_.options.start_token, job_.options.end_token, job_.auto_start_token, job_.auto_end_token,
                               job_.options.keep_invalid_utf8, model_.config().vocab, prepared_.machine.threads,
                               writing_ ? &writing_->tokenizer() : tokenizer.get(), job_.options.shard});
  // The largest document was in memory for a moment: give that back, or the run would carry it to its end.
  malloc_trim(0);
  corpus_ = std::move(pass.corpus);
  log_info(counted(std::ssize(corpus_.documents), "document"), ", ", short_number(double(corpus_.tokens)), " tokens");
  request_.start_tokens = pass.start_token >= 0 ? 1 : 0;
  Index longest = 0;
  const Shard& shard = job_.options.shard;
  for (const auto& document : corpus_.documents) longest = std::max(longest, document.length);
  if (shard.count > 1) longest = 0;  // no shard knows the longest document of all, and they must choose alike
  list_ = {spool_file_->path(), corpus_.tokens, request_.start_tokens, choose_block_tokens(job_.options.block_tokens, longest, model_.device().kind()), {}, {}, {}, {}, {}};

  auto attributes = prepared_.record.attributes(job_, model_);
  attributes.push_back({"tokenizer", pass.tokenizer});
  attributes.push_back({"start_token", Index{writing_ ? writing_->start_token() : pass.start_token}});
  attributes.push_back({"end_token", Index{pass.end_token}});
  attributes.push_back({"block_tokens", list_.block_tokens});
  if (shard.count > 1) attributes.insert(attributes.end(), {{"shard", shard.number}, {"shards", shard.count}});
  const text::TokenSpool spool(list_.spool_path, list_.spool_tokens);
  attributes.push_back({"input_crc32c", Index{crc32c(std::as_bytes(spool.ids(0, list_.spool_tokens)))}});
  if (job_.passages > 0) {
    passages_ = std::make_unique<Passages>(job_.passages, request_.window, request_.start_tokens, corpus_, list_.spool_path, *tokenizer, model_.config().vocab);
  }
  const bool goes_on = job_.options.resume && std::filesystem::exists(job_.options.output);
  results_ = std::make_unique<ResultFile>(job_, request_, model_, corpus_, attributes, writing_, passages_.get());
  // What an older output of that name has left goes when this one has taken its place.
  if (!goes_on) folder_.remove_all();
  list_documents();
  if (writing_ && writing_->mode() == WritingMode::hierarchical) hierarchy_ = std::make_unique<Hierarchy>(*writing_);
  find_checkpoints();
}

void CorpusRun::list_documents() {
  for (std::size_t d = 0; d < corpus_.documents.size(); ++d) {
    const text::DocumentInfo& document = corpus_.documents[d];
    const Index length = results_->is_settled(Index(d)) ? 0 : document.length;
    list_.first.push_back(document.first);
    list_.length.push_back(writing_ ? writing_->sequence_tokens(length) : length);
    if (writing_) list_.key.push_back(generate::document_key(document.id));
  }
}

void CorpusRun::find_checkpoints() {
  const std::string identity = checkpoint_identity(output::Reader(results_->path()));
  const auto describe = [this](Index d) { return CheckpointFolder::Document{d, corpus_.documents[d].id, list_.length[d]}; };
  checkpoints_ = std::make_unique<Checkpoints>(results_->path(), identity, describe);
  list_.begin.assign(list_.length.size(), 0);
  list_.begin_crc.assign(list_.length.size(), 0);
  Index found = 0, tokens = 0;
  for (const Index d : folder_.documents()) {
    if (d >= std::ssize(list_.length) || list_.length[d] == 0) continue;
    const auto [begin, crc] = folder_.find(describe(d), identity);
    if (begin == 0) continue;
    list_.begin[d] = begin, list_.begin_crc[d] = crc;
    results_->go_on(d, begin);
    if (hierarchy_) hierarchy_->go_on(d, results_->texts_before(d));
    checkpoints_->resumed(d, begin);
    ++found, tokens += begin;
  }
  if (found > 0) log_info(counted(found, "document"), found == 1 ? " goes" : " go", " on from checkpoints, ", short_number(double(tokens)), " tokens in");
}

// Rank 0 makes the next level's documents, if there are any; the others learn of it.
bool CorpusRun::next_level() {
  if (!writing_ || writing_->mode() != WritingMode::hierarchical) return false;
  std::vector<std::byte> more(1);
  if (leads()) {
    while_alive(transport_, [&] {
      spool_file_ = std::make_unique<ScratchFile>(job_.options.output, kSpoolSuffix);
      more[0] = std::byte(hierarchy_->next_level(spool_file_->path(), list_, [this](Index document, const std::string& why) {
        results_->give_up(document, why);
        keep_up(document);
      }));
    });
  }
  transport_.broadcast(more, "the next level of summaries", timeout_);
  // What the document itself gives, it has given.
  request_ = {};
  list_.begin.clear(), list_.begin_crc.clear();
  return more[0] != std::byte{0};
}

void CorpusRun::share() {
  std::vector<std::byte> bytes;
  if (leads()) bytes = pack(list_);
  transport_.broadcast(bytes, "the first pass over the input", timeout_);
  if (!leads()) list_ = unpack_work_list(bytes);
  request_.start_tokens = list_.start_tokens;
  try {
    spool_ = std::make_unique<text::TokenSpool>(list_.spool_path, list_.spool_tokens);
  } catch (const InputError& error) {
    throw InputError(concat(error.what(), "; rank 0 keeps the token ids there, so --output must be in a directory that all nodes share"));
  }
  // On one node the name can go as soon as every rank has the file open: whatever ends this job, nothing stays. Over
  // NFS that would take the file from the other nodes, so there it goes at the end.
  char host[256] = {};
  RR_CHECK(::gethostname(host, sizeof host - 1) == 0, with_errno("no host name"));
  const auto name = std::as_bytes(std::span(host, std::strlen(host)));
  const auto hosts = transport_.gather({name.begin(), name.end()}, "every rank to open the token spool", timeout_);
  if (leads() && std::all_of(hosts.begin(), hosts.end(), [&](const auto& other) { return other == hosts[0]; })) spool_file_->remove();
}

void CorpusRun::compute() {
  plan::Options options = plan_options(transport_.size(), list_.block_tokens, model_, request_.states || writing_);
  if (writing_) options.sections = writing_->cuts();
  const plan::Plan plan = plan::make_plan(list_.length, options, list_.begin);
  std::vector<std::byte> carries(sizeof(Index));
  if (leads()) {
    while_alive(transport_, [&] {
      const Index count = carries_for(plan, model_, request_);
      std::memcpy(carries.data(), &count, sizeof count);
    });
  }
  transport_.broadcast(carries, "rank 0 to check the plan", timeout_);
  transport_.barrier("every rank to be ready", timeout_);
  Trace trace(transport_.rank(), Trace::Clock::now());
  std::unique_ptr<Progress> progress;
  if (leads()) progress = std::make_unique<Progress>(prepared_.machine.progress, plan.tokens);
  ThreadPool pool(prepared_.machine.threads);
  const OwnStream stream(*prepared_.kernels.device, pool);
  SectionedTokens sectioned;
  const auto tokens = [&](Index document, Index first, Index count) {
    const auto own = [&](Index from, Index size) { return spool_->ids(list_.first[document] + from, size); };
    return writing_ ? sectioned.range(*writing_, first, count, own) : own(first, count);
  };
  const auto on_result = [&](ring::SliceResult result, double efficiency) {
    take(std::move(result));
    progress->update(results_->tokens_done(), results_->documents_done(), efficiency);
  };
  ring::Job ring_job{plan, model_, prepared_.kernels, request_, tokens, timeout_, on_result, job_.options.trace.empty() ? nullptr : &trace};
  ring_job.checkpoints = ring_checkpoints();
  ring_job.verify = job_.options.verify;
  std::memcpy(&ring_job.carries_in_flight, carries.data(), sizeof(Index));
  std::unique_ptr<TextWriter> writer;
  if (writing_) {
    writer = std::make_unique<TextWriter>(*writing_, WritingDocuments{list_.key, list_.length, level_}, model_, transport_.size(), stream);
    ring_job.start = writing_->start();
    ring_job.fork = writer.get();
  }
  statistics_ += ring::run(ring_job, transport_, stream);
  if (level_ == 0) plan_ = plan;
  progress.reset();
  gather_trace(trace);
}

ring::Checkpoints CorpusRun::ring_checkpoints() {
  ring::Checkpoints checkpoints;
  if (level_ > 0) return checkpoints;
  checkpoints.interval = std::chrono::duration_cast<transport::Clock::duration>(std::chrono::duration<double>(job_.options.checkpoint_seconds));
  checkpoints.restart = [this](Index document, Index next_token) {
    return folder_.read(document, {next_token, list_.begin_crc.at(document)});
  };
  if (leads()) checkpoints.on_copy = [this](ring::CarryCopy copy) { checkpoints_->take(std::move(copy)); };
  return checkpoints;
}

// Rank 0: what the document has come to.
void CorpusRun::keep_up(Index document) {
  if (results_->is_complete(document)) {
    if (checkpoints_->has(document)) results_->commit();
    checkpoints_->drop(document);
  } else if (results_->is_spoiled(document)) {
    checkpoints_->close(document);
  } else if (const Index token = results_->written_up_to(document); token > 0) {
    checkpoints_->reached(document, token);
  }
}

// Rank 0.
void CorpusRun::take(ring::SliceResult result) {
  if (!result.written) {
    const Index document = result.document;
    if (level_ > 0) return;
    const auto write = [&] { results_->take(std::move(result)); };
    if (passages_) while_alive(transport_, write);  // chooses those of a document that is complete, which may have millions of windows
    else write();
    keep_up(document);
    return;
  }
  const ring::WrittenText& written = *result.written;
  const bool summary = writing_->is_summary(list_.length[result.document], written.section);
  // As the file holds it, so that it is the same when another run goes on from there.
  if (hierarchy_ && !summary) hierarchy_->take(result.document, written.section, output::valid_utf8(written.text));
  if (level_ == 0 || summary) results_->take_text(result.document, summary, written);
  else if (!result.finite) results_->spoil(result.document);
  keep_up(result.document);
}

void CorpusRun::gather_trace(const Trace& trace) {
  if (job_.options.trace.empty()) return;
  const std::string json = trace.json();
  const auto bytes = std::as_bytes(std::span(json));
  std::vector<std::string> parts;
  for (const auto& part : transport_.gather({bytes.begin(), bytes.end()}, "the timeline of every rank", timeout_)) {
    parts.emplace_back(reinterpret_cast<const char*>(part.data()), part.size());
  }
  if (leads()) while_alive(transport_, [&] { write_trace(job_.options.trace, parts); });
}

int CorpusRun::finish() {
  // Where every rank's time went.
  const auto bytes = std::as_bytes(std::span(&statistics_, 1));
  const auto all = transport_.gather({bytes.begin(), bytes.end()}, "every rank's statistics", timeout_);
  std::vector<std::byte> code(1);
  if (leads()) {
    std::vector<ring::Statistics> statistics(all.size());
    for (std::size_t rank = 0; rank < all.size(); ++rank) std::memcpy(&statistics[rank], all[rank].data(), sizeof(ring::Statistics));
    report_run(*results_, plan_, model_, statistics);
    code[0] = std::byte(results_->failed() > 0 ? static_cast<int>(ExitCode::some_documents_failed) : 0);
  }
  transport_.broadcast(code, "the end of the job", timeout_);
  return static_cast<int>(code[0]);
}

// All results and carries are in: brings them to the disk.
int CorpusRun::stop() {
  if (leads()) {
    while_alive(transport_, [this] {
      results_->commit();
      checkpoints_->flush();
    });
    tell_stopped();
  }
  transport_.barrier("rank 0 to bring everything to the disk", timeout_);
  return static_cast<int>(ExitCode::stopped);
}

void CorpusRun::tell_stopped() const {
  const char* const signal = stop_signal_name();
  log_info("stopped ", signal ? concat("on signal ", signal) : "as another rank was told to", ": ", counted(results_->documents_done(), "document"), " done by this run, ",
           checkpoints_->documents().size(), " can go on inside; start the same command with --resume in place of --overwrite, on any number of ranks");
}

}  // namespace riverrun::jobs
