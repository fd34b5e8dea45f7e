/* The border between bwrtd and libbwrt_cuda.so: a plain C table of functions.
 *
 * Both sides are built from this header but never share anything else: no C++ type, no exception and no allocation
 * crosses the border, so that each side may have its own C++ library and nothing static exists twice.
 *
 * 1. Whoever fills a structure sets its `size` first. A loader refuses a table whose abi_version differs from its own,
 *    or whose size is smaller; it may grow at the end without a new version.
 * 2. Functions return a BwrtCudaCode. Unless that is BWRT_CUDA_OK they have filled *error, and nothing has happened but
 *    what they say. `error` may not be null.
 * 3. BWRT_CUDA_DEVICE_LOST is sticky: the context is gone, every later call answers it again, until recreate succeeds.
 * 4. All functions but open, close and recreate may be called from any number of threads at once. recreate waits for
 *    the calls that are under way; close must be the last one.
 * 5. Pointers in structures are the caller's and are not kept after the call. Matrices are row-major, strides count
 *    elements.
 */
#ifndef BWRT_RUNTIME_CUDA_PLUGIN_ABI_H_
#define BWRT_RUNTIME_CUDA_PLUGIN_ABI_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* NOLINTBEGIN(modernize-use-using): C. */

#define BWRT_CUDA_ABI_VERSION 1u
/* The one exported symbol, a BwrtCudaEntry. */
#define BWRT_CUDA_ENTRY "bwrt_cuda_plugin"
#define BWRT_CUDA_MAX_NOTES 12

enum BwrtCudaCode {
  BWRT_CUDA_OK = 0,
  BWRT_CUDA_INVALID = 1,              /* The caller's mistake. */
  BWRT_CUDA_NO_DRIVER = 2,            /* libcuda.so.1 is not there, or is too old for this plugin. */
  BWRT_CUDA_NO_DEVICE = 3,            /* No GPU, or none with this number. */
  BWRT_CUDA_OLD_DEVICE = 4,           /* A GPU that the kernels don't run on. */
  BWRT_CUDA_NO_CUBLASLT = 5,          /* libcublasLt is not there, or is another version. */
  BWRT_CUDA_OUT_OF_DEVICE_MEMORY = 6, /* The pool's budget, or the device itself. */
  BWRT_CUDA_OUT_OF_HOST_MEMORY = 7,
  BWRT_CUDA_STOPPED = 8, /* The progress callback asked for it. */
  BWRT_CUDA_FAILED = 9,  /* This call alone failed. */
  BWRT_CUDA_DEVICE_LOST = 10
};

typedef struct BwrtCudaError {
  int32_t code;      /* BwrtCudaCode */
  int32_t cuda_code; /* cudaError_t or cublasStatus_t behind it; 0 where there is none. */
  char text[504];    /* What failed and what mends it; ends with a zero byte. */
} BwrtCudaError;

enum BwrtCudaDType {
  BWRT_CUDA_F32 = 0,
  BWRT_CUDA_F16 = 1,
  BWRT_CUDA_BF16 = 2,
  BWRT_CUDA_F8_E4M3 = 3, /* A and W alone; C is then f32, f16 or bf16. */
  BWRT_CUDA_F8_E5M2 = 4
};

/* The formulas are those of kernels/activation.h. */
enum BwrtCudaActivation {
  BWRT_CUDA_IDENTITY = 0,
  BWRT_CUDA_RELU = 1,
  BWRT_CUDA_GELU_TANH = 2,
  BWRT_CUDA_GELU_ERF = 3,
  BWRT_CUDA_SILU = 4
};

enum BwrtCudaTails { BWRT_CUDA_PAD = 0, BWRT_CUDA_DROP = 1, BWRT_CUDA_PEEL = 2 };

/* Whose kernels run waves. */
enum BwrtCudaKernel {
  BWRT_CUDA_KERNEL_AUTO = 0,     /* The plugin's Hopper kernel where it can, else cuBLASLt, else the plain one. */
  BWRT_CUDA_KERNEL_OWN = 1,      /* The same; where it is not the Hopper kernel the effective spec says why. */
  BWRT_CUDA_KERNEL_CUBLASLT = 2, /* cuBLASLt where it can, else the plain one. */
  BWRT_CUDA_KERNEL_PLAIN = 3
};

