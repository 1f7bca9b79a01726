#include "transport/mpi_pieces.h"

#include <string>

#include "core/error.h"
#include "transport/ranks.h"

namespace riverrun::transport {

void check_mpi(int result, const char* call) {
  if (result == MPI_SUCCESS) [[likely]] return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  if (MPI_Error_string(result, text, &length) != MPI_SUCCESS) length = 0;
  throw Error(concat("MPI: ", call, " failed: ", std::string(text, length), " (", result, ")"));
}

MPI_Comm own_communicator() {
  MPI_Comm copy = MPI_COMM_NULL;
  RR_MPI(MPI_Comm_dup(MPI_COMM_WORLD, &copy));
  RR_MPI(MPI_Comm_set_errhandler(copy, MPI_ERRORS_RETURN));
  return copy;
}

bool ended(MPI_Request& request) {
  int flag = 0;
  RR_MPI(MPI_Test(&request, &flag, MPI_STATUS_IGNORE));
  return flag != 0;
}

Operation Pieces::send(MPI_Comm comm, int peer, Index tag, std::span<const std::byte> bytes) const {
  Operation operation{.peer = peer, .tag = tag};
  for_each(std::ssize(bytes), [&](Index offset, int length) {
    const auto call = synchronous ? MPI_Issend : MPI_Isend;
    RR_MPI(call(bytes.data() + offset, length, MPI_BYTE, peer, static_cast<int>(tag), comm,
                &operation.requests.emplace_back()));
  });
  return operation;
}

Operation Pieces::receive(MPI_Comm comm, int peer, Index tag, std::span<std::byte> bytes) const {
  Operation operation{.peer = peer, .tag = tag, .is_receive = true};
  for_each(std::ssize(bytes), [&](Index offset, int length) {
    RR_MPI(MPI_Irecv(bytes.data() + offset, length, MPI_BYTE, peer, static_cast<int>(tag), comm,
                     &operation.requests.emplace_back()));
    operation.lengths.push_back(length);
  });
  return operation;
}

bool test(MPI_Comm comm, Operation& operation) {
  int rank = 0;
  RR_MPI(MPI_Comm_rank(comm, &rank));
  for (std::size_t& piece = operation.next; piece < operation.requests.size(); ++piece) {
    int flag = 0;
    MPI_Status status;
    const int result = MPI_Test(&operation.requests[piece], &flag, &status);
    int error_class = MPI_SUCCESS;
    if (result != MPI_SUCCESS) RR_MPI(MPI_Error_class(result, &error_class));
    if (error_class == MPI_ERR_TRUNCATE)
      throw_wrong_length(rank, operation.peer, operation.tag, -1, operation.lengths[piece]);
    check_mpi(result, "MPI_Test");
    if (!flag) return false;
    if (!operation.is_receive) continue;
    int got = 0;
    RR_MPI(MPI_Get_count(&status, MPI_BYTE, &got));
    if (got != operation.lengths[piece])
      throw_wrong_length(rank, operation.peer, operation.tag, got, operation.lengths[piece]);
  }
  return true;
}

}  // namespace riverrun::transport
