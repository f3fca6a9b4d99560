/* SPDX-License-Identifier: Apache-2.0 */
/* See neo_unify.h. Reading the metadata is in neo_params.c. */
#include "workloads/model/neo_unify.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"

#define LANGUAGE "language_model.model."
#define VISION "fm_modules.vision_model_mot_gen.embeddings."

/* What building needs everywhere. The first failure sticks to st. */
struct build {
    const struct jm_neo_source *s;
    jm_graph *g;
    struct jm_neo *p;
    const char *suffix; /* of the branch being recorded: "" or "_mot_gen" */
    jm_status st;
    jm_err *err;
};

/* "3 x 4 x 5", row length last, as the model's authors write shapes. */
static const char *show(char text[64], const uint64_t *dims, uint32_t n)
{
    size_t at = 0;
    for (uint32_t i = n; i-- > 0 && at < 64;)
        at += (size_t)snprintf(text + at, 64 - at, "%s%llu", i + 1 < n ? " x " : "",
                               (unsigned long long)dims[i]);
    return text;
}

/* A tensor of the given dimensions (row length first) as rows x the product of all others: the last
 * dimension counts outputs. Formats of blocks must have them within the first dimension. */
static struct jm_tensor need(struct build *b, const char *name, uint32_t n, const uint64_t *want)
{
    struct jm_tensor none = { 0 };
    uint64_t dims[4] = { 0 };
    uint32_t n_dims = 0;
    char have[64], asked[64];
    if (b->st != JM_OK)
        return none;
    const struct jm_tensor *t = b->s->find(b->s->file, name, dims, &n_dims);
    if (!t) {
        b->st = jm_fail(b->err, JM_EINPUT, "%s: tensor %s is missing", b->s->path, name);
        return none;
    }
    if (n_dims != n || memcmp(dims, want, n * sizeof *dims) != 0) {
        b->st = jm_fail(b->err, JM_EINPUT, "%s: tensor %s is %s, the metadata ask for %s",
                        b->s->path, name, show(have, dims, n_dims), show(asked, want, n));
        return none;
    }
    uint64_t cols = want[0];
    for (uint32_t i = 1; i + 1 < n; i++)
        cols *= want[i]; /* sides of patches and widths: checked to be small */
    if ((n == 1 || n > 2) && jm_format_info(t->format)->block != 1) {
        b->st = jm_fail(b->err, JM_EUNSUPPORTED,
                        "%s: tensor %s is %s; only F32, F16 and BF16 are supported for it",
                        b->s->path, name, jm_format_info(t->format)->name);
        return none;
    }
    struct jm_tensor view = *t;
    view.cols = (uint32_t)cols;
    view.rows = n == 1 ? 1 : (uint32_t)want[n - 1];
    return view;
}

static struct jm_tensor need_vector(struct build *b, const char *name, uint32_t n)
{
    return need(b, name, 1, (const uint64_t[]){ n });
}

static struct jm_tensor need_matrix(struct build *b, const char *name, uint32_t rows, uint32_t cols)
{
    return need(b, name, 2, (const uint64_t[]){ cols, rows });
}

/* NAME.weight and NAME.bias: x W^T + bias. */
static jm_value affine(struct build *b, const char *name, jm_value x, uint32_t rows, uint32_t cols)
{
    char full[128];
    snprintf(full, sizeof full, "%s.weight", name);
    struct jm_tensor w = need_matrix(b, full, rows, cols);
    snprintf(full, sizeof full, "%s.bias", name);
    struct jm_tensor bias = need_vector(b, full, rows);
    return b->st == JM_OK ? jm_linear_bias(b->g, x, &w, &bias, 1) : x;
}

/* ---- a layer of either branch ---- */

/* module: "self_attn.q_proj", before the branch's suffix; rest: after it. */
static void layer_name(const struct build *b, char name[128], uint32_t layer, const char *module,
                       const char *rest)
{
    snprintf(name, 128, LANGUAGE "layers.%u.%s%s%s.weight", layer, module, b->suffix, rest);
}

static jm_value linear(struct build *b, uint32_t layer, const char *module, const char *rest,
                       jm_value x, uint32_t rows, uint32_t cols)
{
    char name[128];
    layer_name(b, name, layer, module, rest);
    struct jm_tensor w = need_matrix(b, name, rows, cols);
    return b->st == JM_OK ? jm_linear(b->g, x, &w) : x;
}

static jm_value norm(struct build *b, uint32_t layer, const char *module, jm_value x)
{
    char name[128];
    layer_name(b, name, layer, module, "");
    struct jm_tensor w = need_vector(b, name, b->p->hidden);
    return b->st == JM_OK ? jm_rms_norm(b->g, x, &w, b->p->eps, b->p->hidden) : x;
}