typedef struct BwrtCudaOptions {
  uint32_t size;
  int32_t ordinal;      /* Which GPU, from 0, as CUDA counts. */
  int64_t memory_limit; /* Bytes of device memory for weights and operands. 0: nine tenths of what is free now. */
  int32_t graphs;       /* Kept by each lane, for waves that come again; 0: kernels are queued one by one. */
  int32_t kernel;       /* BwrtCudaKernel */
  int32_t counters;     /* 1: the Hopper kernel counts what BwrtCudaReport tells. */
  int32_t poison;       /* 1: what kernels are to write is filled with NaNs first, so that what they leave out shows. */
} BwrtCudaOptions;

typedef struct BwrtCudaInfo {
  uint32_t size;
  int32_t compute_major;
  int32_t compute_minor;
  int32_t multiprocessors;
  int64_t memory_bytes; /* Of the device. */
  int64_t pool_bytes;   /* That weights and operands may take. */
  int64_t l2_bytes;
  char name[128];
  char nvidia_driver[32];  /* What is installed, such as "580.65.06"; empty where nothing tells. */
  char driver_version[32]; /* The newest CUDA that the driver knows, such as "13.0". */
  char runtime_version[32];
  char cublaslt_version[32];
  /* What is known of the Hopper kernel: "68 kernels checked", or which of them are off and why; empty where it
   * is not used. */
  char own_kernel[256];
} BwrtCudaInfo;

typedef struct BwrtCudaDevice BwrtCudaDevice; /* An open device. */
typedef struct BwrtCudaBuffer BwrtCudaBuffer; /* A piece of device memory. */

/* C = activation(alpha * A @ W + beta * C + bias); everything has been validated. */
typedef struct BwrtCudaWave {
  uint32_t size;
  int32_t dtype;   /* Of A and W. */
  int32_t c_dtype; /* Of C. */
  int32_t activation;
  int64_t m, n, k;
  int32_t bm, bn, bk;
  int32_t stages;
  int32_t cluster_x, cluster_y; /* Along m and along n. */
  int32_t tails;
  int32_t priority; /* Above 0: before others. */
  /* The tiles to compute, in order, as m << 16 | n. Null: all of the grid row by row, but for those that DROP skips. */
  const uint32_t* tiles;
  int64_t tile_count; /* Of those computed, also where tiles is null. */
  int32_t whole;      /* 1: the tiles cover all of C. */
  int32_t tmem_hints; /* 1: the planner gave hints on tensor memory. */
  const void* a;      /* Host, [m, k]. */
  int64_t a_stride;
  const int64_t* rows; /* Row i of the problem is row rows[i] of A and of C. Null: row i. */
  /* [k, n], or [n, k] when transposed: w_buffer, without gaps, unless that is null; else host memory. */
  BwrtCudaBuffer* w_buffer;
  const void* w;
  int64_t w_stride;
  int32_t w_transposed;
  int32_t c_read; /* 1: C's content counts (beta, or tiles left out). */
  float alpha;
  float beta;
  const float* bias; /* n values, or null. */
  void* c;           /* Host, [m, n], in and out. What lies between its rows is not touched. */
  int64_t c_stride;
  /* Of fp8 operands alone: multiply the product, as alpha does. 0 counts as 1. */
  float a_scale;
  float w_scale;
} BwrtCudaWave;

/* `step` is told that the first `finished` tiles are done and the first `started` ones on the device, and says whether
 * to stop: not 0. On the thread that called run. */
typedef struct BwrtCudaProgress {
  uint32_t size;
  void* context;
  int32_t (*step)(void* context, int64_t finished, int64_t started);
} BwrtCudaProgress;

/* A wish that is not carried out as written. Texts end with a zero byte. */
typedef struct BwrtCudaNote {
  char field[32];
  char requested[32];
  char executed[64];
  char reason[192];
} BwrtCudaNote;

typedef struct BwrtCudaEffective {
  uint32_t size;
  int32_t stages;
  int32_t cluster_x, cluster_y;
  int64_t k_step; /* 0: the kernel does not say. */
  int32_t traversal_honoured;
  int32_t note_count;
  char kernel[64];
  BwrtCudaNote notes[BWRT_CUDA_MAX_NOTES];
} BwrtCudaEffective;

