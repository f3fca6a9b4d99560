/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of each family hold: keys and tensors, as hunyuan_dense.c and the makers of
 * SenseNova-U1 name them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workloads/model/synth_internal.h"

static const char *prefix(const struct jm_synth_dims *d)
{
    return d->family == JM_SYNTH_HUNYUAN ? "hunyuan-dense" : "sensenova_u1";
}

static void u32(struct jm_gguf_keys *k, const struct jm_synth_dims *d, const char *key, uint32_t v)
{
    char name[96];
    snprintf(name, sizeof name, "%s.%s", prefix(d), key);
    jm_gguf_keys_u32(k, name, v);
}

static void f32(struct jm_gguf_keys *k, const struct jm_synth_dims *d, const char *key, float v)
{
    char name[96];
    snprintf(name, sizeof name, "%s.%s", prefix(d), key);
    jm_gguf_keys_f32(k, name, v);
}

static void u1_metadata(const struct jm_synth_dims *d, struct jm_gguf_keys *k)
{
    f32(k, d, "rope.freq_base_hw", 10000.0f);
    u32(k, d, "vision.patch_size", d->patch);
    u32(k, d, "vision.merge_size", 2);
    u32(k, d, "vision.embedding_length", d->vision_width);
    f32(k, d, "vision.rope.freq_base", 10000.0f);
    u32(k, d, "fm_head.feed_forward_length", d->head_width);
    f32(k, d, "noise_scale", 1.0f);
    jm_gguf_keys_str(k, "sensenova_u1.noise_scale_mode", "resolution");
    u32(k, d, "noise_scale_base_image_seq_len", 64);
    f32(k, d, "noise_scale_max_value", 8.0f);
    jm_gguf_keys_bool(k, "sensenova_u1.add_noise_scale_embedding", true);
    f32(k, d, "t_eps", 0.05f);
    u32(k, d, "default.image_size", d->image_size);
    u32(k, d, "default.steps", d->steps);
    f32(k, d, "default.cfg_scale", d->cfg);
    f32(k, d, "default.timestep_shift", d->shift);
}

void jm_synth_metadata(const struct jm_synth_dims *d, jm_format to, struct jm_gguf_keys *k)
{
    char name[64];
    snprintf(name, sizeof name, "%s synthetic", d->shape.name);
    jm_gguf_keys_str(k, "general.architecture", prefix(d));
    jm_gguf_keys_str(k, "general.name", name);
    jm_gguf_keys_u32(k, "general.file_type", jm_gguf_file_type(to));
    jm_gguf_keys_bool(k, "joulemark.synthetic", true);
    u32(k, d, "block_count", d->layers);
    u32(k, d, "context_length", d->context);
    u32(k, d, "embedding_length", d->hidden);
    u32(k, d, "feed_forward_length", d->ffn);
    u32(k, d, "attention.head_count", d->heads);
    u32(k, d, "attention.head_count_kv", d->kv_heads);
    u32(k, d, "attention.key_length", d->head_dim);
    u32(k, d, "attention.value_length", d->head_dim);
    f32(k, d, "attention.layer_norm_rms_epsilon", d->eps);
    f32(k, d, "rope.freq_base", d->rope_base);
    u32(k, d, "vocab_size", d->vocab);
    if (d->family == JM_SYNTH_HUNYUAN)
        u32(k, d, "rope.dimension_count", d->head_dim);
    else
        u1_metadata(d, k);
    jm_synth_vocab(d, k);
}

/* ---- tensors ---- */

struct list {
    struct jm_synth_tensors *out;
    jm_format to;   /* of matrices */
    jm_format head; /* of the embedding and the output head */
    jm_format conv;
};

static struct jm_synth_tensor *add(struct list *l, const char *name)
{
    struct jm_synth_tensors *t = l->out;
    if (t->out_of_memory)
        return NULL;
    if (t->n == t->room) {
        size_t room = t->room > 0 ? t->room * 2 : 64;
        struct jm_synth_tensor *more = realloc(t->p, room * sizeof *more);
        if (!more) {
            t->out_of_memory = true;
            return NULL;
        }
        t->p = more;
        t->room = room;
    }
    struct jm_synth_tensor *one = &t->p[t->n++];
    *one = (struct jm_synth_tensor){ .format = l->to };
    snprintf(one->name, sizeof one->name, "%s", name);
    return one;
}

