#include "jobs/run/checkpoint_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <regex>
#include <sstream>

#include "core/crc32c.h"
#include "core/error.h"
#include "core/log.h"
#include "output/aside_file.h"

namespace riverrun::jobs {

namespace {

namespace fs = std::filesystem;

constexpr std::array<char, 8> kMagic = {'r', 'r', 'c', 'a', 'r', 'r', 'y', '1'};
constexpr const char* kEndings[] = {".0", ".1"};
constexpr const char* kAside = ".new";
constexpr Index kMostIdentityBytes = Index{16} << 20;

struct Header {
  std::array<char, 8> magic;
  Index document, id_crc, tokens, next_token, identity_bytes, carry_bytes;
  std::uint32_t carry_crc, own_crc;
};
static_assert(sizeof(Header) == 64);

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

std::uint32_t own_crc(const Header& header, const std::string& identity) {
  return crc32c(bytes_of(identity), crc32c(std::as_bytes(std::span(&header, 1)).first(offsetof(Header, own_crc))));
}

struct Start {
  Header header;
  std::string identity;
};

// All but the carry. InputError for a file that is not whole.
Start read_start(const output::RawFile& file) {
  const std::string& path = file.path();
  Start start;
  Header& header = start.header;
  file.read(std::as_writable_bytes(std::span(&header, 1)), 0, "the header");
  RR_CHECK_INPUT(std::equal(kMagic.begin(), kMagic.end() - 1, header.magic.begin()), path, ": is no checkpoint of riverrun");
  RR_CHECK_INPUT(header.magic == kMagic, path, ": is a checkpoint of another version of riverrun");
  const Index size = file.size();
  RR_CHECK_INPUT(header.identity_bytes >= 0 && header.identity_bytes <= kMostIdentityBytes && header.carry_bytes >= 0 &&
                     header.carry_bytes <= size && Index{sizeof header} + header.identity_bytes + header.carry_bytes == size,
                 path, ": is damaged: ", size, " bytes are not what its header says");
  start.identity.resize(static_cast<std::size_t>(header.identity_bytes));
  file.read(std::as_writable_bytes(std::span(start.identity)), sizeof header, "the identity");
  RR_CHECK_INPUT(header.own_crc == own_crc(header, start.identity), path, ": is damaged: its header does not match its checksum");
  return start;
}

std::vector<std::byte> read_carry(const output::RawFile& file, const Header& header) {
  std::vector<std::byte> carry(static_cast<std::size_t>(header.carry_bytes));
  file.read(carry, Index{sizeof header} + header.identity_bytes, "the carry");
  RR_CHECK_INPUT(header.carry_crc == crc32c(carry), file.path(), ": is damaged: its carry does not match its checksum");
  return carry;
}

// The name of the first line in which they differ.
std::string first_difference(const std::string& a, const std::string& b) {
  std::istringstream one(a), other(b);
  std::string x, y;
  do {
    x.clear(), y.clear();
    std::getline(one, x), std::getline(other, y);
  } while (x == y && (one || other));
  return (x.empty() ? y : x).substr(0, (x.empty() ? y : x).find('='));
}

void check_is_of(const std::string& path, const Start& start, const CheckpointFolder::Document& document, const std::string& identity) {
  const Header& header = start.header;
  RR_CHECK_INPUT(start.identity == identity, path, ": is of another run (", first_difference(start.identity, identity), " differs)");
  RR_CHECK_INPUT(header.document == document.number && header.id_crc == Index{crc32c(bytes_of(document.id))} && header.tokens == document.tokens &&
                     header.next_token > 0 && header.next_token < document.tokens,
                 path, ": is of another document");
}

void remove_file(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT && errno != ENOTDIR) log_warning(with_errno("cannot remove " + path));
}

// The files in it that have names of ours; none when there is no such folder.
std::vector<std::string> our_files(const std::string& folder) {
  const std::regex ours("[0-9]{1,18}\\.(0|1|new)");
  std::vector<std::string> files;
  if (!fs::is_directory(folder)) return files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (std::regex_match(entry.path().filename().string(), ours)) files.push_back(entry.path().string());
  }
  return files;
}

}  // namespace

