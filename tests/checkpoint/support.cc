#include "support.h"

#include <unistd.h>

#include <cstdlib>

namespace riverrun::checkpoint {

TemporaryFile::TemporaryFile(const std::string& content) {
  std::string pattern = ::testing::TempDir() + "checkpoint_XXXXXX";
  const int file = ::mkstemp(pattern.data());
  RR_CHECK(file >= 0, "no temporary file");
  RR_CHECK(::write(file, content.data(), content.size()) == static_cast<ssize_t>(content.size()),
           "short write");
  ::close(file);
  path_ = pattern;
}

TemporaryFile::~TemporaryFile() { ::unlink(path_.c_str()); }

std::string golden(const std::string& name) { return std::string(RIVERRUN_TEST_DATA) + "/" + name; }

namespace {

std::string central_header(const ZipMember& member, std::size_t offset, bool zip64) {
  const auto size = static_cast<std::uint32_t>(member.data.size());
  std::string extra;
  if (zip64) {
    const auto wide = static_cast<std::uint64_t>(member.data.size());
    extra = le<std::uint16_t>(0x4242) + le<std::uint16_t>(3) + "abc" +  // another field before it
            le<std::uint16_t>(1) + le<std::uint16_t>(24) + le(wide) + le(wide) + le<std::uint64_t>(offset);
  }
  return le<std::uint32_t>(0x02014b50) + le<std::uint16_t>(0) + le<std::uint16_t>(0) + le(member.flags) +
         le(member.method) + le<std::uint32_t>(0) + le<std::uint32_t>(0) + le(zip64 ? ~0u : size) +
         le(zip64 ? ~0u : size) + le(static_cast<std::uint16_t>(member.name.size())) +
         le(static_cast<std::uint16_t>(extra.size())) + le<std::uint16_t>(2) + std::string(8, '\0') +
         le(zip64 ? ~0u : static_cast<std::uint32_t>(offset)) + member.name + extra + "hi";
}

}  // namespace

std::string make_zip(const std::vector<ZipMember>& members, bool zip64, const std::string& comment) {
  std::string file, directory;
  for (const ZipMember& member : members) {
    directory += central_header(member, file.size(), zip64);
    file += le<std::uint32_t>(0x04034b50) + le<std::uint16_t>(0) + le(member.flags) + le(member.method) +
            std::string(16, '\0') + le(static_cast<std::uint16_t>(member.name.size())) +
            le(static_cast<std::uint16_t>(member.local_extra.size())) + member.name + member.local_extra +
            member.data;
  }
  const std::size_t start = file.size();
  const auto count = static_cast<std::uint16_t>(members.size());
  file += directory;
  if (zip64) {
    const std::size_t end64 = file.size();
    file += le<std::uint32_t>(0x06064b50) + le<std::uint64_t>(44) + le<std::uint32_t>(0) +
            le<std::uint32_t>(0) + le<std::uint32_t>(0) + le<std::uint64_t>(count) +
            le<std::uint64_t>(count) + le<std::uint64_t>(directory.size()) + le<std::uint64_t>(start);
    file += le<std::uint32_t>(0x07064b50) + le<std::uint32_t>(0) + le<std::uint64_t>(end64) +
            le<std::uint32_t>(1);
  }
  file += le<std::uint32_t>(0x06054b50) + le<std::uint32_t>(0);
  file += zip64 ? std::string(12, '\xff')
                : le(count) + le(count) + le(static_cast<std::uint32_t>(directory.size())) +
                      le(static_cast<std::uint32_t>(start));
  return file + le(static_cast<std::uint16_t>(comment.size())) + comment;
}

namespace pickle {

std::string text(const std::string& value) {
  return concat("X", le(static_cast<std::uint32_t>(value.size())), value);
}
std::string integer(std::int32_t value) { return concat("J", le(value)); }
std::string tuple(const std::vector<std::string>& items) {
  std::string out = "(";
  for (const std::string& item : items) out += item;
  return out + "t";
}
std::string integers(const std::vector<std::int32_t>& values) {
  std::vector<std::string> items;
  for (const std::int32_t value : values) items.push_back(integer(value));
  return tuple(items);
}
std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
std::string storage(const std::string& type, const std::string& key, std::int32_t elements) {
  return tuple({text("storage"), global("torch", type), text(key), text("cuda:0"), integer(elements)}) + "Q";
}
std::string tensor(const std::string& storage, std::int32_t offset, const std::vector<std::int32_t>& shape,
                   const std::vector<std::int32_t>& strides) {
  return global("torch._utils", "_rebuild_tensor_v2") +
         tuple({storage, integer(offset), integers(shape), integers(strides), "\x89",
                global("collections", "OrderedDict") + ")R"}) +
         "R";
}
std::string dict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string out = "}(";
  for (const auto& [key, value] : items) out += text(key) + value;
  return out + "u";
}
std::string file(const std::string& top) { return "\x80\x02" + top + "."; }

}  // namespace pickle

std::string make_pth(const std::string& top, const std::string& storage, const std::string& root) {
  return make_zip({{root + "/data.pkl", pickle::file(top)},
                   {root + "/data/0", storage, "FB\x03"},
                   {root + "/version", "3\n"}});
}

std::vector<float> floats(const Tensor& tensor) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(tensor.size() * size_of(tensor.dtype)));
  copy_elements(tensor, bytes.data());
  std::vector<float> values;
  for (Index i = 0; i < tensor.size(); ++i) values.push_back(load_float(bytes.data(), tensor.dtype, i));
  return values;
}

void expect_refused(const std::string& content, const std::vector<std::string>& words) {
  const TemporaryFile file(content);
  try {
    open_checkpoint(file.path());
    ADD_FAILURE() << "was accepted; expected a message about " << words.front();
  } catch (const InputError& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find(file.path()), std::string::npos) << message;
    for (const std::string& word : words) EXPECT_NE(message.find(word), std::string::npos) << message;
  }
}

}  // namespace riverrun::checkpoint
