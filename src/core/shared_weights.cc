#include "core/shared_weights.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <span>

#include "core/crc32c.h"
#include "core/error.h"

namespace riverrun {

namespace {

constexpr std::uint64_t kMagic = 0x7374686769657752;  // "Rweights"

// The last bytes of the file.
struct Footer {
  std::uint64_t magic;
  Index pieces;
  std::uint64_t contents;  // CRC-32C of the table before it
};

std::uint64_t crc_of(const std::string& text) { return crc32c(std::as_bytes(std::span(text))); }
std::uint64_t crc_of(const std::vector<detail::SharedPiece>& pieces) { return crc32c(std::as_bytes(std::span(pieces))); }

struct stat status_of(int file) {
  struct stat status {};
  RR_CHECK(::fstat(file, &status) == 0, with_errno("no status of shared memory"));
  return status;
}

int create_file() {
  const int file = ::memfd_create("riverrun-weights", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (file < 0) throw Error(with_errno("the system gives no memory to share (memfd_create)"));
  return file;
}

int open_file(const SharedAddress& address) {
  const std::string path = concat("/proc/", address.process, "/fd/", address.descriptor);
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (file < 0) throw Error(with_errno("cannot open the shared weights at " + path));
  return file;
}

WeightMemory map(int file, const detail::SharedPiece& piece, int protection) {
  const auto bytes = static_cast<std::size_t>(piece.bytes);
  void* const data = ::mmap(nullptr, bytes, protection, MAP_SHARED, file, piece.offset);
  if (data == MAP_FAILED) throw Error(with_errno(concat("cannot map ", piece.bytes >> 20, " MiB of shared weights")));
  return {std::shared_ptr<std::byte>(static_cast<std::byte*>(data), [bytes](std::byte* at) { ::munmap(at, bytes); }), piece.bytes};
}

}  // namespace

std::string sharing_domain() {
  std::string kernel;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), kernel);
  if (kernel.empty()) throw Error(with_errno("cannot read /proc/sys/kernel/random/boot_id"));
  std::array<char, 64> processes{};
  if (::readlink("/proc/self/ns/pid", processes.data(), processes.size() - 1) <= 0) throw Error(with_errno("cannot read /proc/self/ns/pid"));
  return concat(kernel, " ", processes.data(), " ", ::geteuid());
}

detail::FileDescriptor::~FileDescriptor() { ::close(number_); }

SharedWeightsWriter::SharedWeightsWriter() : file_(create_file()) {
  RR_CHECK(::fchmod(file_.number(), S_IRUSR | S_IWUSR) == 0, with_errno("cannot keep shared weights from other users"));
}

SharedAddress SharedWeightsWriter::address() const {
  const struct stat status = status_of(file_.number());
  return {::getpid(), file_.number(), status.st_dev, status.st_ino};
}

WeightMemory SharedWeightsWriter::take(Index bytes, const std::string& layout) {
  RR_CHECK(bytes > 0, "a piece of ", bytes, " bytes");
  // Large pieces lie so that huge pages can hold them, where the system has them for shared memory.
  const Index alignment = bytes >= kHugePage ? kHugePage : Index{::sysconf(_SC_PAGESIZE)};
  const Index offset = (end_ + alignment - 1) / alignment * alignment;
  // Now, as an error: memory that is missing when it is first written to would end the process with a bus error.
  int result = 0;
  do result = ::fallocate(file_.number(), 0, offset, bytes);
  while (result != 0 && errno == EINTR);
  if (result != 0) throw Error(with_errno(concat("no memory for ", bytes >> 20, " MiB of shared weights, after ", end_ >> 20, " MiB")));
  end_ = offset + bytes;
  pieces_.push_back({offset, bytes, crc_of(layout)});
  return memory_.emplace_back(map(file_.number(), pieces_.back(), PROT_READ | PROT_WRITE));
}

void SharedWeightsWriter::append(const void* data, std::size_t bytes) {
  RR_CHECK(::pwrite(file_.number(), data, bytes, end_) == static_cast<ssize_t>(bytes), with_errno("cannot write to shared memory"));
  end_ += static_cast<Index>(bytes);
}

void SharedWeightsWriter::publish() {
  for (const WeightMemory& piece : memory_) {
    RR_CHECK(::mprotect(piece.data(), static_cast<std::size_t>(piece.bytes()), PROT_READ) == 0, with_errno("cannot protect shared weights"));
  }
  memory_.clear();
  const Footer footer{kMagic, std::ssize(pieces_), crc_of(pieces_)};
  append(pieces_.data(), pieces_.size() * sizeof(detail::SharedPiece));
  append(&footer, sizeof footer);
  RR_CHECK(::fcntl(file_.number(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0, with_errno("cannot seal shared weights"));
}

SharedWeightsReader::SharedWeightsReader(const SharedAddress& address) : file_(open_file(address)) {
  const struct stat status = status_of(file_.number());
  if (status.st_dev == address.device && status.st_ino == address.file) return;
  throw Error(concat("process ", address.process, " holds another file than its shared weights as number ", address.descriptor));
}

void SharedWeightsReader::read(void* data, std::size_t bytes, Index offset) const {
  RR_CHECK(::pread(file_.number(), data, bytes, offset) == static_cast<ssize_t>(bytes), with_errno("cannot read shared memory"));
}

void SharedWeightsReader::read_contents() {
  constexpr Index kFooter = sizeof(Footer), kPiece = sizeof(detail::SharedPiece);
  const Index size = status_of(file_.number()).st_size;
  Footer footer{};
  if (size >= kFooter) read(&footer, sizeof footer, size - kFooter);
  RR_CHECK(footer.magic == kMagic && footer.pieces >= 0 && footer.pieces <= (size - kFooter) / kPiece, "shared weights of ", size,
           " bytes have no table of contents");
  pieces_.resize(static_cast<std::size_t>(footer.pieces));
  read(pieces_.data(), pieces_.size() * sizeof(detail::SharedPiece), size - kFooter - footer.pieces * kPiece);
  RR_CHECK(crc_of(pieces_) == footer.contents, "the table of contents of shared weights is damaged");
}

WeightMemory SharedWeightsReader::take(Index bytes, const std::string& layout) {
  const bool same = next_ < pieces_.size() && pieces_[next_].bytes == bytes && pieces_[next_].layout == crc_of(layout);
  if (!same) {
    throw Error(concat("the shared weights hold something else as number ", next_, " of ", pieces_.size(), " than ", layout, ", ", bytes,
                       " bytes; do all ranks see the same model and the same RIVERRUN_CPU_TARGET?"));
  }
  return map(file_.number(), pieces_[next_++], PROT_READ);
}

void SharedWeightsReader::check_all_taken() const {
  RR_CHECK(next_ == pieces_.size(), "the shared weights hold ", pieces_.size(), " pieces, of which this model took ", next_);
}

}  // namespace riverrun
