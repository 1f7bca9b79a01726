// Weights that the processes of one node share: one of them packs into memory that the others map.
//
// The memory is an anonymous file (memfd), which the others open through /proc. It has no name in any file system, is
// bound by no size of /dev/shm, and is gone with the last process that maps it, however that one ends.
#pragma once

#include <cstdint>
#include <vector>

#include "core/weight_storage.h"

namespace riverrun {

// By what a process of the same node finds the memory. `device` and `file` make sure that it is that memory.
struct SharedAddress {
  Index process = 0, descriptor = -1;
  std::uint64_t device = 0, file = 0;
};

// What two processes must have in common to open each other's memory: the running kernel, the process namespace and the
// user. Error when the system does not tell.
std::string sharing_domain();

namespace detail {

// A piece as the file's table of contents holds it, at the file's end.
struct SharedPiece {
  Index offset, bytes;
  std::uint64_t layout;  // CRC-32C of the words
};

class FileDescriptor {
 public:
  explicit FileDescriptor(int number) : number_(number) {}
  ~FileDescriptor();
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int number() const { return number_; }

 private:
  const int number_;
};

}  // namespace detail

// Of the process that packs. One thread at a time.
class SharedWeightsWriter final : public WeightStorage {
 public:
  SharedWeightsWriter();  // Error when the system has no such memory
  SharedAddress address() const;

  bool filled() const override { return false; }
  WeightMemory take(Index bytes, const std::string& layout) override;

  // All pieces are written: from now on they are read-only, here too, and readers may take them. The file need not stay
  // open beyond the time when every reader has opened it.
  void publish();

 private:
  void append(const void* data, std::size_t bytes);

  detail::FileDescriptor file_;
  Index end_ = 0;
  std::vector<detail::SharedPiece> pieces_;
  std::vector<WeightMemory> memory_;  // until published
};

// Of a process that finds them packed. One thread at a time.
class SharedWeightsReader final : public WeightStorage {
 public:
  // Opens the memory, which need not be published yet. Error when it cannot, or finds another file there.
  explicit SharedWeightsReader(const SharedAddress& address);

  void read_contents();  // once published, before any take()
  bool filled() const override { return true; }
  // Error unless it is the piece that the writer took as its next one too.
  WeightMemory take(Index bytes, const std::string& layout) override;
  void check_all_taken() const;

 private:
  void read(void* data, std::size_t bytes, Index offset) const;

  detail::FileDescriptor file_;
  std::vector<detail::SharedPiece> pieces_;
  std::size_t next_ = 0;
};

}  // namespace riverrun