/* Norms and turns the heads of q or k. Text stands at H = W = 0, where nothing turns. */
static jm_value place_heads(struct build *b, uint32_t layer, const char *norm_t,
                            const char *norm_hw, jm_value x, bool picture)
{
    const struct jm_neo *p = b->p;
    uint32_t half = p->head_dim / 2, quarter = p->head_dim / 4;
    char name[128];
    layer_name(b, name, layer, norm_t, "");
    struct jm_tensor t = need_vector(b, name, half);
    layer_name(b, name, layer, norm_hw, "");
    struct jm_tensor hw = need_vector(b, name, half);
    if (b->st != JM_OK)
        return x;
    x = jm_norm_part(b->g, x, &t, p->eps, p->head_dim, 0);
    x = jm_norm_part(b->g, x, &hw, p->eps, p->head_dim, half);
    struct jm_rope r = {
        .head_dim = p->head_dim, .part = half, .axis = JM_AXIS_T, .base = p->rope_base
    };
    x = jm_rope_part(b->g, x, &r);
    if (!picture)
        return x;
    r = (struct jm_rope){ .head_dim = p->head_dim,
                          .at = half,
                          .part = quarter,
                          .axis = JM_AXIS_H,
                          .base = p->rope_base_hw };
    x = jm_rope_part(b->g, x, &r);
    r.at = half + quarter;
    r.axis = JM_AXIS_W;
    return jm_rope_part(b->g, x, &r);
}

static jm_value attention(struct build *b, uint32_t layer, jm_value x, bool picture)
{
    const struct jm_neo *p = b->p;
    uint32_t wide = p->heads * p->head_dim, narrow = p->kv_heads * p->head_dim;
    float scale = 1.0f / sqrtf((float)p->head_dim);
    jm_value h = norm(b, layer, "input_layernorm", x);
    jm_value q = linear(b, layer, "self_attn.q_proj", "", h, wide, p->hidden);
    jm_value k = linear(b, layer, "self_attn.k_proj", "", h, narrow, p->hidden);
    jm_value v = linear(b, layer, "self_attn.v_proj", "", h, narrow, p->hidden);
    q = place_heads(b, layer, "self_attn.q_norm", "self_attn.q_norm_hw", q, picture);
    k = place_heads(b, layer, "self_attn.k_norm", "self_attn.k_norm_hw", k, picture);
    if (b->st != JM_OK)
        return x;
    if (picture) /* caches are numbered as the text entry's layers */
        return jm_attend_run(b->g, q, k, v, p->heads, p->kv_heads, p->head_dim, scale, layer);
    return jm_attention(b->g, q, k, v, p->heads, p->kv_heads, p->head_dim, scale);
}

static jm_value layer(struct build *b, uint32_t i, jm_value x, bool picture)
{
    const struct jm_neo *p = b->p;
    jm_value a = attention(b, i, x, picture);
    if (b->st == JM_OK && !picture && i + 1 == p->layers)
        return a; /* the caches are full: pictures need nothing more of the text */
    a = linear(b, i, "self_attn.o_proj", "", a, p->hidden, p->heads * p->head_dim);
    if (b->st != JM_OK)
        return x;
    x = jm_add(b->g, x, a);
    jm_value h = norm(b, i, "post_attention_layernorm", x);
    jm_value gate = linear(b, i, "mlp", ".gate_proj", h, p->ffn, p->hidden);
    jm_value up = linear(b, i, "mlp", ".up_proj", h, p->ffn, p->hidden);
    if (b->st != JM_OK)
        return x;
    h = linear(b, i, "mlp", ".down_proj", jm_swiglu(b->g, gate, up), p->hidden, p->ffn);
    return b->st == JM_OK ? jm_add(b->g, x, h) : x;
}

/* ---- around the layers ---- */

/* An embedder of a scalar: its features' count is what its first weight takes. */
static jm_value scalar_embedding(struct build *b, const char *name, uint32_t *features)
{
    char full[128];
    uint64_t dims[4] = { 0 };
    uint32_t n_dims = 0, hidden = b->p->hidden;
    snprintf(full, sizeof full, "fm_modules.%s.mlp.0.weight", name);
    if (b->st != JM_OK)
        return 0;
    (void)b->s->find(b->s->file, full, dims, &n_dims);
    if (n_dims != 2 || dims[0] % 2 != 0 || dims[0] > JM_NEO_MAX_WIDTH) {
        b->st =
            jm_fail(b->err, JM_EINPUT, "%s: tensor %s is missing, or takes no pairs of features",
                    b->s->path, full);
        return 0;
    }
    *features = (uint32_t)dims[0];
    jm_value x = jm_input(b->g, *features, JM_ROWS_RUN);
    snprintf(full, sizeof full, "fm_modules.%s.mlp.0", name);
    x = affine(b, full, x, hidden, *features);
    snprintf(full, sizeof full, "fm_modules.%s.mlp.2", name);
    return b->st == JM_OK ? affine(b, full, jm_silu(b->g, x), hidden, hidden) : 0;
}

