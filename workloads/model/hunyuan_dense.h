/* SPDX-License-Identifier: Apache-2.0 */
/* The decoder of the Hy-MT translators (GGUF architecture "hunyuan-dense") as a graph, built from
 * a file's own metadata and nothing else. */
#ifndef JM_WORKLOADS_MODEL_HUNYUAN_DENSE_H
#define JM_WORKLOADS_MODEL_HUNYUAN_DENSE_H

#include "backends/graph.h"
#include "base/status.h"
#include "workloads/model/gguf.h"

/* Outputs of the graph, for jm_backend_ops.fetch. One row for each gathered row of the batch. */
enum {
    JM_HUNYUAN_ARGMAX = 0, /* i32 [n_gather]: the most likely next token */
    JM_HUNYUAN_LOGITS = 1, /* f32 [n_gather, vocab] */
};

/* What the metadata say, absent keys filled in. */
struct jm_hunyuan {
    uint32_t layers, hidden, ffn;
    uint32_t heads, kv_heads, head_dim;
    uint32_t vocab, context; /* tokens, positions */
    float eps;               /* of every RMS norm */
    float rope_base;
};

/**
 * Records the model of f. *params is filled too when the result is JM_OK. The graph's weights
 * point into f, which must outlive every plan compiled from it. The caller frees *out.
 *
 * JM_EUNSUPPORTED  another architecture (named)
 * JM_EINPUT        a key or a tensor is missing or of the wrong shape (named)
 * JM_ENOMEM
 */
jm_status jm_hunyuan_build(const jm_gguf *f, jm_graph **out, struct jm_hunyuan *params,
                           jm_err *err);

#endif
