#include "kernels/cuda/graph.h"

#include "kernels/cuda/launch.h"

namespace riverrun::kernels::cuda {

namespace {

thread_local bool captures = false;

class Graph final : public Recording {
 public:
  explicit Graph(cudaGraphExec_t graph) : graph_(graph) {}
  // Of work that went wrong its stream has told.
  ~Graph() override { (void)cudaGraphExecDestroy(graph_); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void run(const Stream& stream) override { check(cudaGraphLaunch(graph_, native(stream)), "launch of a graph"); }

 private:
  cudaGraphExec_t graph_;
};

// From the first launch to the last; what was captured when an error cut it short is thrown away.
class Capture {
 public:
  explicit Capture(const Stream& stream) : stream_(native(stream)) {
    RR_CHECK(!captures, "a recording within a recording");
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "start of a graph");
    captures = true;
  }
  ~Capture() {
    if (captures) (void)end();
    if (graph_ != nullptr) (void)cudaGraphDestroy(graph_);
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  std::unique_ptr<Recording> finish() {
    check(end(), "capture of a graph");
    cudaGraphExec_t ready = nullptr;
    check(cudaGraphInstantiate(&ready, graph_, 0), "making a graph");
    return std::make_unique<Graph>(ready);
  }

 private:
  cudaError_t end() {
    captures = false;
    return cudaStreamEndCapture(stream_, &graph_);
  }

  cudaStream_t stream_;
  cudaGraph_t graph_ = nullptr;
};

}  // namespace

std::unique_ptr<Recording> capture_graph(const Stream& stream, const std::function<void()>& launches) {
  Capture capture(stream);
  launches();
  return capture.finish();
}

bool capturing() { return captures; }

}  // namespace riverrun::kernels::cuda
