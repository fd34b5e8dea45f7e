// CudaGraphCache: executable graphs of the kernels of waves that came before, replayed for waves that are the same.
//
// A graph holds every pointer and number of the wave that it was captured for, so it is launched only for a wave of
// which each of them is the same. The kind of wave and where its weights lie are the key: the layers of a model keep a
// graph each, and what else differs is put into the graph in place. The first wave of a key is queued as it is, the
// second one is captured.
//
// A version that is retired takes its graphs with it (Forget): none of them can be launched again, even where other
// weights come to lie at the same place. Owned by a lane; one thread at a time. Graphs are destroyed by Run and the
// destructor alone, when nothing of the lane's is under way.
#ifndef BWRT_RUNTIME_CUDA_CUDA_GRAPH_CACHE_H_
#define BWRT_RUNTIME_CUDA_CUDA_GRAPH_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <list>
#include <type_traits>
#include <vector>

#include "runtime/cuda/cuda_driver.h"
#include "runtime/cuda/cuda_plan.h"
#include "runtime/cuda/cuda_status.h"

namespace bwrt::cuda {

// Everything that the queued kernels are given, in a fixed order for each kind of wave.
class GraphArguments {
 public:
  template <typename T>
  GraphArguments& Add(T value) {
    static_assert(sizeof(T) <= sizeof(uint64_t) && std::is_trivially_copyable_v<T>);
    uint64_t word = 0;
    std::memcpy(&word, &value, sizeof(value));
    words_.push_back(word);
    return *this;
  }
  friend bool operator==(const GraphArguments&, const GraphArguments&) = default;

 private:
  std::vector<uint64_t> words_;
};

class CudaGraphCache {
 public:
  CudaGraphCache(CudaDriver* driver, size_t limit) : driver_(driver), limit_(limit) {}
  // What was launched must have ended.
  ~CudaGraphCache();
  CudaGraphCache(const CudaGraphCache&) = delete;
  CudaGraphCache& operator=(const CudaGraphCache&) = delete;

  // Does on `stream` what `queue` would queue there, which depends on nothing but `arguments`. Of an error in capturing
  // nothing is kept. Nothing launched before is under way on the stream.
  CudaStatus Run(Stream stream, const CudaPlanKey& kind, const std::byte* weights, const GraphArguments& arguments,
                 const std::function<CudaStatus()>& queue);

  // Weights in this memory are gone.
  void Forget(const std::byte* memory, int64_t bytes);
  // The context is gone, and the graphs with it.
  void Abandon();

  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    CudaPlanKey kind;
    const std::byte* weights = nullptr;
    GraphArguments arguments;
    Graph graph = nullptr;  // Null: seen once.
  };

  CudaStatus Capture(Entry& entry, Stream stream, const std::function<CudaStatus()>& queue);
  void DestroyRetired();

  CudaDriver* const driver_;
  const size_t limit_;
  std::list<Entry> entries_;    // Most recently used first.
  std::vector<Graph> retired_;  // Never launched again; still to be destroyed.
};

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUDA_GRAPH_CACHE_H_
