// SpoolWriter: writes token ids to a new file, which is removed again unless finish() is reached.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/types.h"

namespace riverrun::text {

class SpoolWriter {
 public:
  // Throws InputError when the file cannot be created, or exists and is no regular file.
  explicit SpoolWriter(const std::string& path);
  ~SpoolWriter();
  SpoolWriter(const SpoolWriter&) = delete;
  SpoolWriter& operator=(const SpoolWriter&) = delete;

  void write(std::span<const TokenId> ids);
  void finish();  // writes the rest and closes
  Index tokens() const { return tokens_; }

 private:
  void flush();
  void write_out(const TokenId* ids, std::size_t count);
  [[noreturn]] void fail() const;  // with errno's reason

  std::string path_;
  int file_ = -1;
  bool finished_ = false;
  Index tokens_ = 0;
  std::vector<TokenId> buffer_;
};

}  // namespace riverrun::text
