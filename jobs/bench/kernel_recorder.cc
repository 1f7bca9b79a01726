#include "jobs/bench/kernel_recorder.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <utility>

#include "core/error.h"

namespace riverrun::jobs {

namespace {

using namespace kernels;
using Clock = std::chrono::steady_clock;

// The recorder in use. A model may call kernels from several threads.
struct Recording {
  const KernelTable* real = nullptr;
  std::mutex mutex;
  std::vector<KernelCalls> calls;
};
Recording recording;

void note(const char* operation, const std::string& shape, const KernelWork& work, Clock::duration took) {
  const double seconds = std::chrono::duration<double>(took).count();
  const std::lock_guard lock(recording.mutex);
  auto at = std::ranges::find_if(recording.calls, [&](const KernelCalls& known) {
    return known.operation == operation && known.shape == shape;
  });
  if (at == recording.calls.end()) at = recording.calls.insert(at, {operation, shape, work, 0, seconds});
  ++at->calls;
  at->best = std::min(at->best, seconds);
}

// What an operation's arguments come to.
struct Task {
  std::string shape;
  KernelWork work;
};

constexpr double kFloat = sizeof(float);

double bytes(DType type) { return static_cast<double>(size_of(type)); }

const char* name_of_epilogue(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::none: return "";
    case Epilogue::add: return " add";
    case Epilogue::tanh: return " tanh";
    case Epilogue::sigmoid: return " sigmoid";
    case Epilogue::relu_squared: return " relu^2";
    case Epilogue::silu: return " silu";
  }
  throw Error("unknown epilogue");
}

// `in` and `out`: bytes for each of the M * D elements.
Task rows_task(Index M, Index D, double in, double out, const std::string& remark = "") {
  const double elements = double(M) * double(D);
  return {concat(M, " x ", D, remark), {.read = elements * in, .written = elements * out}};
}

Task task_of(const MatmulArgs& a) {
  const Index N = a.w->rows(), K = a.w->cols();
  const double added = a.epilogue == Epilogue::add ? double(a.M * N) * kFloat : 0;
  return {concat(a.M, " x ", N, " x ", K, name_of_epilogue(a.epilogue)),
          {.flops = 2 * double(a.M) * double(N) * double(K),
           .read = double(a.M * K) * bytes(a.w->type()) + added,
           .written = double(a.M * N) * bytes(a.y_type),
           .weights = double(a.w->bytes())}};
}

Task task_of(const LayerNormArgs& a) { return rows_task(a.M, a.D, kFloat, bytes(a.y_type)); }
Task task_of(const EmbedArgs& a) { return rows_task(a.M, a.D, bytes(a.table_type), kFloat); }

Task task_of(const ShiftMixArgs& a) {
  const double kept = (a.normal != nullptr ? kFloat : 0) + (a.change != nullptr ? kFloat : 0);
  return rows_task(a.M, a.D, kFloat, double(a.mixes) * bytes(a.out_type) + kept, concat(" to ", a.mixes));
}

Task task_of(const DynamicMixArgs& a) {
  return rows_task(a.M, a.D, (2 + double(a.mixes)) * kFloat, double(a.mixes) * bytes(a.out_type), concat(" to ", a.mixes));
}

Task task_of(const GateArgs& a) { return rows_task(a.M, a.D, 2 * kFloat, bytes(a.out_type)); }
Task task_of(const GateAddArgs& a) { return rows_task(a.M, a.D, 3 * kFloat, kFloat); }

Task task_of(const TokenMatrixArgs& a) {
  const double matrices = double(a.M) * double(a.R) * double(a.R), rows = double(a.M * a.R);
  return {concat(a.M, " x ", a.R, " x ", a.R),
          {.flops = 2 * matrices, .read = (matrices + rows) * kFloat, .written = rows * bytes(a.out_type)}};
}

// Four exponentials and a division per channel count as in model::estimate_cost, like the factors below.
Task task_of(const Wkv4Args& a) {
  const double channels = double(a.M) * double(a.channels);
  return {concat(a.M, " x ", a.channels), {.flops = 30 * channels, .read = 2 * channels * kFloat, .written = channels * kFloat}};
}

Task recurrence_task(Index M, Index heads, Index N, double flops_per_element, double rows_read) {
  const double rows = double(M) * double(heads) * double(N);
  return {concat(M, " x ", heads, " heads of ", N),
          {.flops = flops_per_element * rows * double(N), .read = rows_read * rows * kFloat, .written = rows * kFloat}};
}
Task task_of(const Wkv6Args& a) { return recurrence_task(a.M, a.heads, a.N, 7, a.w_stride == 0 ? 3 : 4); }
Task task_of(const Wkv7Args& a) { return recurrence_task(a.M, a.heads, a.N, 9, 6); }

Task task_of(const Wkv6DecayArgs& a) { return rows_task(a.M, a.D, kFloat, kFloat); }
Task task_of(const Wkv6ReadoutArgs& a) {
  return rows_task(a.M, a.H * a.N, (a.g == nullptr ? 1 : 2) * kFloat, bytes(a.out_type));
}
Task task_of(const Wkv7InputsArgs& a) {
  return a.v_mix == nullptr ? rows_task(a.M, a.H * a.N, 3 * kFloat, 4 * kFloat, ", layer 0")
                            : rows_task(a.M, a.H * a.N, 6 * kFloat, 5 * kFloat);
}
Task task_of(const Wkv7ReadoutArgs& a) { return rows_task(a.M, a.H * a.N, 5 * kFloat, bytes(a.out_type)); }
Task task_of(const LogProbArgs& a) { return rows_task(a.M, a.V, kFloat, 0); }
Task task_of(const PickLargestArgs& a) { return rows_task(a.M, a.V, kFloat, 0); }
Task task_of(const DrawArgs& a) { return rows_task(a.M, a.V, kFloat, 0); }
Task task_of(const SumRowsArgs& a) { return rows_task(a.M, a.D, kFloat, 0); }

template <class Args, class Call>
void time_call(const char* operation, const Args& args, Call&& call) {
  const auto begin = Clock::now();
  call();
  const auto took = Clock::now() - begin;
  const Task task = task_of(args);
  note(operation, task.shape, task.work, took);
}

// One slot of the table: runs the real kernel, and notes it.
template <auto slot>
struct Timed;
template <class Args, void (*KernelTable::*slot)(const Args&, Stream)>
struct Timed<slot> {
  static inline const char* operation = nullptr;
  static void run(const Args& args, Stream stream) {
    time_call(operation, args, [&] { (recording.real->*slot)(args, stream); });
  }
};

// Products one by one, each of which is timed.
template <Matmul KernelTable::*slot>
struct Timed<slot> {
  static inline const char* operation = nullptr;
  static void run(std::span<const MatmulArgs> products, Stream stream) {
    for (const MatmulArgs& args : products) time_call(operation, args, [&] { (recording.real->*slot)({&args, 1}, stream); });
  }
};

template <PackMatrix KernelTable::*slot>
struct Timed<slot> {
  static inline const char* operation = nullptr;
  static std::unique_ptr<PackedMatrix> run(const MatrixSource& source, DType operand, Stream stream) {
    const auto begin = Clock::now();
    auto packed = (recording.real->*slot)(source, operand, stream);
    const auto took = Clock::now() - begin;
    note(operation, concat(source.rows, " x ", source.cols),
         {.read = double(source.rows * source.cols) * bytes(source.type), .written = double(packed->bytes())}, took);
    return packed;
  }
};

template <auto slot>
void time_slot(KernelTable& table, const char* operation) {
  Timed<slot>::operation = operation;
  table.*slot = Timed<slot>::run;
}

KernelTable timed_table(KernelTable table) {
  time_slot<&KernelTable::pack_matrix>(table, "pack_matrix");
  if (table.pack_int8 != nullptr) time_slot<&KernelTable::pack_int8>(table, "pack_int8");
  time_slot<&KernelTable::matmul>(table, "matmul");
  time_slot<&KernelTable::layer_norm>(table, "layer_norm");
  time_slot<&KernelTable::embed>(table, "embed");
  time_slot<&KernelTable::shift_mix>(table, "shift_mix");
  time_slot<&KernelTable::dynamic_mix>(table, "dynamic_mix");
  time_slot<&KernelTable::gate>(table, "gate");
  time_slot<&KernelTable::gate_add>(table, "gate_add");
  time_slot<&KernelTable::token_matrix>(table, "token_matrix");
  time_slot<&KernelTable::wkv4>(table, "wkv4");
  time_slot<&KernelTable::wkv6_decay>(table, "wkv6_decay");
  time_slot<&KernelTable::wkv6>(table, "wkv6");
  time_slot<&KernelTable::wkv6_readout>(table, "wkv6_readout");
  time_slot<&KernelTable::wkv7_inputs>(table, "wkv7_inputs");
  time_slot<&KernelTable::wkv7>(table, "wkv7");
  time_slot<&KernelTable::wkv7_readout>(table, "wkv7_readout");
  time_slot<&KernelTable::log_prob>(table, "log_prob");
  time_slot<&KernelTable::pick_largest>(table, "pick_largest");
  time_slot<&KernelTable::draw>(table, "draw");
  time_slot<&KernelTable::sum_rows>(table, "sum_rows");
  // A name, a device, two questions, and 21 operations.
  static_assert(sizeof(KernelTable) == (2 + 2 + 21) * sizeof(void*),
                "the table has a new slot: time it here too, or riverrun bench kernels leaves the operation out");
  return table;
}

}  // namespace

KernelRecorder::KernelRecorder(const KernelTable& real) : table_(timed_table(real)) {
  RR_CHECK(recording.real == nullptr, "there is a kernel recorder already");
  RR_CHECK_INPUT(real.device->kind() == DeviceKind::cpu, "bench kernels times calls that return when the work is done; those of backend ",
                 real.backend, " do not");
  recording.real = &real;
  recording.calls.clear();
}

KernelRecorder::~KernelRecorder() { recording.real = nullptr; }

std::vector<KernelCalls> KernelRecorder::take() {
  const std::lock_guard lock(recording.mutex);
  return std::exchange(recording.calls, {});
}

}  // namespace riverrun::jobs