static void matrix(struct list *l, const char *name, uint32_t rows, uint32_t cols, jm_format f)
{
    struct jm_synth_tensor *t = add(l, name);
    if (!t)
        return;
    t->n_dims = 2;
    t->dims[0] = cols;
    t->dims[1] = rows;
    t->format = f;
    t->std = 1 / sqrt((double)cols);
}

static void vector(struct list *l, const char *name, uint32_t n, float value)
{
    struct jm_synth_tensor *t = add(l, name);
    if (!t)
        return;
    t->n_dims = 1;
    t->dims[0] = n;
    t->format = JM_F32;
    t->value = value;
}

static void biased(struct list *l, const char *name, uint32_t rows, uint32_t cols)
{
    char full[96];
    snprintf(full, sizeof full, "%s.weight", name);
    matrix(l, full, rows, cols, l->to);
    snprintf(full, sizeof full, "%s.bias", name);
    vector(l, full, rows, 0.0f);
}

/* A strided convolution: kernel x kernel x in, for each of `out`. */
static void convolution(struct list *l, const char *name, uint32_t kernel, uint32_t in,
                        uint32_t out)
{
    char full[96];
    snprintf(full, sizeof full, "%s.weight", name);
    struct jm_synth_tensor *t = add(l, full);
    if (t) {
        t->n_dims = 4;
        t->dims[0] = t->dims[1] = kernel;
        t->dims[2] = in;
        t->dims[3] = out;
        t->format = l->conv;
        t->std = 1 / sqrt((double)kernel * kernel * in);
    }
    snprintf(full, sizeof full, "%s.bias", name);
    vector(l, full, out, 0.0f);
}

static void hunyuan_layer(struct list *l, const struct jm_synth_dims *d, uint32_t layer)
{
    const uint32_t wide = d->heads * d->head_dim, narrow = d->kv_heads * d->head_dim;
    const struct {
        const char *part;
        uint32_t rows, cols; /* rows 1: a norm */
    } parts[] = {
        { .part = "attn_norm", .rows = 1, .cols = d->hidden },
        { .part = "ffn_norm", .rows = 1, .cols = d->hidden },
        { .part = "attn_q_norm", .rows = 1, .cols = d->head_dim },
        { .part = "attn_k_norm", .rows = 1, .cols = d->head_dim },
        { .part = "attn_q", .rows = wide, .cols = d->hidden },
        { .part = "attn_k", .rows = narrow, .cols = d->hidden },
        { .part = "attn_v", .rows = narrow, .cols = d->hidden },
        { .part = "attn_output", .rows = d->hidden, .cols = wide },
        { .part = "ffn_gate", .rows = d->ffn, .cols = d->hidden },
        { .part = "ffn_up", .rows = d->ffn, .cols = d->hidden },
        { .part = "ffn_down", .rows = d->hidden, .cols = d->ffn },
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char name[96];
        snprintf(name, sizeof name, "blk.%u.%s.weight", layer, parts[i].part);
        if (parts[i].rows == 1)
            vector(l, name, parts[i].cols, 1.0f);
        else
            matrix(l, name, parts[i].rows, parts[i].cols, l->to);
    }
}

static void hunyuan(struct list *l, const struct jm_synth_dims *d)
{
    matrix(l, "token_embd.weight", d->vocab, d->hidden, l->head);
    vector(l, "output_norm.weight", d->hidden, 1.0f);
    for (uint32_t i = 0; i < d->layers; i++)
        hunyuan_layer(l, d, i);
}

