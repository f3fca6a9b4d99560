/* SPDX-License-Identifier: Apache-2.0 */
/* The picture generators of the SenseNova-U1 kind ("NEO-unify", GGUF architecture "sensenova_u1")
 * as a graph of two entries, built from a file's own metadata and nothing else: a text entry that
 * fills the caches, and a picture entry that predicts the clean pixels of noisy ones. Two sets of
 * weights meet only in attention.
 * Source: OpenSenseNova/SenseNova-U1, arXiv 2605.12500. */
#ifndef JM_WORKLOADS_MODEL_NEO_UNIFY_H
#define JM_WORKLOADS_MODEL_NEO_UNIFY_H

#include "backends/graph.h"
#include "base/status.h"
#include "workloads/model/gguf.h"

/* Entries, inputs and the output of the graph. A row of the picture entry is a cell of merge x
 * merge patches, which gives one token; its position T is the number of text tokens, H and W are
 * the cell's row and column. Each picture is a run. */
enum {
    JM_NEO_TEXT = 0,    /* entry: tokens in, nothing out */
    JM_NEO_PICTURE = 1, /* entry */

    JM_NEO_PIXELS = 0, /* input [cells, 3 cell^2]: patches in rows, in each channel, row, column */
    JM_NEO_TIME = 1,   /* input [runs, time_features]: jm_neo_features of t */
    JM_NEO_NOISE = 2,  /* input [runs, noise_features]: of noise scale / noise_max; only where
                        * noise_features > 0 */

    JM_NEO_X_PRED = 0, /* output [cells, 3 cell^2]: row, column, channel */
};

enum { JM_NEO_MAX_WIDTH = 1 << 20 }; /* columns of any value */

/* What the metadata say, absent keys filled in. */
struct jm_neo {
    uint32_t layers, hidden, ffn;
    uint32_t heads, kv_heads, head_dim;
    uint32_t vocab, context; /* tokens; positions of text */
    float eps;               /* of every RMS norm */
    float rope_base, rope_base_hw, vision_rope_base;
    uint32_t patch, merge;   /* pixels a side; patches a side */
    uint32_t vision, head;   /* widths: of a patch, of the pixel head's middle */
    uint32_t time_features;  /* even */
    uint32_t noise_features; /* even; 0: the model is not told the noise scale */
    float noise_scale, noise_max;
    bool noise_by_resolution;   /* the scale grows with the picture */
    uint32_t noise_base_tokens; /* tokens of the picture whose scale is noise_scale */
    float t_eps;
    uint32_t default_size, default_steps; /* pixels; 0: the file does not say */
    float default_cfg, default_shift;
};

/* Pixels a side of one cell. */
static inline uint32_t jm_neo_cell(const struct jm_neo *p)
{
    return p->patch * p->merge;
}

/* Values of a cell: three channels. */
static inline uint32_t jm_neo_cell_values(const struct jm_neo *p)
{
    return 3 * jm_neo_cell(p) * jm_neo_cell(p);
}

/* Where tensors come from: GGUF, or another container with the original names. */
struct jm_neo_source {
    const char *path; /* for messages */
    const void *file;
    /* NULL when absent. dims: row length first, as in GGUF; *n_dims: how many, at most 4. */
    const struct jm_tensor *(*find)(const void *file, const char *name, uint64_t dims[4],
                                    uint32_t *n_dims);
};

/**
 * Reads the metadata of a GGUF file of the architecture. time_features and noise_features are
 * found by jm_neo_build, from the embedders' weights; here noise_features is 1 or 0.
 *
 * JM_EUNSUPPORTED  another architecture (named)
 * JM_EINPUT        a key is missing or makes no sense (named)
 */
jm_status jm_neo_read(const jm_gguf *f, struct jm_neo *out, jm_err *err);

/* Whether all settings are in range and fit together; jm_neo_build asks too. JM_EINPUT: names the
 * first that does not. path is for messages. */
jm_status jm_neo_check(const char *path, const struct jm_neo *p, jm_err *err);

/* f as a source; f must outlive what is built from it. */
struct jm_neo_source jm_neo_gguf(const jm_gguf *f);

/**
 * Records both entries; fills p's feature counts. The graph's weights point into the source's
 * file, which must outlive every plan compiled from it. The caller frees *out.
 *
 * JM_EINPUT        a tensor is missing or of the wrong shape (named, with both shapes)
 * JM_EUNSUPPORTED  a tensor in a format that its use does not allow
 * JM_ENOMEM
 */
jm_status jm_neo_build(const struct jm_neo_source *s, struct jm_neo *p, jm_graph **out,
                       jm_err *err);

/* Sinusoidal features of a scalar: n / 2 cosines, then n / 2 sines, of value * 10000^(-i / (n /
 * 2)). out [n]; n is even. */
void jm_neo_features(float value, uint32_t n, float *out);

#endif