typedef struct BwrtCudaReport {
  uint32_t size;
  int32_t unused;
  int64_t compute_ns; /* Between the events around the kernels. */
  int64_t copy_ns;    /* Everything else of the call. */
  /* Ratios in [0, 1] counted by the kernel; below 0: not counted. */
  float wgmma_active;
  float tma_occ;
  float l2_hit;
  float ring_occ;
  BwrtCudaEffective effective;
} BwrtCudaReport;

typedef struct BwrtCudaMemory {
  uint32_t size;
  int32_t unused;
  int64_t limit;
  int64_t used; /* By buffers and waves. */
  int64_t kept; /* Freed and kept for reuse. */
} BwrtCudaMemory;

/* Hardware counters of the whole GPU, whoever uses it. */
enum BwrtCudaCounterMode {
  BWRT_CUDA_COUNTERS_GPM = 1, /* NVML's GPU performance monitoring. */
  BWRT_CUDA_COUNTERS_PM = 2   /* CUPTI's PM sampling; GPM while that does not work. */
};

enum BwrtCudaCounterSource {
  BWRT_CUDA_SOURCE_NONE = 0,
  BWRT_CUDA_SOURCE_KERNEL = 1, /* Of a wave's report; never of sample_counters. */
  BWRT_CUDA_SOURCE_GPM = 2,
  BWRT_CUDA_SOURCE_PM = 3
};

typedef struct BwrtCudaCounterOptions {
  uint32_t size;
  int32_t mode;        /* BwrtCudaCounterMode */
  int64_t interval_ns; /* About how long it will be from one sample_counters to the next. */
} BwrtCudaCounterOptions;

typedef struct BwrtCudaCounter {
  float ratio;    /* In [0, 1]; below 0: not counted. */
  int32_t source; /* BwrtCudaCounterSource */
} BwrtCudaCounter;

typedef struct BwrtCudaCounters {
  uint32_t size;
  int32_t counting;              /* 1: a source works, also where it has nothing to tell yet. */
  BwrtCudaCounter tensor_active; /* Tensor pipes at work, of the whole interval. */
  BwrtCudaCounter l2_hit;        /* Of reads by the multiprocessors, where there were any. */
  BwrtCudaCounter dram_throughput;
  BwrtCudaCounter sm_active; /* Multiprocessors with work, of the whole interval. */
  char text[504];            /* What counts, and for each source that should but does not, why. */
} BwrtCudaCounters;

/* A cuBLASLt algorithm that was found to be the fastest for a kind of wave. Numbers of its configuration are
 * cuBLASLt's; the device checks them before it uses them. */
typedef struct BwrtCudaTuning {
  uint32_t size;
  int32_t dtype;
  int32_t c_dtype;
  int32_t activation;
  int32_t bias; /* 1: there is one. */
  int32_t w_transposed;
  int64_t m, n, k;
  int64_t lda, ldw, ldc; /* On the device. */
  int32_t bm, bn, bk;
  int32_t stages;
  int32_t cluster_x, cluster_y;
  int32_t algorithm;
  uint32_t tile;
  uint32_t tile_stages;
  uint32_t cluster;
  uint32_t swizzling;
  int32_t split_k;
  uint32_t reduction;
  uint32_t inner_shape;
  uint32_t custom;
  int32_t unused;
  int64_t median_ns;
  int64_t first_ns; /* Median of what runs untuned. */
} BwrtCudaTuning;

typedef struct BwrtCudaTuneOptions {
  uint32_t size;
  int32_t candidates; /* At most so many. */
  int32_t repeats;    /* Of each, besides those to warm up. */
  int32_t unused;
  int64_t budget_ns; /* No candidate but the first is begun when it is over. */
} BwrtCudaTuneOptions;

typedef struct BwrtCudaTuneReport {
  uint32_t size;
  int32_t found; /* 1: `tuning` says what. 0: there is no choice, or nothing was right. */
  int32_t candidates;
  int32_t timed;
  int32_t rejected; /* Of the timed ones, for a wrong result; only the fastest ones are looked at. */
  int32_t unused;
  BwrtCudaTuning tuning;
  char kernel[64];    /* As in BwrtCudaEffective. */
  char wrong[4][128]; /* The first rejected ones, with their errors. */
} BwrtCudaTuneReport;

