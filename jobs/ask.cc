// riverrun ask: answers from states that another job kept, without reading the documents again.

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>
#include <thread>

#include "core/error.h"
#include "core/log.h"
#include "core/stop.h"
#include "core/thread_pool.h"
#include "jobs/commands.h"
#include "jobs/run/file_checksum.h"
#include "jobs/run/machine.h"
#include "jobs/run/node_model.h"
#include "jobs/run/run_lock.h"
#include "jobs/run/run_record.h"
#include "jobs/run/while_alive.h"
#include "jobs/texts/answers.h"
#include "jobs/texts/questions.h"
#include "jobs/texts/text_options.h"
#include "kernels/table.h"
#include "transport/transport.h"

namespace riverrun::jobs {

namespace {

using transport::Transport;

constexpr Index kMostSlots = 64;  // answers written at once, per rank
constexpr Index kMostStateBytes = Index{1} << 30;

// The part of the prompt with the question in its place.
std::vector<TokenId> prompt_of(const TextRules& rules, const std::string& question) {
  const std::string place = "{question}";
  std::string prompt = rules.prompts().question;
  const std::size_t at = prompt.find(place);
  RR_CHECK_INPUT(at != std::string::npos, "the prompt's part [question] has no {question} in it");
  std::vector<TokenId> ids;
  rules.tokenizer().encode(prompt.replace(at, place.size(), question), ids);
  return ids;
}

// What all ranks know. The first three must outlive it.
struct Asking {
  Asking(const CorpusJob& job, const Machine& machine, const RunRecord& record, const model::Model& model, const std::vector<std::string>& questions);

  const Machine& machine;
  const RunRecord& record;
  const model::Model& model;
  CorpusJob job;  // its attributes completed
  TextRules rules;
  KeptStates states;
  std::vector<std::string> questions, ids;
  std::vector<std::vector<TokenId>> prompts;  // of the questions
  std::vector<Asked> rows;
};

// One rank's share of the rows.
class AskRun {
 public:
  AskRun(const Asking& asking, Transport& transport)
      : asking_(asking), transport_(transport), pool_(asking.machine.threads), stream_(asking.model.device(), pool_),
        decoder_(asking.model, asking.rules.settings(), asking.rules.token_bytes(),
                 std::clamp<Index>(kMostStateBytes / asking.model.state_shape().bytes(), 1, kMostSlots), stream_) {}

  int run() {
    if (transport_.rank() == 0) open_answers();
    transport_.barrier("every rank to be ready", asking_.machine.timeout);
    const Index all = std::ssize(asking_.rows), ranks = transport_.size(), rank = transport_.rank();
    const Index end = all * (rank + 1) / ranks;
    for (Index next = all * rank / ranks; next < end || decoder_.waiting() + decoder_.writing() > 0;) {
      while (next < end && decoder_.waiting() + decoder_.writing() < decoder_.slots()) add(next++);
      step();
    }
    if (rank == 0) wait([&] { take(); return taken_ == all; }, "the other ranks' answers");
    else wait([&] { return transport_.results_in_flight() == 0; }, "rank 0 to take the last answers");
    std::vector<std::byte> code(1);
    if (rank == 0) {
      while_alive(transport_, [&] {
        if (answers_->finish() > 0) code[0] = std::byte(ExitCode::some_documents_failed);
      });
    }
    transport_.broadcast(code, "the end of the job", asking_.machine.timeout);
    return static_cast<int>(code[0]);
  }

 private:
  void open_answers() {
    for (; !asking_.record.ready(); std::this_thread::sleep_for(std::chrono::milliseconds(2))) {
      transport_.note_step();
      transport_.progress();
    }
    asking_.states.check_model(asking_.record.model_sha256());
    const CorpusJobOptions& options = asking_.job.options;
    answers_ = std::make_unique<Answers>(asking_.states, asking_.questions, asking_.rows, asking_.rules,
                                         AnswerFile{options.output, options.overwrite, asking_.record.attributes(asking_.job, asking_.model)});
  }

  void add(Index row) {
    const auto [document, question] = asking_.rows[row];
    // The same text for a question whatever others are asked beside it.
    const std::uint64_t key = generate::document_key(asking_.ids[document] + '\0' + asking_.questions[question]);
    decoder_.add({row, asking_.states.read(document), asking_.prompts[question], generate::Draws(asking_.rules.settings().seed, key, 0)});
  }

  void step() {
    decoder_.step(finished_);
    for (generate::Text& text : finished_) {
      ring::SliceResult result;
      result.finite = text.finite;
      result.written = {text.number, std::move(text.tokens), asking_.rules.clean(text.text), text.reason};
      transport_.post_result(pack(result));
    }
    finished_.clear();
    transport_.note_step();
    transport_.progress();
    take();
  }

  void take() {
    if (!answers_) return;
    for (auto bytes = transport_.take_result(); !bytes.empty(); bytes = transport_.take_result()) {
      const ring::SliceResult result = ring::unpack(bytes);
      RR_CHECK(result.written, "an answer without a text");
      answers_->take(result.written->section, *result.written);
      ++taken_;
    }
  }

