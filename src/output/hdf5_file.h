// The HDF5 library behind one small class; nothing of hdf5.h shows outside the .cc files of this folder.
//
// A file is either being created or open for reading. It is never open for writing rows: those go past HDF5,
// see writer.h. HDF5's own error printing is off during every call; its words become part of the exception,
// an Error while creating and an InputError while reading (the file is then not what it should be). Use from
// one thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "output/schema.h"

namespace riverrun::output {

class Hdf5File {
 public:
  // An empty file in the oldest format HDF5 has (every reader knows it), data of 2 kB and more aligned to
  // pages.
  static Hdf5File create(const std::string& path);
  static Hdf5File open(const std::string& path);

  Hdf5File(Hdf5File&& other) noexcept;
  Hdf5File& operator=(Hdf5File&&) = delete;
  ~Hdf5File();

  void add_group(const std::string& path);
  void add_attribute(const Attribute& attribute);  // of the root group; text is cut to kMostAttributeBytes
  // Contiguous, allocated at once, not filled. Returns the offset of the first byte, -1 for an empty dataset.
  Index add_dataset(const Dataset& dataset);

  // Root attributes in the order they are stored; those that are neither scalar text nor scalar numbers left
  // out.
  std::vector<Attribute> attributes() const;
  // Every dataset, by name. Extents are checked against the size of the file where the data is contiguous.
  std::vector<Dataset> datasets() const;

  // Rows [first, first + count) along the first axis, converted: floats of any width to fp32, integers to
  // int64.
  void read_floats(const Dataset& dataset, Index first, Index count, std::span<float> out) const;
  void read_integers(const Dataset& dataset, Index first, Index count, std::span<Index> out) const;
  std::vector<std::string> read_text(const Dataset& dataset, Index first, Index count) const;

  void close();  // the destructor closes too, but cannot say what went wrong

 private:
  Hdf5File(std::string path, std::int64_t id, bool creating)
      : path_(std::move(path)), id_(id), creating_(creating) {}

  // Passes on what an HDF5 call returned, or throws with HDF5's words.
  template <class T>
  T check(T result, std::string_view doing) const {
    if (result < 0) fail(doing);
    return result;
  }
  [[noreturn]] void fail(std::string_view doing) const;
  Attribute read_attribute(std::int64_t id, const std::string& name, bool& known) const;
  std::string read_text_attribute(std::int64_t attribute, std::int64_t type, const std::string& name) const;
  void list_datasets(std::int64_t group, const std::string& prefix, int depth,
                     std::vector<Dataset>& out) const;
  Dataset describe(std::int64_t dataset, const std::string& path) const;
  void read_rows(const Dataset& dataset, Index first, Index count, std::int64_t memory_type, void* out) const;

  std::string path_;
  std::int64_t id_ = -1;
  bool creating_ = false;
};

namespace detail {

// Owns one HDF5 identifier. hid_t is int64_t and herr_t int since HDF5 1.10, which hdf5_file.cc asserts.
class Handle {
 public:
  Handle(std::int64_t id, int (*close)(std::int64_t)) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept : id_(other.id_), close_(other.close_) { other.id_ = -1; }
  Handle& operator=(Handle&&) = delete;
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  operator std::int64_t() const { return id_; }

 private:
  std::int64_t id_;
  int (*close_)(std::int64_t);
};

// Keeps HDF5 from printing its error stack while this object lives.
class QuietErrors {
 public:
  QuietErrors();
  ~QuietErrors();
  QuietErrors(const QuietErrors&) = delete;
  QuietErrors& operator=(const QuietErrors&) = delete;

 private:
  int (*print_)(std::int64_t, void*) = nullptr;
  void* data_ = nullptr;
};

// The file type of an element; text has `bytes`.
Handle file_type(Element element, Index bytes);

}  // namespace detail
}  // namespace riverrun::output