typedef struct BwrtCudaTable {
  uint32_t abi_version;
  uint32_t size;
  const char* build; /* Toolkit and architectures it was built with. */

  int32_t (*open)(const BwrtCudaOptions* options, BwrtCudaDevice** device, BwrtCudaError* error);
  /* Every buffer must have been freed. */
  void (*close)(BwrtCudaDevice* device);
  void (*get_info)(BwrtCudaDevice* device, BwrtCudaInfo* info);
  void (*get_memory)(BwrtCudaDevice* device, BwrtCudaMemory* memory);

  /* Uninitialised. */
  int32_t (*allocate)(BwrtCudaDevice* device, int64_t bytes, BwrtCudaBuffer** buffer, BwrtCudaError* error);
  /* When the last wave that uses it has ended. Also after the device was lost, and for null. */
  void (*free_buffer)(BwrtCudaDevice* device, BwrtCudaBuffer* buffer);
  /* Through pinned memory on a stream of their own, beside waves; done when they return. */
  int32_t (*upload)(BwrtCudaDevice* device, BwrtCudaBuffer* buffer, int64_t offset, const void* from, int64_t bytes,
                    BwrtCudaError* error);
  int32_t (*read)(BwrtCudaDevice* device, BwrtCudaBuffer* buffer, int64_t offset, void* to, int64_t bytes,
                  BwrtCudaError* error);

  /* What run would do; pointers to operands are not followed. */
  int32_t (*plan)(BwrtCudaDevice* device, const BwrtCudaWave* wave, BwrtCudaEffective* effective, BwrtCudaError* error);
  /* Blocks until C is in host memory. On an error C is unspecified, and the device no longer touches anything of the
   * wave's: a lease may be dropped. */
  int32_t (*run)(BwrtCudaDevice* device, const BwrtCudaWave* wave, const BwrtCudaProgress* progress,
                 BwrtCudaReport* report, BwrtCudaError* error);

  /* A new context after the device was lost. The buffers' content is gone: free them and upload into new ones. */
  int32_t (*recreate)(BwrtCudaDevice* device, BwrtCudaError* error);

  /* From here on sample_counters counts. Nothing is counted yet: sources are opened by the first sample. INVALID when
   * they have been started. */
  int32_t (*start_counters)(BwrtCudaDevice* device, const BwrtCudaCounterOptions* options, BwrtCudaError* error);
  /* What was counted since the call before; the first has nothing to tell. Sources that fail are no error: text says
   * it, and they are tried again after a while where that can help. To be called once an interval, and not on a path
   * of waves: it takes milliseconds, and when it opens a source up to seconds. INVALID when not started. */
  int32_t (*sample_counters)(BwrtCudaDevice* device, BwrtCudaCounters* counters, BwrtCudaError* error);
  /* Gives the counters back. Also when they were not started. */
  void (*stop_counters)(BwrtCudaDevice* device);

  /* Times cuBLASLt's algorithms for waves of this shape and spec on data of its own; pointers are not followed, and of
   * the epilogue there is none. `progress` is asked between candidates, with no tiles. What was found is used from then
   * on, in place of what was found before. */
  int32_t (*tune)(BwrtCudaDevice* device, const BwrtCudaWave* wave, const BwrtCudaTuneOptions* options,
                  const BwrtCudaProgress* progress, BwrtCudaTuneReport* report, BwrtCudaError* error);
  /* The first `capacity` of those found or set, in `to`; how many there are in *count. */
  int32_t (*get_tunings)(BwrtCudaDevice* device, BwrtCudaTuning* to, int64_t capacity, int64_t* count,
                         BwrtCudaError* error);
  /* Uses it from then on. INVALID when it is out of range or the device can't run it. */
  int32_t (*set_tuning)(BwrtCudaDevice* device, const BwrtCudaTuning* tuning, BwrtCudaError* error);
} BwrtCudaTable;

/* Null when the plugin can't serve a loader of this version. */
typedef const BwrtCudaTable* (*BwrtCudaEntry)(uint32_t loader_abi_version);

/* NOLINTEND(modernize-use-using) */

#ifdef __cplusplus
}
#endif

#endif /* BWRT_RUNTIME_CUDA_PLUGIN_ABI_H_ */
