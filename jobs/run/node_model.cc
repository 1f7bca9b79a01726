#include "jobs/run/node_model.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>
#include <set>
#include <span>
#include <sstream>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "core/error.h"
#include "core/log.h"
#include "core/shared_weights.h"
#include "jobs/run/while_alive.h"

namespace riverrun::jobs {

namespace {

using transport::Transport;

// What a rank tells the others of itself: lines of text.
struct Card {
  std::string domain;  // of whom it can share with; empty: of nobody
  std::string identity;
  SharedAddress address;
};

std::string text_of_card(const Card& card) {
  const SharedAddress& at = card.address;
  return concat(card.domain, "\n", card.identity, "\n", at.process, " ", at.descriptor, " ", at.device, " ", at.file);
}

Card parse_card(const std::string& text) {
  std::istringstream lines(text);
  Card card;
  std::getline(lines, card.domain), std::getline(lines, card.identity);
  lines >> card.address.process >> card.address.descriptor >> card.address.device >> card.address.file;
  RR_CHECK(!lines.fail(), "a rank's card came damaged: ", text);
  return card;
}

std::vector<std::byte> bytes_of(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}
std::string text_of(std::span<const std::byte> bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

class NodeModel {
 public:
  NodeModel(const NodeModelArgs& args, Transport& transport) : args_(args), transport_(transport), leader_(transport.rank()) {}

  std::unique_ptr<model::Model> load() {
    RR_CHECK_INPUT(args_.share != ShareWeights::on || args_.device == DeviceKind::cpu, "--share-weights on is for --backend cpu: each GPU has "
                   "its own copy in its own memory; leave it out");
    if (args_.share != ShareWeights::off && args_.device == DeviceKind::cpu) find_node();
    std::unique_ptr<model::Model> model;
    std::string checksum;
    agree("the weights to be packed", [&] {
      if (!follows()) model = args_.load(leads() ? *writer_ : private_weights());
      if (leads()) writer_->publish();
      if (!follows() && args_.checksum && several_pack()) checksum = concat(std::hex, args_.checksum());
    });
    compare(checksum);
    agree("the weights to be mapped", [&] {
      if (follows()) {
        reader_->read_contents();
        model = args_.load(*reader_);
        reader_->check_all_taken();
      }
      args_.settle(*model);
    });
    tell(*model);
    return model;
  }

 private:
  bool leads() const { return leader_ == transport_.rank() && sharers_ > 1; }
  bool follows() const { return leader_ != transport_.rank(); }

  bool several_pack() const {
    return leaders_.empty() ? transport_.size() > 1 : std::ranges::any_of(leaders_, [](int leader) { return leader != 0; });
  }

  // `checksum`: of what this rank has read, empty when it has not.
  void compare(const std::string& checksum) {
    if (!args_.checksum || !several_pack()) return;
    const auto checksums = all_gather(checksum, "every rank to have read the weights");
    agree("the ranks to find that they have read the same weights", [&] {
      RR_CHECK_INPUT(checksum.empty() || checksum == checksums[0], "has read other weights than rank 0: their checksum is ", checksum, ", and ",
                     checksums[0], " there; look whether the files are the same on both nodes, and read them again");
    });
  }

  // Who shares with whom; keeps the leader's memory open.
  void find_node() {
    Card mine;
    const std::string trouble = trouble_of([&] {
      mine.domain = sharing_domain();
      writer_.emplace();
      mine.address = writer_->address();
    });
    mine.identity = args_.identity;
    std::vector<Card> cards;
    for (const std::string& text : all_gather(text_of_card(mine), "every rank to say where it runs")) cards.push_back(parse_card(text));
    leaders_.resize(cards.size());
    for (std::size_t rank = 0; rank < cards.size(); ++rank) {
      const auto same = [&](const Card& other) { return other.domain == cards[rank].domain && !other.domain.empty(); };
      leaders_[rank] = static_cast<int>(std::min<std::ptrdiff_t>(std::find_if(cards.begin(), cards.end(), same) - cards.begin(), rank));
    }
    leader_ = leaders_[transport_.rank()];
    agree("the ranks of each node to find the same model", [&] {
      RR_CHECK_INPUT(cards[leader_].identity == mine.identity, "this rank was started with another model than rank ", leader_,
                     " on its node: ", mine.identity, " here, ", cards[leader_].identity, " there");
    });
    open_memory(cards, trouble);
  }

  // A node shares only if all its ranks can.
  void open_memory(const std::vector<Card>& cards, std::string trouble) {
    if (trouble.empty() && follows()) trouble = trouble_of([&] { reader_.emplace(cards[leader_].address); });
    if (leader_ != transport_.rank()) writer_.reset();
    const auto troubles = all_gather(trouble, "the ranks of each node to open their memory");
    std::set<int> without;
    for (std::size_t rank = 0; rank < troubles.size(); ++rank) {
      if (troubles[rank].empty()) continue;
      if (without.empty() && transport_.rank() == 0) refuse_or_warn(rank, troubles[rank]);
      without.insert(leaders_[rank]);
    }
    for (std::size_t rank = 0; rank < leaders_.size(); ++rank) {
      if (without.count(leaders_[rank]) != 0) leaders_[rank] = static_cast<int>(rank);
    }
    leader_ = leaders_[transport_.rank()];
    sharers_ = std::count(leaders_.begin(), leaders_.end(), leader_);
    if (!leads()) writer_.reset();
    if (!follows()) reader_.reset();
  }

  void refuse_or_warn(std::size_t rank, const std::string& trouble) const {
    const std::string message = concat("the ranks on the node of rank ", rank, " cannot share weights: ", trouble);
    if (args_.share == ShareWeights::on) throw Error(message + "; --share-weights auto or off gives each a copy of its own");
    log_warning(message, "; each keeps a copy of its own");
  }

  void tell(const model::Model& model) const {
    if (sharers_ < 2) return;
    const std::set<int> copies(leaders_.begin(), leaders_.end());
    log_info("weights: ", model.weight_bytes() >> 20, " MiB, shared by ", sharers_, " ranks on this node; ", copies.size(),
             copies.size() == 1 ? " copy for " : " copies for ", leaders_.size(), " ranks");
  }

  template <class Work>
  static std::string trouble_of(Work work) {
    try {
      work();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  // Runs `work` on every rank. If it fails anywhere, rank 0 throws the first rank's error while the others wait for its word.
  template <class Work>
  void agree(const std::string& what, Work work) {
    std::string outcome(1, '\0');  // the exit code, and the message
    try {
      while_alive(transport_, work);
    } catch (const Error& error) {
      outcome = static_cast<char>(error.code()) + std::string(error.what());
    }
    const auto outcomes = transport_.gather(bytes_of(outcome), what, args_.timeout);
    for (std::size_t rank = 0; rank < outcomes.size(); ++rank) {
      const std::string text = text_of(outcomes[rank]);
      const auto code = static_cast<ExitCode>(text.at(0));
      if (code != ExitCode::done) throw Error(concat(rank == 0 ? "" : concat("rank ", rank, ": "), text.substr(1)), code);
    }
    transport_.barrier(what, args_.timeout);
  }

  // Every rank's text, on every rank.
  std::vector<std::string> all_gather(const std::string& mine, const std::string& what) {
    std::vector<std::byte> all;  // of each: its length, and the text
    for (const auto& one : transport_.gather(bytes_of(mine), what, args_.timeout)) {
      const Index size = std::ssize(one);
      const auto length = std::as_bytes(std::span(&size, 1));
      all.insert(all.end(), length.begin(), length.end());
      all.insert(all.end(), one.begin(), one.end());
    }
    transport_.broadcast(all, what, args_.timeout);
    std::vector<std::string> texts;
    for (std::span<const std::byte> rest(all); !rest.empty();) {
      Index size = 0;
      std::memcpy(&size, rest.data(), sizeof size);
      texts.push_back(text_of(rest.subspan(sizeof size, static_cast<std::size_t>(size))));
      rest = rest.subspan(sizeof size + static_cast<std::size_t>(size));
    }
    return texts;
  }

  const NodeModelArgs& args_;
  Transport& transport_;
  int leader_;
  Index sharers_ = 1;         // ranks with that leader
  std::vector<int> leaders_;  // of every rank
  std::optional<SharedWeightsWriter> writer_;
  std::optional<SharedWeightsReader> reader_;
};

}  // namespace

std::vector<std::string> weight_files(const CorpusJobOptions& options) {
  auto paths = checkpoint::open_checkpoint(options.model)->file_paths();
  if (!options.initial_state.empty()) {
    for (const std::string& path : checkpoint::open_checkpoint(options.initial_state)->file_paths()) paths.push_back(path);
  }
  return paths;
}

std::string identity_of(const CorpusJobOptions& options) {
  namespace fs = std::filesystem;
  std::string identity = concat("precision ", options.precision, ", weights ", options.weights, ", backend ", options.backend);
  for (const std::string& path : weight_files(options)) {
    identity += concat(", ", fs::path(path).filename(), " of ", fs::file_size(path), " bytes and time ",
                       fs::last_write_time(path).time_since_epoch().count());
  }
  std::ranges::replace(identity, '\n', ' ');
  return identity;
}

ShareWeights parse_share_weights(const std::string& name) {
  if (name == "auto") return ShareWeights::automatic;
  if (name == "on") return ShareWeights::on;
  if (name == "off") return ShareWeights::off;
  throw InputError("--share-weights '" + name + "' is none of auto, on, off");
}

std::unique_ptr<model::Model> load_node_model(const NodeModelArgs& args, Transport& transport) { return NodeModel(args, transport).load(); }

}  // namespace riverrun::jobs
