/* SPDX-License-Identifier: Apache-2.0 */
/* The door that every backend implements. A backend is a shared object that exports one symbol,
 * jm_backend_entry. It knows nothing of translation or pictures. */
#ifndef JM_BACKENDS_BACKEND_H
#define JM_BACKENDS_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/graph.h"
#include "base/status.h"

#define JM_BACKEND_ABI 7u /* raise on any change below or in graph.h or format.h */

typedef struct jm_device jm_device; /* the backend's own */
typedef struct jm_plan jm_plan;     /* a compiled graph, the backend's own */

struct jm_device_options {
    uint32_t threads; /* 0: the backend's choice */
    const char *isa;  /* instruction set by name; NULL: the best there is */
};

struct jm_device_info {
    char name[128]; /* "AMD EPYC 9B45" */
    char isa[32];   /* "avx512"; "" where it means nothing */
    uint32_t threads;
};

/* What a plan must be able to take. The first three > 0; max_runs and max_side only where the graph
 * has runs or picture positions. */
struct jm_limits {
    uint32_t max_rows;    /* rows a batch */
    uint32_t max_slots;   /* sequences with their own key/value cache */
    uint32_t max_context; /* positions a slot */
    uint32_t max_runs;    /* runs a batch, <= max_rows */
    uint32_t max_side;    /* positions on the axes H and W */
    jm_format kv_format;  /* of the keys and values kept: JM_F32, JM_F16 or JM_Q8_0 */
    uint32_t max_gather;  /* gathered rows a batch; 0: max_rows */
    uint64_t max_bytes;   /* of memory in all; 0: what is available */
    uint64_t other_bytes; /* host memory that the caller takes besides */
};

/* Device memory of a plan, in bytes. */
struct jm_plan_memory {
    size_t weights; /* as the kernels want them; not those that are read where the file lies */
    size_t caches;  /* keys and values of max_slots sequences of max_context positions */
    size_t work;    /* values between operations, tables, room for each thread */
};

/* Rows of one slot stand together, positions rising by 1. A row at position p of a slot sees what
 * was written at 0..p in that slot, also by earlier rows of the same batch; writing position 0
 * starts a slot anew.
 *
 * In an entry with ATTEND_RUN the rows are cut into runs. All rows of a run have one slot and one
 * position on axis T, which is how many positions of the slot's cache they see; several runs may
 * have the same slot. */
struct jm_batch {
    uint32_t entry; /* of the graph; 0: the first */
    uint32_t n_rows;
    const uint32_t *token;  /* [n_rows]; NULL in an entry without EMBED */
    const uint32_t *slot;   /* [n_rows], < max_slots */
    const uint32_t *pos;    /* [n_rows] on axis T, < max_context; in runs <= max_context */
    const uint32_t *pos_h;  /* [n_rows], < max_side; NULL in an entry that uses no axis H */
    const uint32_t *pos_w;  /* [n_rows], < max_side; NULL in an entry that uses no axis W */
    uint32_t n_runs;        /* 0: the entry has no runs */
    const uint32_t *run;    /* [n_runs], first row of each, rising from 0 */
    uint32_t n_gather;      /* <= n_rows and max_gather; may be 0 */
    const uint32_t *gather; /* [n_gather], row numbers, rising */
    const float *input[JM_MAX_INPUTS]; /* [n_rows or n_runs, cols]; those of other entries: NULL */
};

/* How a kernel set does one operation. */
struct jm_kernel {
    const char *op;  /* "linear Q4_K" */
    const char *how; /* "own"; "as F32", "as I14": by its own, on weights made so when loaded;
                      * "C": by C that all sets share; NULL: not at all */
};

/* Kernels for one instruction set. */
struct jm_kernel_set {
    const char *name;            /* what jm_device_options.isa takes */
    const char *needs;           /* of the machine */
    char lacks[64];              /* what of that is not here; "" when nothing */
    bool written;                /* false: nobody has yet */
    bool works;                  /* here */
    bool chosen;                 /* by open, when not told which */
    uint32_t n;                  /* 0 unless written */
    struct jm_kernel kernel[24]; /* [n], the same operations in the same order in every set */
};

/* What bounds an operation: how fast bytes can be read, or how fast it can multiply numbers of one
 * kind. */
enum jm_roof_kind {
    JM_ROOF_READ,
    JM_ROOF_F32,
    JM_ROOF_I8,
    JM_ROOF_I16,
    JM_ROOF_BF16,
    JM_ROOF_KINDS
};

