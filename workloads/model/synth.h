/* SPDX-License-Identifier: Apache-2.0 */
/* Synthetic models: GGUF files of a real model's shape whose weights are random. They cost what the
 * real ones cost in time, memory and energy, and say nothing of quality. */
#ifndef JM_WORKLOADS_MODEL_SYNTH_H
#define JM_WORKLOADS_MODEL_SYNTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/format.h"
#include "base/status.h"

struct jm_synth_shape {
    const char *name; /* "hy-mt-1.8b" */
    const char *summary;
};

/* Shape i, from 0 on; NULL after the last. */
const struct jm_synth_shape *jm_synth_shape_at(size_t i);

struct jm_synth_options {
    const char *shape; /* the name of a shape; NAME-LN is NAME with N layers */
    jm_format format;  /* of the matrices */
    uint64_t seed;
    uint32_t layers; /* 0: as the shape has */
    /* Called now and then with the share done, 0..1; false ends the work. NULL: not called. */
    bool (*progress)(void *ctx, double done);
    void *ctx;
};

/**
 * Writes the file, whole or not at all, about a megabyte of it in memory at a time.
 *
 * - general.architecture, sizes, tensor names and dimensions are the real model's; the tokenizer
 *   has the real number of tokens, made up (synth_vocab.c).
 * - joulemark.synthetic is true, general.name is "SHAPE synthetic".
 * - A matrix is uniform with mean 0 and standard deviation 1 / sqrt(inputs), norms are 1, biases 0:
 *   activations keep a root mean square near 1 through any number of layers.
 * - F32, F16, BF16, Q8_0, Q5_0 and Q4_0 of one seed hold the same weights, encoded; other formats
 *   hold random valid blocks with scales for the same standard deviation.
 * - Embedding and output head: Q8_0 for Q4_0, Q5_0 and IQ4_NL; Q6_K for the smaller k-quants and
 *   ternary formats, as published files have it; else `format`. Convolutions: F16, or `format` if
 *   it is not quantised.
 * - The same seed, shape and format give the same bytes; a tensor's weights depend on its name and
 *   the seed only, so that fewer layers leave the remaining ones as they were.
 *
 * JM_ENOTFOUND: no such shape. JM_EUSAGE: rows that `format` cannot hold, too many layers. JM_EIO:
 * the disk lacks room (checked before anything is written), or a write failed. JM_EINTERRUPTED:
 * progress said so. JM_ENOMEM.
 */
jm_status jm_synth_file(const char *path, const struct jm_synth_options *o, jm_err *err);

#endif
