#include <hdf5.h>

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "output/hdf5_file.h"
#include "output/utf8.h"

namespace riverrun::output {

using detail::Handle;
using detail::QuietErrors;

namespace {

constexpr int kMostDepth = 8;  // schema 1 has groups one deep; a damaged file may have a circle
constexpr Index kMostElements = Index{1} << 56;  // so that sizes in bytes cannot overflow

Element element_of(hid_t type) {
  for (const Element element :
       {Element::u8, Element::i32, Element::i64, Element::f16, Element::f32, Element::f64}) {
    if (H5Tequal(type, detail::file_type(element, 0)) > 0) return element;
  }
  return H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 ? Element::text : Element::other;
}

}  // namespace

void Hdf5File::add_group(const std::string& path) {
  const QuietErrors quiet;
  const Handle group(
      check(H5Gcreate2(id_, path.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), "create group " + path),
      H5Gclose);
}

Index Hdf5File::add_dataset(const Dataset& dataset) {
  const QuietErrors quiet;
  const std::string doing = "create dataset " + dataset.path;
  const Handle type = detail::file_type(dataset.element, dataset.element_bytes);
  const std::vector<hsize_t> extents(dataset.shape.begin(), dataset.shape.end());
  const Handle space(
      check(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr), doing), H5Sclose);
  const Handle properties(check(H5Pcreate(H5P_DATASET_CREATE), doing), H5Pclose);
  check(H5Pset_layout(properties, H5D_CONTIGUOUS), doing);
  check(H5Pset_alloc_time(properties, H5D_ALLOC_TIME_EARLY), doing);
  check(H5Pset_fill_time(properties, H5D_FILL_TIME_NEVER), doing);
  check(H5Pset_obj_track_times(properties, false), doing);  // the same spec gives the same bytes
  const Handle made(
      check(H5Dcreate2(id_, dataset.path.c_str(), type, space, H5P_DEFAULT, properties, H5P_DEFAULT), doing),
      H5Dclose);
  const haddr_t offset = H5Dget_offset(made);
  RR_CHECK(offset != HADDR_UNDEF || dataset.bytes() == 0, path_, ": HDF5 gave no place to ", dataset.path);
  return offset == HADDR_UNDEF ? -1 : static_cast<Index>(offset);
}

std::vector<Dataset> Hdf5File::datasets() const {
  const QuietErrors quiet;
  std::vector<Dataset> all;
  list_datasets(id_, "/", 0, all);
  return all;
}

void Hdf5File::list_datasets(std::int64_t group, const std::string& prefix, int depth,
                             std::vector<Dataset>& out) const {
  RR_CHECK_INPUT(depth <= kMostDepth, path_, ": groups are nested more than ", kMostDepth, " deep at ",
                 prefix);
  const std::string doing = "list " + prefix;
  H5G_info_t info{};
  check(H5Gget_info(group, &info), doing);
  for (hsize_t i = 0; i < info.nlinks; ++i) {
    const auto get_name = [&](char* out_name, std::size_t size) {
      return check(H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, out_name, size, H5P_DEFAULT),
                   doing);
    };
    std::string name(static_cast<std::size_t>(get_name(nullptr, 0)) + 1, '\0');
    get_name(name.data(), name.size());
    name.pop_back();
    const std::string path = prefix + name;
    const Handle object(check(H5Oopen(group, name.c_str(), H5P_DEFAULT), "open " + path), H5Oclose);
    const H5I_type_t kind = H5Iget_type(object);
    if (kind == H5I_GROUP) list_datasets(object, path + "/", depth + 1, out);
    if (kind == H5I_DATASET) out.push_back(describe(object, path));
  }
}

