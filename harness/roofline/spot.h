/* SPDX-License-Identifier: Apache-2.0 */
/* Where operations stand under the roofs of a device. Williams, Waterman, Patterson, "Roofline",
 * CACM 52(4), 2009: an operation that needs W multiplications and additions and moves Q bytes takes
 * at least max(W / peak, Q / bandwidth). */
#ifndef JM_HARNESS_ROOFLINE_SPOT_H
#define JM_HARNESS_ROOFLINE_SPOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/backend.h"

/* Nodes of a graph that are alike (the same operation and weight in each layer) in the batches of
 * one class. */
struct jm_spot {
    enum jm_op op;
    uint32_t entry;
    char name[64];   /* of the weight without number of layer and ".weight"; "": none */
    char format[16]; /* as struct jm_profile_op */
    char kernel[16];
    enum jm_roof_kind kind;
    uint64_t calls;
    double busy_ns; /* of all threads together */
    double operations, bytes, set_bytes;

    /* Filled by jm_spot_place; rates are of all threads together. NAN: unavailable. */
    double seconds;   /* busy_ns over threads */
    double ops_per_s; /* 0 where nothing is calculated */
    double bytes_per_s;
    double intensity;     /* operations a byte */
    const char *read;     /* the roof of its bytes: "L2"; "" */
    const char *mul;      /* that of its operations: "INT8"; "" */
    bool by_memory;       /* which of both is lower */
    double bound_seconds; /* that it takes at least */
    double share;         /* bound_seconds over seconds */
};

/* Batches of one class, with what they consist of, the longest first. */
struct jm_spots {
    struct jm_profile_batches batches;
    struct jm_spot *spot; /* [n], owned */
    size_t n;
};

/* "blk.12.attn_q.weight": "attn_q"; "token_embd.weight": "token_embd". */
void jm_spot_name(const char *weight, char out[64]);
/* Its last word, with numbers behind it: "self_attn.q_proj": "q_proj"; "fm.head.0": "head.0". */
const char *jm_spot_tail(const char *name);

/* The roof of reading when `threads` walk through set_bytes together: the fastest that holds them.
 * NULL: there is none for this number of threads. */
const struct jm_roof *jm_roof_of_set(const struct jm_roof *roof, size_t n, uint32_t threads,
                                     double set_bytes);
/* The roof of multiplying; NULL: none, or unavailable. */
const struct jm_roof *jm_roof_of_kind(const struct jm_roof *roof, size_t n, uint32_t threads,
                                      enum jm_roof_kind kind);

/* Rates and bound of a spot whose busy time is of `threads`. */
void jm_spot_place(struct jm_spot *s, const struct jm_roof *roof, size_t n, uint32_t threads);

/* Class `class` of a profiled plan, placed under roof [n]. JM_ENOTFOUND: there is no such class. */
jm_status jm_spots_read(const struct jm_backend_ops *ops, const jm_plan *plan, uint32_t class,
                        const struct jm_roof *roof, size_t n, struct jm_spots *out, jm_err *err);
void jm_spots_free(struct jm_spots *s);

#endif
