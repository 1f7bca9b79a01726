#include "checkpoint/zip_directory.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "core/error.h"

namespace riverrun::checkpoint {
namespace {

constexpr std::uint32_t kLocalHeader = 0x04034b50, kCentralHeader = 0x02014b50, kEnd = 0x06054b50;
constexpr std::uint32_t kEnd64 = 0x06064b50, kEnd64Locator = 0x07064b50;
constexpr std::uint64_t kLocalHeaderSize = 30, kCentralHeaderSize = 46, kEndSize = 22;
constexpr std::uint64_t kEnd64Size = 56, kEnd64LocatorSize = 20;
constexpr std::uint16_t kZip64Extra = 0x0001;

// Little-endian fields of the file, every access checked.
class Fields {
 public:
  explicit Fields(const MappedFile& file) : bytes_(file.bytes()), path_(file.path()) {}

  std::uint64_t size() const { return bytes_.size(); }

  void check(std::uint64_t at, std::uint64_t size, const char* what) const {
    RR_CHECK_INPUT(at <= bytes_.size() && size <= bytes_.size() - at, path_, ": damaged zip file: ", what,
                   " reaches beyond the end of the file; was it downloaded completely?");
  }
  template <class T>
  T get(std::uint64_t at) const {
    T value;
    check(at, sizeof value, "a field");
    std::memcpy(&value, bytes_.data() + at, sizeof value);
    return value;
  }
  std::string text(std::uint64_t at, std::uint64_t size) const {
    check(at, size, "a name");
    return {reinterpret_cast<const char*>(bytes_.data()) + at, size};
  }
  [[noreturn]] void damaged(const std::string& what) const {
    throw InputError(concat(path_, ": damaged zip file: ", what));
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& path_;
};

// The end record is the last thing in the file but for a comment of up to 65535 bytes.
std::uint64_t find_end(const Fields& file) {
  const std::uint64_t last = file.size() < kEndSize ? 0 : file.size() - kEndSize;
  for (std::uint64_t back = 0; back <= 0xffff && back <= last && file.size() >= kEndSize; ++back) {
    const std::uint64_t at = last - back;
    if (file.get<std::uint32_t>(at) == kEnd && file.get<std::uint16_t>(at + 20) == back) return at;
  }
  file.damaged("it has no end record; was it downloaded completely?");
}

struct Directory {
  std::uint64_t offset, size, members;
};

Directory find_directory(const Fields& file) {
  const std::uint64_t end = find_end(file);
  Directory directory{file.get<std::uint32_t>(end + 16), file.get<std::uint32_t>(end + 12),
                      file.get<std::uint16_t>(end + 10)};
  std::uint32_t disk = file.get<std::uint16_t>(end + 4);
  if (end >= kEnd64LocatorSize && file.get<std::uint32_t>(end - kEnd64LocatorSize) == kEnd64Locator) {
    const auto end64 = file.get<std::uint64_t>(end - kEnd64LocatorSize + 8);
    file.check(end64, kEnd64Size, "the zip64 end record");
    if (file.get<std::uint32_t>(end64) != kEnd64) file.damaged("its zip64 end record is not in its place");
    disk = file.get<std::uint32_t>(end64 + 16);
    directory = {file.get<std::uint64_t>(end64 + 48), file.get<std::uint64_t>(end64 + 40),
                 file.get<std::uint64_t>(end64 + 32)};
  }
  if (disk != 0) file.damaged("it is one part of a split archive");
  file.check(directory.offset, directory.size, "the central directory");
  const std::uint64_t most = directory.size / kCentralHeaderSize;
  if (directory.members > most) file.damaged("it claims more members than its directory can hold");
  return directory;
}

// Those of sizes and offset that did not fit 32 bits stand in the zip64 extra field, in this order.
void read_zip64(const Fields& file, std::uint64_t at, std::uint64_t end, ZipDirectory::Member& member) {
  constexpr std::uint32_t kElsewhere = 0xffffffff;
  while (end - at >= 4) {
    const auto id = file.get<std::uint16_t>(at);
    const auto size = file.get<std::uint16_t>(at + 2);
    at += 4;
    if (size > end - at) break;
    if (id == kZip64Extra) {
      const std::uint64_t stop = at + size;
      for (std::uint64_t* const field : {&member.size, &member.stored_size, &member.local_header}) {
        if (*field != kElsewhere) continue;
        if (stop - at < 8) file.damaged("a zip64 field is too short");
        *field = file.get<std::uint64_t>(at);
        at += 8;
      }
      return;
    }
    at += size;
  }
}

}  // namespace

ZipDirectory::ZipDirectory(std::shared_ptr<const MappedFile> file) : file_(std::move(file)) {
  const Fields fields(*file_);
  const Directory directory = find_directory(fields);
  directory_ = directory.offset;
  const std::uint64_t end = directory.offset + directory.size;
  std::uint64_t at = directory.offset;
  for (std::uint64_t i = 0; i < directory.members; ++i) {
    if (end - at < kCentralHeaderSize || fields.get<std::uint32_t>(at) != kCentralHeader) {
      fields.damaged(concat("member ", i, " of its directory is not readable"));
    }
    Member member;
    member.flags = fields.get<std::uint16_t>(at + 8);
    member.method = fields.get<std::uint16_t>(at + 10);
    member.stored_size = fields.get<std::uint32_t>(at + 20);
    member.size = fields.get<std::uint32_t>(at + 24);
    const std::uint64_t name_size = fields.get<std::uint16_t>(at + 28);
    const std::uint64_t extra_size = fields.get<std::uint16_t>(at + 30);
    const std::uint64_t comment_size = fields.get<std::uint16_t>(at + 32);
    member.local_header = fields.get<std::uint32_t>(at + 42);
    at += kCentralHeaderSize;
    if (name_size + extra_size + comment_size > end - at) {
      fields.damaged(concat("member ", i, " reaches beyond its directory"));
    }
    std::string name = fields.text(at, name_size);
    read_zip64(fields, at + name_size, at + name_size + extra_size, member);
    at += name_size + extra_size + comment_size;
    if (!members_.emplace(name, member).second) fields.damaged(concat("it holds ", name, " twice"));
  }
}

std::span<const std::byte> ZipDirectory::read(const std::string& name) const {
  const Fields fields(*file_);
  const auto found = members_.find(name);
  if (found == members_.end()) fields.damaged(concat("it has no member ", name));
  const Member& member = found->second;
  RR_CHECK_INPUT(!(member.flags & 1), file_->path(), ": member ", name, " is encrypted");
  RR_CHECK_INPUT(member.method == 0 && member.stored_size == member.size, file_->path(), ": member ", name,
                 " is compressed (method ", member.method,
                 "), so that it cannot be used in place; unzip the file and "
                 "zip it again without compression (zip -0), or save it with torch.save");
  fields.check(member.local_header, kLocalHeaderSize, "a member");
  if (fields.get<std::uint32_t>(member.local_header) != kLocalHeader) {
    fields.damaged(concat("member ", name, " is not where the directory says"));
  }
  const std::uint64_t name_size = fields.get<std::uint16_t>(member.local_header + 26);
  const std::uint64_t extra_size = fields.get<std::uint16_t>(member.local_header + 28);
  const std::uint64_t start = member.local_header + kLocalHeaderSize + name_size + extra_size;
  if (fields.text(member.local_header + kLocalHeaderSize, name_size) != name) {
    fields.damaged(concat("member ", name, " has another name in its own header"));
  }
  fields.check(start, member.size, "a member");
  if (start + member.size > directory_) fields.damaged(concat("member ", name, " runs into the directory"));
  return file_->bytes().subspan(start, member.size);
}

}  // namespace riverrun::checkpoint