std::string checkpoint_identity(const output::Reader& output) {
  std::string identity;
  for (const output::Attribute& attribute : output.attributes()) {
    // When it was created tells the output from others that were made alike.
    const bool compared = attribute.name == "created" || !output::tells_only_of_the_run(attribute.name);
    if (!compared || attribute.name == "complete") continue;
    std::string value = std::visit([](const auto& v) { return concat(v); }, attribute.value);
    std::ranges::replace(value, '\n', ' ');
    identity += attribute.name + "=" + value + "\n";
  }
  return identity;
}

std::string CheckpointFolder::file(Index document, const char* ending) const { return concat(path_, "/", document, ending); }

std::set<Index> CheckpointFolder::documents() const {
  std::set<Index> documents;
  for (const std::string& path : our_files(path_)) documents.insert(std::atoll(fs::path(path).filename().c_str()));
  return documents;
}

CheckpointFolder::Place CheckpointFolder::find(const Document& document, const std::string& identity) const {
  Place furthest;
  for (const char* ending : kEndings) {
    const std::string path = file(document.number, ending);
    if (!fs::exists(path)) continue;
    try {
      const auto found = output::RawFile::for_reading(path);
      const Start start = read_start(found);
      check_is_of(path, start, document, identity);
      read_carry(found, start.header);
      if (start.header.next_token > furthest.next_token) furthest = {start.header.next_token, start.header.own_crc};
    } catch (const Error& error) {
      log_warning(error.what(), "; it is not used");
    }
  }
  return furthest;
}

std::vector<std::byte> CheckpointFolder::read(Index document, Place place) const {
  std::string trouble;
  for (const char* ending : kEndings) {
    try {
      const auto found = output::RawFile::for_reading(file(document, ending));
      const Header header = read_start(found).header;
      if (header.document == document && header.next_token == place.next_token && header.own_crc == place.crc) return read_carry(found, header);
    } catch (const Error& error) {
      trouble += concat("; ", error.what());
    }
  }
  throw Error(concat(path_, ": the checkpoint of document ", document, " at token ", place.next_token, ", which rank 0 has found, is not there", trouble));
}

void CheckpointFolder::write(const Document& document, const std::string& identity, const ring::CarryCopy& copy) {
  if (::mkdir(path_.c_str(), 0777) == 0) output::sync_directory_of(path_);
  else if (errno != EEXIST) throw Error(with_errno(path_ + ": cannot create the folder"));
  // The one that is not the furthest, or that find() did not take: the one that it took does not reach as far as this copy.
  Index reached[2] = {-1, -1};
  for (int i = 0; i < 2; ++i) {
    try {
      const auto old = output::RawFile::for_reading(file(document.number, kEndings[i]));
      const Start start = read_start(old);
      check_is_of(old.path(), start, document, identity);
      if (start.header.next_token < copy.next_token) reached[i] = start.header.next_token;
    } catch (const Error&) {  // not there, or named already when the run began
    }
  }
  Header header{kMagic, document.number, Index{crc32c(bytes_of(document.id))}, document.tokens, copy.next_token, std::ssize(identity),
                std::ssize(copy.bytes), copy.crc, 0};
  header.own_crc = own_crc(header, identity);
  const std::string target = file(document.number, kEndings[reached[1] < reached[0] ? 1 : 0]);
  output::AsideFile aside(file(document.number, kAside));
  aside.file().write(std::as_bytes(std::span(&header, 1)), 0, "the header");
  aside.file().write(bytes_of(identity), sizeof header, "the identity");
  aside.file().write(copy.bytes, Index{sizeof header} + std::ssize(identity), "the carry");
  aside.rename_to(target);
  output::sync_directory_of(target);
}

void CheckpointFolder::remove(Index document) const {
  for (const char* ending : {kEndings[0], kEndings[1], kAside}) remove_file(file(document, ending));
}

void CheckpointFolder::remove_all() const {
  if (!fs::is_directory(path_)) return;
  for (const std::string& path : our_files(path_)) remove_file(path);
  if (::rmdir(path_.c_str()) != 0 && errno != ENOENT) log_warning(with_errno("cannot remove " + path_));
}

}  // namespace riverrun::jobs
