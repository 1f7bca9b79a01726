// riverrun ask: answers from states that another job kept, without reading the documents again.

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>

#include "core/error.h"
#include "core/thread_pool.h"
#include "jobs/commands.h"
#include "jobs/run/on_ranks.h"
#include "jobs/run/while_alive.h"
#include "jobs/texts/answers.h"
#include "jobs/texts/questions.h"
#include "jobs/texts/text_options.h"

namespace riverrun::jobs {

namespace {

using transport::Transport;

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

// What all ranks know.
struct Asking {
  Asking(const CorpusJob& job, const Prepared& prepared, const std::vector<std::string>& questions);

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
                 texts_at_once(asking.model.state_shape()), stream_) {}

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
    answers_ = std::make_unique<Answers>(asking_.states, asking_.questions, asking_.rows, asking_.rules, asking_.model.precision(),
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

Asking::Asking(const CorpusJob& given, const Prepared& prepared, const std::vector<std::string>& its_questions)
    : machine(prepared.machine), record(prepared.record), model(prepared.model), job(given),
      rules(*job.writing, job.options.model, job.options.tokenizer, model.config().vocab), states(job.options.input, model),
      questions(its_questions), ids(states.file().ids()), rows(make_rows(states.file(), std::ssize(questions))) {
  rules.record(job.attributes);
  job.attributes.push_back({"prompt_question", rules.prompts().question});
  job.attributes.push_back({"states_path", std::filesystem::absolute(job.options.input).string()});
  for (const std::string& question : questions) prompts.push_back(prompt_of(rules, question));
}

// Its ranks never call note_stop_signals(): what is not answered is asked again, and reading the documents was the work.
int ask(const CorpusJob& job, const std::vector<std::string>& questions, int argc, const char* const* argv) {
  const auto use = [](const model::StateShape& state) {
    model::Use texts;
    add_texts(texts, state);
    return texts;
  };
  return run_on_ranks(job, argc, argv, use, [&](const Prepared& prepared) -> RankBody {
    const auto asking = std::make_shared<const Asking>(job, prepared, questions);
    return [asking](Transport& transport) { return AskRun(*asking, transport).run(); };
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
      ("question", po::value(&given)->value_name("TEXT"), "to be asked of every document; may be given several times")
      ("questions", po::value(&questions_file)->value_name("FILE"), R"(JSON Lines: {"question": "..."})")
      ("output,o", output_option(job.options.output), "an HDF5 file for the answers; without it they are printed only")
      ("overwrite", po::bool_switch(&job.options.overwrite), "replace an existing output")
      ("tokenizer", po::value(&job.options.tokenizer)->value_name("FILE"), kTokenizerHelp);
  own.add(describe_texts(texts, seed)).add(describe_run(job.options));
  if (!parse(argc, argv, "riverrun ask\nanswers from the states of documents, without reading them again", own)) return 0;
  settle_texts(texts, seed);
  return ask(job, read_questions(given, questions_file), argc, argv);
}

}  // namespace riverrun::jobs