/* One branch of a layer: gen is "" for text, "_mot_gen" for pictures. */
static void u1_branch(struct list *l, const struct jm_synth_dims *d, uint32_t layer,
                      const char *gen)
{
    const uint32_t wide = d->heads * d->head_dim, narrow = d->kv_heads * d->head_dim;
    const struct {
        const char *before, *after; /* of gen */
        uint32_t rows, cols;
    } parts[] = {
        { .before = "input_layernorm", .after = "", .rows = 1, .cols = d->hidden },
        { .before = "post_attention_layernorm", .after = "", .rows = 1, .cols = d->hidden },
        { .before = "self_attn.q_norm", .after = "", .rows = 1, .cols = d->head_dim / 2 },
        { .before = "self_attn.q_norm_hw", .after = "", .rows = 1, .cols = d->head_dim / 2 },
        { .before = "self_attn.k_norm", .after = "", .rows = 1, .cols = d->head_dim / 2 },
        { .before = "self_attn.k_norm_hw", .after = "", .rows = 1, .cols = d->head_dim / 2 },
        { .before = "self_attn.q_proj", .after = "", .rows = wide, .cols = d->hidden },
        { .before = "self_attn.k_proj", .after = "", .rows = narrow, .cols = d->hidden },
        { .before = "self_attn.v_proj", .after = "", .rows = narrow, .cols = d->hidden },
        { .before = "self_attn.o_proj", .after = "", .rows = d->hidden, .cols = wide },
        { .before = "mlp", .after = ".gate_proj", .rows = d->ffn, .cols = d->hidden },
        { .before = "mlp", .after = ".up_proj", .rows = d->ffn, .cols = d->hidden },
        { .before = "mlp", .after = ".down_proj", .rows = d->hidden, .cols = d->ffn },
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char name[96];
        snprintf(name, sizeof name, "language_model.model.layers.%u.%s%s%s.weight", layer,
                 parts[i].before, gen, parts[i].after);
        if (parts[i].rows == 1)
            vector(l, name, parts[i].cols, 1.0f);
        else
            matrix(l, name, parts[i].rows, parts[i].cols, l->to);
    }
}

static void u1(struct list *l, const struct jm_synth_dims *d)
{
    const uint32_t cell = 2 * d->patch, features = 256;
    matrix(l, "language_model.model.embed_tokens.weight", d->vocab, d->hidden, l->head);
    vector(l, "language_model.model.norm_mot_gen.weight", d->hidden, 1.0f);
    if (d->head) {
        vector(l, "language_model.model.norm.weight", d->hidden, 1.0f);
        matrix(l, "language_model.lm_head.weight", d->vocab, d->hidden, l->head);
    }
    for (uint32_t i = 0; i < d->layers; i++) {
        u1_branch(l, d, i, "");
        u1_branch(l, d, i, "_mot_gen");
    }
    convolution(l, "fm_modules.vision_model_mot_gen.embeddings.patch_embedding", d->patch, 3,
                d->vision_width);
    convolution(l, "fm_modules.vision_model_mot_gen.embeddings.dense_embedding", 2, d->vision_width,
                d->hidden);
    biased(l, "fm_modules.timestep_embedder.mlp.0", d->hidden, features);
    biased(l, "fm_modules.timestep_embedder.mlp.2", d->hidden, d->hidden);
    biased(l, "fm_modules.noise_scale_embedder.mlp.0", d->hidden, features);
    biased(l, "fm_modules.noise_scale_embedder.mlp.2", d->hidden, d->hidden);
    biased(l, "fm_modules.fm_head.0", d->head_width, d->hidden);
    biased(l, "fm_modules.fm_head.2", cell * cell * 3, d->head_width);
}

void jm_synth_list(const struct jm_synth_dims *d, jm_format to, struct jm_synth_tensors *out)
{
    struct list l = { .out = out, .to = to, .head = to, .conv = to };
    const struct jm_format_info *info = jm_format_info(to);
    if (info->block > 1)
        l.conv = JM_F16;
    if (info->block_bytes < info->block)
        l.head = info->block == 256 ? JM_Q6_K : JM_Q8_0;
    if (d->family == JM_SYNTH_HUNYUAN)
        hunyuan(&l, d);
    else
        u1(&l, d);
}
