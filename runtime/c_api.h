/* wasmkiln from C: open a .kiln model, run it, close it. Link libkiln_native (CMake target kiln_native).
 *
 *   kiln_model* model;
 *   if (kiln_model_open("digits.kiln", NULL, &model)) { fprintf(stderr, "%s\n", kiln_last_error()); return 1; }
 *   const int64_t shape[] = {1, 1, 8, 8};
 *   kiln_input image = {"image", KILN_FLOAT32, shape, 4, pixels, sizeof pixels};
 *   kiln_output logits = {"logits", answer, sizeof answer, NULL};
 *   if (kiln_model_run(model, &image, 1, &logits, 1)) …
 *   kiln_model_close(model);
 *
 * Every function that can fail returns a status: KILN_OK is 0. Nothing throws, also where memory or threads cannot be
 * had: that is KILN_OUT_OF_MEMORY, and a model that is open stays usable. A model may be used from several
 * threads; their calls take turns, in the order in which they come. kiln_model_cancel() comes through at once.
 * Strings and shapes that a function gives belong to the model and live as long as it does. */
#ifndef WASMKILN_C_API_H
#define WASMKILN_C_API_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kiln_model kiln_model;

enum kiln_status {
  KILN_OK = 0,
  KILN_BAD_FILE = 1,             /* unreadable, not a model, truncated, damaged */
  KILN_UNSUPPORTED_VERSION = 2,  /* made for a newer runtime */
  KILN_UNSUPPORTED_OPERATOR = 3, /* the message lists the nodes */
  KILN_BAD_INPUT = 4,            /* name, type, shape or size; an index outside its table */
  KILN_BAD_OPTION = 5,           /* also a null pointer where none is allowed */
  KILN_BAD_WISDOM = 6,
  KILN_OUT_OF_MEMORY = 7, /* or threads that the system does not start */
  KILN_INTERNAL = 8,      /* a bug of wasmkiln: please report it */
  KILN_ABORTED = 9        /* kiln_model_cancel() ended the run */
};

enum kiln_dtype {
  KILN_FLOAT32 = 0,
  KILN_FLOAT16 = 1,
  KILN_BFLOAT16 = 2,
  KILN_INT8 = 3,
  KILN_UINT8 = 4,
  KILN_INT32 = 5,
  KILN_INT64 = 6,
  KILN_BOOL = 7, /* a byte, 0 or 1 */
  KILN_INT16 = 8,
  KILN_UINT16 = 9,
  KILN_UINT32 = 10,
  KILN_UINT64 = 11
};

/* The message of the last failed call on this thread: what is wrong, where, and what to do. */
const char* kiln_last_error(void);
/* "bad-input" for KILN_BAD_INPUT, and so on. */
const char* kiln_status_name(int status);

enum kiln_precision {
  KILN_EXACT = 0,    /* only rounding, about 1e-5 of an output's scale */
  KILN_BALANCED = 1, /* the default: the fastest algorithms within 1e-4 of the scale */
  KILN_FAST = 2      /* … within 1e-3 */
};

/* A size for a symbolic dim of the model. */
typedef struct kiln_dim {
  const char* name;
  int64_t size;
} kiln_dim;

/* Set every field with kiln_options_init(), then change what you want. */
typedef struct kiln_options {
  int threads;          /* including the caller's; 0: one per core */
  const char* isa;      /* "host", "avx2", "avx512", "neon", "reference" */
  int precision;        /* enum kiln_precision */
  double tuning_ms;     /* how long opening may measure kernels that are not in the wisdom; 0: not at all */
  const char* wisdom;   /* path of a wisdom file to read, or NULL */
  int device_wisdom;    /* use and update this machine's wisdom in the user's cache directory */
  int verify_checksums; /* compare the weights with their hashes */
  /* "sha256-…", as `kiln inspect` prints it, or NULL: this file and no other, else KILN_BAD_FILE. Several with spaces
   * between: one of these. The weights are compared with the SHA-256 digests that the file's head has of them. */
  const char* integrity;
  const kiln_dim* dims;
  size_t num_dims;
} kiln_options;
void kiln_options_init(kiln_options* options);

/* What a process that runs models nobody vouches for may still do; read: files, write: a folder, or NULL. */
typedef struct kiln_sandbox {
  size_t memory_bytes; /* of addresses, with code and the stacks of threads */
  size_t cpu_seconds;  /* of all threads together; then the system ends the process */
  size_t file_bytes;   /* of any file that it writes */
  const char* const* read;
  size_t num_read;
  const char* write;
} kiln_sandbox;
/* Gives up everything else, for this process and for ever; open files but the first three are closed. Call it in a
 * process of its own, in its first thread before there are others, and before a model is opened. */
int kiln_sandbox_enter(const kiln_sandbox* sandbox);

/* Loads and compiles. `options` may be NULL. On failure *model is NULL. */
int kiln_model_open(const char* path, const kiln_options* options, kiln_model** model);
/* No other call on the model may be running. NULL is allowed. */
void kiln_model_close(kiln_model* model);

typedef struct kiln_port {
  const char* name;
  int dtype; /* enum kiln_dtype */
  const int64_t* shape;
  size_t rank;
  size_t bytes;
  /* Of an output whose size along one axis a run decides: that axis. `shape` has the most that it may be. Else -1. */
  int bounded_axis;
} kiln_port;
size_t kiln_model_num_inputs(const kiln_model* model);
size_t kiln_model_num_outputs(const kiln_model* model);
int kiln_model_input(const kiln_model* model, size_t index, kiln_port* port);
int kiln_model_output(const kiln_model* model, size_t index, kiln_port* port);

/* Data is contiguous and row-major; `bytes` is its size. */
typedef struct kiln_input {
  const char* name;
  int dtype;
  const int64_t* shape;
  size_t rank;
  const void* data;
  size_t bytes;
} kiln_input;
typedef struct kiln_output {
  const char* name;
  void* data;
  size_t bytes; /* exactly the port's */
  /* Room for the port's dims, which gets those of the result; or NULL. Not NULL where a run decides the size: then the
   * elements of the result are the first ones of `data`. */
  int64_t* shape;
} kiln_output;
/* Every input must be given, in any order. Outputs that you do not ask for are not copied. */
int kiln_model_run(kiln_model* model, const kiln_input* inputs, size_t num_inputs, const kiln_output* outputs,
                   size_t num_outputs);
/* Ends the current run, which returns KILN_ABORTED. May be called from any thread. Without a run it does nothing. */
void kiln_model_cancel(kiln_model* model);

/* Bytes of the one block of memory that a model uses while it runs. */
typedef struct kiln_memory {
  size_t weights, arena, scratch, total;
} kiln_memory;
int kiln_model_memory(const kiln_model* model, kiln_memory* memory);

/* One step of the compiled model. */
typedef struct kiln_step {
  const char* label;
  const char* kernel;   /* family */
  const char* schedule; /* how it is computed */
  double flops, bytes;
} kiln_step;
size_t kiln_model_num_steps(const kiln_model* model);
int kiln_model_step(const kiln_model* model, size_t index, kiln_step* step);
/* Writes the least milliseconds of each step over `passes` passes to ms[kiln_model_num_steps()]. */
int kiln_model_profile(kiln_model* model, const kiln_input* inputs, size_t num_inputs, int passes, double* ms);

#ifdef __cplusplus
}
#endif
#endif