/* Cells of noisy pixels to tokens: patches, their places, neighbours merged. */
static jm_value embed_pixels(struct build *b)
{
    const struct jm_neo *p = b->p;
    uint64_t patch[] = { p->patch, p->patch, 3, p->vision };
    uint64_t dense[] = { p->merge, p->merge, p->vision, p->hidden };
    jm_value x = jm_input(b->g, jm_neo_cell_values(p), JM_ROWS_ALL);
    struct jm_tensor w = need(b, VISION "patch_embedding.weight", 4, patch);
    struct jm_tensor bias = need_vector(b, VISION "patch_embedding.bias", p->vision);
    if (b->st != JM_OK)
        return x;
    x = jm_gelu(b->g, jm_linear_bias(b->g, x, &w, &bias, p->merge * p->merge));
    struct jm_rope r = { .head_dim = p->vision,
                         .part = p->vision / 2,
                         .axis = JM_AXIS_W,
                         .base = p->vision_rope_base,
                         .interleaved = true,
                         .grid = p->merge };
    x = jm_rope_part(b->g, x, &r);
    r.at = r.part;
    r.axis = JM_AXIS_H;
    x = jm_transpose(b->g, jm_rope_part(b->g, x, &r), p->vision);
    w = need(b, VISION "dense_embedding.weight", 4, dense);
    bias = need_vector(b, VISION "dense_embedding.bias", p->hidden);
    return b->st == JM_OK ? jm_linear_bias(b->g, x, &w, &bias, 1) : x;
}

static void record_text(struct build *b)
{
    const struct jm_neo *p = b->p;
    b->suffix = "";
    struct jm_tensor table = need_matrix(b, LANGUAGE "embed_tokens.weight", p->vocab, p->hidden);
    if (b->st != JM_OK)
        return;
    jm_value x = jm_embed(b->g, &table);
    for (uint32_t i = 0; i < p->layers && b->st == JM_OK; i++)
        x = layer(b, i, x, false);
}

static void record_picture(struct build *b)
{
    struct jm_neo *p = b->p;
    b->suffix = "_mot_gen";
    (void)jm_graph_entry(b->g);
    jm_value x = embed_pixels(b); /* inputs are numbered in this order: JM_NEO_PIXELS, … */
    jm_value each = scalar_embedding(b, "timestep_embedder", &p->time_features);
    if (b->st == JM_OK && p->noise_features > 0)
        each = jm_add(b->g, each, scalar_embedding(b, "noise_scale_embedder", &p->noise_features));
    if (b->st == JM_OK)
        x = jm_add_run(b->g, x, each);
    for (uint32_t i = 0; i < p->layers && b->st == JM_OK; i++)
        x = layer(b, i, x, true);
    struct jm_tensor last = need_vector(b, LANGUAGE "norm_mot_gen.weight", p->hidden);
    if (b->st != JM_OK)
        return;
    x = jm_rms_norm(b->g, x, &last, p->eps, p->hidden);
    x = affine(b, "fm_modules.fm_head.0", x, p->head, p->hidden);
    if (b->st != JM_OK)
        return;
    x = affine(b, "fm_modules.fm_head.2", jm_gelu(b->g, x), jm_neo_cell_values(p), p->head);
    (void)jm_graph_output(b->g, x); /* JM_NEO_X_PRED */
}

jm_status jm_neo_build(const struct jm_neo_source *s, struct jm_neo *p, jm_graph **out, jm_err *err)
{
    *out = NULL;
    jm_status st = jm_neo_check(s->path, p, err);
    if (st != JM_OK)
        return st;
    struct build b = { .s = s, .g = jm_graph_new(), .p = p, .st = JM_OK, .err = err };
    if (!b.g)
        return jm_fail(err, JM_ENOMEM, "%s: out of memory building the graph", s->path);
    record_text(&b);
    if (b.st == JM_OK)
        record_picture(&b);
    if (b.st == JM_OK)
        b.st = jm_graph_check(b.g, err);
    if (b.st != JM_OK) {
        jm_graph_free(b.g);
        return b.st;
    }
    *out = b.g;
    return JM_OK;
}

void jm_neo_features(float value, uint32_t n, float *out)
{
    uint32_t half = n / 2;
    for (uint32_t i = 0; i < half; i++) {
        /* in f32, as the model was trained: the argument's rounding is part of it */
        float freq = (float)exp(-log(10000.0) * i / half), angle = value * freq;
        out[i] = (float)cos(angle);
        out[half + i] = (float)sin(angle);
    }
}