Dataset Hdf5File::describe(std::int64_t id, const std::string& path) const {
  const std::string doing = "read the shape of " + path;
  const Handle type(check(H5Dget_type(id), doing), H5Tclose);
  const Handle space(check(H5Dget_space(id), doing), H5Sclose);
  const int rank = check(H5Sget_simple_extent_ndims(space), doing);
  std::vector<hsize_t> extents(static_cast<std::size_t>(rank));
  check(H5Sget_simple_extent_dims(space, extents.data(), nullptr), doing);

  Dataset dataset{path, element_of(type), static_cast<Index>(H5Tget_size(type)), {}};
  Index elements = std::max<Index>(1, dataset.element_bytes);
  for (const hsize_t extent : extents) {
    Index widest = 0;
    RR_CHECK_INPUT(
        extent < static_cast<hsize_t>(kMostElements) &&
            !__builtin_mul_overflow(elements, std::max<Index>(1, static_cast<Index>(extent)), &widest) &&
            widest < kMostElements,
        path_, ": dataset ", path, " claims an impossible size");
    elements = widest;
    dataset.shape.push_back(static_cast<Index>(extent));
  }
  const Handle properties(check(H5Dget_create_plist(id), doing), H5Pclose);
  if (H5Pget_layout(properties) != H5D_CONTIGUOUS || dataset.bytes() == 0) return dataset;
  const haddr_t offset = H5Dget_offset(id);
  if (offset == HADDR_UNDEF) return dataset;
  const auto size = static_cast<haddr_t>(std::filesystem::file_size(path_));
  RR_CHECK_INPUT(offset <= size && static_cast<haddr_t>(dataset.bytes()) <= size - offset, path_,
                 ": dataset ", path, " reaches beyond the end of the file; the file is cut off or damaged");
  dataset.offset = static_cast<Index>(offset);
  return dataset;
}

void Hdf5File::read_rows(const Dataset& dataset, Index first, Index count, std::int64_t memory_type,
                         void* out) const {
  RR_CHECK(!dataset.shape.empty() && first >= 0 && count >= 0 && count <= dataset.rows() - first, "rows ",
           first, " to ", first + count, " asked of ", dataset.path, ", which has ", dataset.rows());
  if (count == 0 || dataset.row_elements() == 0) return;
  const QuietErrors quiet;
  const std::string doing = concat("read rows ", first, " to ", first + count, " of ", dataset.path);
  const Handle id(check(H5Dopen2(id_, dataset.path.c_str(), H5P_DEFAULT), doing), H5Dclose);
  const Handle file_space(check(H5Dget_space(id), doing), H5Sclose);
  std::vector<hsize_t> start(dataset.shape.size(), 0), extent(dataset.shape.begin(), dataset.shape.end());
  start[0] = static_cast<hsize_t>(first);
  extent[0] = static_cast<hsize_t>(count);
  check(H5Sselect_hyperslab(file_space, H5S_SELECT_SET, start.data(), nullptr, extent.data(), nullptr),
        doing);
  const Handle memory_space(
      check(H5Screate_simple(static_cast<int>(extent.size()), extent.data(), nullptr), doing), H5Sclose);
  check(H5Dread(id, memory_type, memory_space, file_space, H5P_DEFAULT, out), doing);
}

void Hdf5File::read_floats(const Dataset& dataset, Index first, Index count, std::span<float> out) const {
  RR_CHECK(static_cast<Index>(out.size()) == count * dataset.row_elements(), dataset.path, ": a buffer of ",
           out.size(), " elements for ", count, " rows of ", dataset.row_elements());
  read_rows(dataset, first, count, H5T_NATIVE_FLOAT, out.data());
}

void Hdf5File::read_integers(const Dataset& dataset, Index first, Index count, std::span<Index> out) const {
  RR_CHECK(static_cast<Index>(out.size()) == count * dataset.row_elements(), dataset.path, ": a buffer of ",
           out.size(), " elements for ", count, " rows of ", dataset.row_elements());
  read_rows(dataset, first, count, H5T_NATIVE_INT64, out.data());
}

std::vector<std::string> Hdf5File::read_text(const Dataset& dataset, Index first, Index count) const {
  RR_CHECK(dataset.element == Element::text && dataset.row_elements() == 1, dataset.path,
           " is no list of strings");
  const auto width = static_cast<std::size_t>(dataset.element_bytes);
  std::string rows(static_cast<std::size_t>(count) * width, '\0');
  const QuietErrors quiet;
  const Handle type = detail::file_type(Element::text, dataset.element_bytes);
  read_rows(dataset, first, count, type, rows.data());
  std::vector<std::string> out;
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    const std::string_view row = std::string_view(rows).substr(i * width, width);
    out.push_back(valid_utf8(row.substr(0, row.find('\0'))));
  }
  return out;
}

}  // namespace riverrun::output