  template <class Condition>
  void wait(Condition condition, const char* what) {
    transport::wait_until(transport_, condition, asking_.machine.timeout, [&] { return std::string(what); });
  }

  const Asking& asking_;
  Transport& transport_;
  ThreadPool pool_;
  OwnStream stream_;
  generate::Decoder decoder_;
  std::unique_ptr<Answers> answers_;  // rank 0
  std::vector<generate::Text> finished_;
  Index taken_ = 0;
};

// All questions about one document stand together, so that its state is read from the disk once.
std::vector<Asked> make_rows(const output::Reader& file, Index questions) {
  std::vector<Asked> rows;
  const auto status = file.status();
  for (Index d = 0; d < std::ssize(status); ++d) {
    if (status[d] != output::Status::done) continue;
    for (Index q = 0; q < questions; ++q) rows.push_back({d, q});
  }
  RR_CHECK_INPUT(!rows.empty(), file.path(), ": no document in it is done, so there is no state to ask");
  return rows;
}

Asking::Asking(const CorpusJob& given, const Machine& its_machine, const RunRecord& its_record, const model::Model& its_model,
               const std::vector<std::string>& its_questions)
    : machine(its_machine), record(its_record), model(its_model), job(given),
      rules(*job.writing, job.options.model, job.options.tokenizer, model.config().vocab), states(job.options.input, model),
      questions(its_questions), ids(states.file().ids()), rows(make_rows(states.file(), std::ssize(questions))) {
  rules.record(job.attributes);
  job.attributes.push_back({"prompt_question", rules.prompts().question});
  job.attributes.push_back({"states_path", std::filesystem::absolute(job.options.input).string()});
  for (const std::string& question : questions) prompts.push_back(prompt_of(rules, question));
}

int ask(const CorpusJob& job, const std::vector<std::string>& questions, int argc, const char* const* argv) {
  exit_on_stop_signals();  // what is not answered is asked again: reading the documents was the work
  const Machine machine = prepare_machine(job.options);
  check_paths(job.options);
  const RunRecord record(job.options, argc, argv);
  const auto& kernels = open_backend(job.options.backend, machine.transport);
  ThreadPool pool(machine.threads);
  const OwnStream stream(*kernels.device, pool);
  std::unique_ptr<const Asking> asking;
  const auto load = [&](WeightStorage& storage) {
    return model::load_model(job.options.model, kernels, stream, {job.options.precision, true, "", job.options.weights, &storage});
  };
  const auto settle = [&](const model::Model& model) { asking = std::make_unique<Asking>(job, machine, record, model, questions); };
  const auto checksum = [&] { return checksum_of_files(weight_files(job.options), pool); };
  NodeModelArgs node{parse_share_weights(job.options.share_weights), kernels.device->kind(), "", load, checksum, settle, machine.timeout};
  std::unique_ptr<model::Model> model;
  std::optional<RunLock> lock;  // in the process of rank 0, when there is an output
  const auto take_lock = [&] {
    if (!job.options.output.empty()) lock.emplace(job.options.output);
  };
  const bool processes = runs_processes(machine.transport);  // as in corpus_job.cc
  if (processes) {
    node.identity = identity_of(job.options);
  } else {
    take_lock();
    model = load(private_weights());
    settle(*model);
  }
  return transport::run_ranks(machine.transport, {.ranks = static_cast<int>(job.options.ranks), .timeout = machine.timeout, .device = kernels.device},
                              [&](Transport& transport) {
                                if (processes) {
                                  if (transport.rank() == 0) while_alive(transport, take_lock);
                                  model = load_node_model(node, transport);
                                }
                                return AskRun(*asking, transport).run();
                              });
}

}  // namespace

int run_ask(int argc, const char* const* argv) {
  namespace po = boost::program_options;
  CorpusJob job;
  job.name = "ask";
  WritingOptions& texts = job.writing.emplace();
  std::vector<std::string> given;
  std::string questions_file;
  Index seed = 0;
  po::options_description own("Asking", 100);
  own.add_options()
      ("model,m", po::value(&job.options.model)->value_name("FILE")->required(), "weights: the model that the states are of")
      ("states", po::value(&job.options.input)->value_name("FILE")->required(), "the output of a job that ran with --save-states")
      ("question", po::value(&given)->composing()->value_name("TEXT"), "to be asked of every document; may be given several times")
      ("questions", po::value(&questions_file)->value_name("FILE"), R"(JSON Lines: {"question": "..."})")
      ("output,o", po::value(&job.options.output)->value_name("FILE"), "an HDF5 file for the answers; without it they are printed only")
      ("overwrite", po::bool_switch(&job.options.overwrite), "replace an existing output")
      ("tokenizer", po::value(&job.options.tokenizer)->value_name("FILE"), "vocabulary; default: the one found beside the model");
  own.add(describe_texts(texts, seed)).add(describe_run(job.options));
  if (!parse(argc, argv, "riverrun ask\nanswers from the states of documents, without reading them again", own)) return 0;
  settle_texts(texts, seed);
  return ask(job, read_questions(given, questions_file), argc, argv);
}

}  // namespace riverrun::jobs
