#include "output/hdf5_file.h"

#include <hdf5.h>

#include <type_traits>
#include <utility>

#include "core/error.h"
#include "output/raw_file.h"

namespace riverrun::output {

using detail::Handle;
using detail::QuietErrors;

static_assert(std::is_same_v<hid_t, std::int64_t> && std::is_same_v<herr_t, int>,
              "HDF5 1.10 or newer is needed");

namespace {

// The two innermost entries of HDF5's stack say what happened; the rest only says through which calls.
std::string hdf5_words() {
  std::string words;
  const auto collect = [](unsigned n, const H5E_error2_t* entry, void* out) -> herr_t {
    auto& text = *static_cast<std::string*>(out);
    if (n < 2 && entry->desc) text += concat(n == 0 ? "" : "; ", entry->desc);
    return 0;
  };
  if (H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, collect, &words) < 0) return "no reason given";
  return words.empty() ? "no reason given" : words;
}

// No locks: a running job's file is read while rows are written, and its metadata does not change meanwhile.
// No sieve buffer: each read sees the bytes as they are now.
Handle access_properties() {
  Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  bool good = access >= 0 && H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_LATEST) >= 0 &&
              H5Pset_alignment(access, 2048, 4096) >= 0 &&
              H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0 && H5Pset_sieve_buf_size(access, 0) >= 0;
#if H5_VERSION_GE(1, 12, 1) || (H5_VERSION_GE(1, 10, 7) && !H5_VERSION_GE(1, 12, 0))
  good = good && H5Pset_file_locking(access, false, true) >= 0;
#endif
  RR_CHECK(good, "HDF5 does not take the file access properties: ", hdf5_words());
  return access;
}

}  // namespace

namespace detail {

QuietErrors::QuietErrors() {
  if (H5Eget_auto2(H5E_DEFAULT, &print_, &data_) < 0) print_ = nullptr;
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

QuietErrors::~QuietErrors() { H5Eset_auto2(H5E_DEFAULT, print_, data_); }

Handle file_type(Element element, Index bytes) {
  const auto copy = [](hid_t type) { return Handle(H5Tcopy(type), H5Tclose); };
  switch (element) {
    case Element::u8:
      return copy(H5T_STD_U8LE);
    case Element::i32:
      return copy(H5T_STD_I32LE);
    case Element::i64:
      return copy(H5T_STD_I64LE);
    case Element::f32:
      return copy(H5T_IEEE_F32LE);
    case Element::f64:
      return copy(H5T_IEEE_F64LE);
    case Element::f16: {
      Handle type =
          copy(H5T_IEEE_F32LE);  // IEEE binary16: sign 15, exponent 10..14 biased by 15, mantissa 0..9
      RR_CHECK(H5Tset_fields(type, 15, 10, 5, 0, 10) >= 0 && H5Tset_size(type, 2) >= 0 &&
                   H5Tset_ebias(type, 15) >= 0,
               "HDF5 does not take float16: ", hdf5_words());
      return type;
    }
    case Element::text: {
      Handle type = copy(H5T_C_S1);
      RR_CHECK(H5Tset_size(type, static_cast<std::size_t>(bytes)) >= 0 &&
                   H5Tset_cset(type, H5T_CSET_UTF8) >= 0 && H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0,
               "HDF5 does not take a string of ", bytes, " bytes: ", hdf5_words());
      return type;
    }
    case Element::other:
      break;
  }
  throw Error("an element without a type cannot be stored");
}

}  // namespace detail

Hdf5File Hdf5File::create(const std::string& path) {
  const QuietErrors quiet;
  const Handle access = access_properties();
  Hdf5File file(path, H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access), true);
  if (file.id_ < 0) file.fail("create the file");
  return file;
}

Hdf5File Hdf5File::open(const std::string& path) {
  RawFile::for_reading(path);  // for the system's own words
  const QuietErrors quiet;
  RR_CHECK_INPUT(H5Fis_hdf5(path.c_str()) > 0, path, ": is not an HDF5 file");
  const Handle access = access_properties();
  Hdf5File file(path, H5Fopen(path.c_str(), H5F_ACC_RDONLY, access), false);
  if (file.id_ < 0) file.fail("open it as an HDF5 file");
  return file;
}

Hdf5File::Hdf5File(Hdf5File&& other) noexcept
    : path_(std::move(other.path_)), id_(std::exchange(other.id_, -1)), creating_(other.creating_) {}

Hdf5File::~Hdf5File() {
  const QuietErrors quiet;
  if (id_ >= 0) H5Fclose(id_);
}

void Hdf5File::close() {
  const QuietErrors quiet;
  const std::int64_t id = std::exchange(id_, -1);
  if (id >= 0) check(H5Fclose(id), "close the file");
}

void Hdf5File::fail(std::string_view doing) const {
  const std::string message = concat(path_, ": cannot ", doing, " (HDF5: ", hdf5_words(), ")");
  if (creating_) throw Error(message);
  throw InputError(message);
}

}  // namespace riverrun::output
