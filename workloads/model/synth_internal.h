/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the generator of synthetic models share. */
#ifndef JM_WORKLOADS_MODEL_SYNTH_INTERNAL_H
#define JM_WORKLOADS_MODEL_SYNTH_INTERNAL_H

#include "base/rng.h"
#include "workloads/model/gguf_keys.h"
#include "workloads/model/gguf_write.h"
#include "workloads/model/synth.h"

enum jm_synth_family { JM_SYNTH_HUNYUAN, JM_SYNTH_U1 };

struct jm_synth_dims {
    struct jm_synth_shape shape;
    enum jm_synth_family family;
    uint32_t layers, hidden, ffn, heads, kv_heads, head_dim;
    uint32_t vocab, special, context; /* special: control tokens, the last ids of vocab */
    float eps, rope_base;
    bool head; /* an output head of its own */
    /* U1 only. */
    uint32_t patch, vision_width, head_width; /* pixels of a patch's side, features, features */
    uint32_t image_size, steps;
    float cfg, shift; /* defaults of the sampler */
};

struct jm_synth_tensor {
    char name[96];
    jm_format format;
    uint32_t n_dims;
    uint64_t dims[4];
    double std;  /* of random weights; 0: all are `value` */
    float value; /* F32 only */
};

struct jm_synth_tensors {
    struct jm_synth_tensor *p; /* [n], owned */
    size_t n, room;
    bool out_of_memory;
};

/* The metadata of the shape, tokenizer included. */
void jm_synth_metadata(const struct jm_synth_dims *d, jm_format to, struct jm_gguf_keys *k);

/* Every tensor of the shape in the order of the file. */
void jm_synth_list(const struct jm_synth_dims *d, jm_format to, struct jm_synth_tensors *out);

/* tokenizer.ggml.*: d->vocab tokens, of which the last d->special are the family's control tokens
 * at their published places. */
void jm_synth_vocab(const struct jm_synth_dims *d, struct jm_gguf_keys *k);

/* n rows of cols weights of this standard deviation into dst. row: f32 [cols] of scratch. */
void jm_synth_rows(jm_rng *r, jm_format f, double std, size_t cols, uint64_t n, float *row,
                   uint8_t *dst);

#endif