/* A limit of a device, measured. */
struct jm_roof {
    enum jm_roof_kind kind;
    char name[24];         /* READ: "L1", "L2", "L3", "memory"; otherwise "FP32", "INT8", … */
    char how[48];          /* what was run: "vpdpbusd, 512 bits" */
    uint32_t threads;      /* that ran it together */
    size_t set_bytes;      /* READ: that all threads together read over and over */
    size_t capacity_bytes; /* READ: sets up to this are read as fast; SIZE_MAX: any */
    double per_s;    /* bytes, or operations (a multiplication and its addition are two), of all
                      * threads together; NAN: unavailable */
    char reason[80]; /* why */
};
enum { JM_MAX_ROOFS = 16 };

/* Batches of one class: those of rows_from to rows_to rows. Times of threads are sums over all. */
struct jm_profile_batches {
    uint32_t rows_from, rows_to; /* UINT32_MAX: no end */
    uint32_t threads;
    uint64_t batches, rows;
    double execute_ns; /* wall time of execute to the end of its work */
    double between_ns; /* wall time from the batch before until execute: of whoever calls it */
    double busy_ns;    /* of threads, in operations */
    double wait_ns;    /* of threads, for others: at barriers, and at the end */
    double start_ns;   /* of threads, until their first operation */
};

/* One node of the graph in the batches of one class. Bytes are those that it has to move once a
 * batch: weights as the device holds them (by each thread that reads all of them), keys and values,
 * rows in and out. */
struct jm_profile_op {
    enum jm_op op;
    uint32_t entry;
    char name[128];  /* of its weight; "": none */
    char format[16]; /* of its weight in the file; "": none */
    char kernel[16]; /* as what it is multiplied: "I16"; "": nothing is */
    enum jm_roof_kind kind;
    uint64_t calls;
    double busy_ns; /* of all threads together */
    double operations, bytes;
    double set_bytes; /* what passes between two uses of the same byte: a cache that holds this much
                       * holds what the operation reads */
};

struct jm_backend_ops {
    uint32_t abi;        /* first for ever: JM_BACKEND_ABI */
    const char *name;    /* the word after --backend */
    const char *summary; /* one line */

    /* Required. How many devices there are: 0 and JM_OK when none. */
    jm_status (*count)(uint32_t *n, jm_err *err);
    jm_status (*open)(uint32_t index, const struct jm_device_options *opt, jm_device **out,
                      jm_err *err);
    void (*close)(jm_device *dev); /* takes NULL */
    void (*info)(const jm_device *dev, struct jm_device_info *out);
    bool (*supports)(const jm_device *dev, const struct jm_node *op);
    /* g may be freed afterwards; the data of its weights must outlive *out. JM_ENOMEM before any of
     * it is in use where memory does not suffice: says what is needed, and what there is. */
    jm_status (*compile)(jm_device *dev, const jm_graph *g, const struct jm_limits *lim,
                         jm_plan **out, jm_err *err);
    void (*plan_close)(jm_plan *plan); /* takes NULL */
    void (*plan_memory)(const jm_plan *plan, struct jm_plan_memory *out);
    /* Enqueues. The batch stays the caller's, unchanged until wait. Refuses tokens, slots,
     * positions and runs out of range, and inputs that are missing, with JM_EUSAGE. */
    jm_status (*execute)(jm_plan *plan, const struct jm_batch *in, jm_err *err);
    jm_status (*wait)(jm_plan *plan, jm_err *err);
    /* After wait: copies rows [first, first + n) of output `out` into dst in host memory: f32
     * [n, cols], or i32 [n] for ARGMAX. */
    jm_status (*fetch)(jm_plan *plan, uint32_t out, uint32_t first, uint32_t n, void *dst,
                       jm_err *err);

    /* Optional; NULL: unavailable, never zero. Joules since open. */
    jm_status (*energy)(const jm_device *dev, double *joules, jm_err *err);
    /* Optional; NULL: there is nothing to choose. Set i, the best first; false after the last. */
    bool (*kernel_set)(size_t i, struct jm_kernel_set *out);
    /* Optional; NULL: unavailable. Measures what the device's kernel set can reach with some of its
     * threads: *n <= JM_MAX_ROOFS limits. Takes about a second. JM_EUSAGE: more threads than the
     * device has. */
    jm_status (*roofs)(jm_device *dev, uint32_t threads, struct jm_roof out[JM_MAX_ROOFS],
                       uint32_t *n, jm_err *err);
    /* Optional, all three or none. on: from now on each operation is timed, from zero; off: no
     * more, and what was counted is lost. Not while a batch is under way. */
    jm_status (*profile)(jm_plan *plan, bool on, jm_err *err);
    /* Classes of batches from 0 on, and the nodes of the graph, in each; false after the last. No
     * batches, no calls: it did not run. */
    bool (*profile_batches)(const jm_plan *plan, uint32_t class, struct jm_profile_batches *out);
    bool (*profile_op)(const jm_plan *plan, uint32_t class, uint32_t node,
                       struct jm_profile_op *out);
};

/* The one exported symbol of a backend. */
__attribute__((visibility("default"))) const struct jm_backend_ops *jm_backend_entry(void);

#endif
