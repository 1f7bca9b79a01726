// ZipDirectory: the members of a zip file by name, read in place.
//
// Members are found through the central directory (zip64 included), since sizes in local headers may be zero;
// the local header only tells where the data starts, because its extra field differs from the central one.
// Only stored members can be read. CRCs are not checked: reading a model twice costs more than it tells, and
// writers may omit them. Source: PKWARE APPNOTE.TXT 6.3.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "core/mapped_file.h"

namespace riverrun::checkpoint {

class ZipDirectory {
 public:
  struct Member {
    std::uint64_t local_header = 0, stored_size = 0, size = 0;
    std::uint16_t flags = 0, method = 0;
  };

  // InputError when the directory is missing, damaged, or names a member twice.
  explicit ZipDirectory(std::shared_ptr<const MappedFile> file);

  const std::map<std::string, Member>& members() const { return members_; }

  // The bytes of a member. InputError when there is none of that name, when it is compressed or encrypted, or
  // when it does not lie inside the file.
  std::span<const std::byte> read(const std::string& name) const;

 private:
  std::shared_ptr<const MappedFile> file_;
  std::uint64_t directory_ = 0;  // where the central directory starts and members end
  std::map<std::string, Member> members_;
};

}  // namespace riverrun::checkpoint
