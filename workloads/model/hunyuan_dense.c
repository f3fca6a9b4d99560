/* SPDX-License-Identifier: Apache-2.0 */
/* hunyuan-dense: pre-norm transformer with grouped-query attention and SwiGLU. What sets it apart:
 * q and k are normed per head AFTER the rotary embedding, not before.
 * Source: Hunyuan-MT model cards and the HunYuanDenseV1 description in transformers. */
#include "workloads/model/hunyuan_dense.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"

#define ARCH "hunyuan-dense"

enum {
    MAX_LAYERS = 1024,
    MAX_WIDTH = 1 << 20,   /* columns of any value but the logits */
    MAX_CONTEXT = 1 << 24, /* the cache is sized by the plan, not by this */
};

/* What building needs everywhere. The first failure sticks to st. */
struct build {
    const jm_gguf *f;
    jm_graph *g;
    const struct jm_hunyuan *p;
    jm_status st;
    jm_err *err;
};

/* One integer in [1, max]; def is taken where the key is absent, 0: the key is required. */
static jm_status read_size(const jm_gguf *f, const char *key, uint32_t def, uint32_t max,
                           uint32_t *out, jm_err *err)
{
    char full[96];
    snprintf(full, sizeof full, ARCH ".%s", key);
    if (!jm_gguf_u32(f, full, out)) {
        if (!def)
            return jm_fail(err, JM_EINPUT, "%s: metadata key %s is missing or no integer",
                           jm_gguf_path(f), full);
        *out = def;
    }
    if (*out == 0 || *out > max)
        return jm_fail(err, JM_EINPUT, "%s: %s is %u, not in 1..%u", jm_gguf_path(f), full, *out,
                       max);
    return JM_OK;
}

static jm_status read_real(const jm_gguf *f, const char *key, double def, float *out, jm_err *err)
{
    char full[96];
    double v = def;
    snprintf(full, sizeof full, ARCH ".%s", key);
    (void)jm_gguf_f64(f, full, &v);
    /* An alpha-scaled base of 1.8B is 1.1e7; no sane one comes near the limit of f32. */
    if (!isfinite(v) || v <= 0 || v > 1e30)
        return jm_fail(err, JM_EINPUT, "%s: %s is %g, not a positive number", jm_gguf_path(f), full,
                       v);
    *out = (float)v;
    return JM_OK;
}

static jm_status check_params(const jm_gguf *f, const struct jm_hunyuan *p, jm_err *err)
{
    uint32_t value_dim = p->head_dim, rope_dim = p->head_dim;
    uint64_t width;
    (void)jm_gguf_u32(f, ARCH ".attention.value_length", &value_dim);
    (void)jm_gguf_u32(f, ARCH ".rope.dimension_count", &rope_dim);
    if (value_dim != p->head_dim || rope_dim != p->head_dim)
        return jm_fail(err, JM_EUNSUPPORTED,
                       "%s: key, value and rotary lengths differ (%u, %u, %u); only equal ones "
                       "are supported",
                       jm_gguf_path(f), p->head_dim, value_dim, rope_dim);
    if (p->heads % p->kv_heads != 0 || p->head_dim % 2 != 0)
        return jm_fail(err, JM_EINPUT, "%s: %u heads of %u do not share %u key/value heads evenly",
                       jm_gguf_path(f), p->heads, p->head_dim, p->kv_heads);
    if (!jm_mul_u64(p->heads, p->head_dim, &width) || width > MAX_WIDTH)
        return jm_fail(err, JM_EINPUT, "%s: %u heads of %u are too wide", jm_gguf_path(f), p->heads,
                       p->head_dim);
    return JM_OK;
}

static jm_status read_params(const jm_gguf *f, struct jm_hunyuan *p, jm_err *err)
{
    const struct {
        const char *key;
        uint32_t max;
        uint32_t *out;
    } sizes[] = {
        { .key = "block_count", .max = MAX_LAYERS, .out = &p->layers },
        { .key = "context_length", .max = MAX_CONTEXT, .out = &p->context },
        { .key = "embedding_length", .max = MAX_WIDTH, .out = &p->hidden },
        { .key = "feed_forward_length", .max = MAX_WIDTH, .out = &p->ffn },
        { .key = "attention.head_count", .max = MAX_WIDTH, .out = &p->heads },
    };
    jm_status st = JM_OK;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && st == JM_OK; i++)
        st = read_size(f, sizes[i].key, 0, sizes[i].max, sizes[i].out, err);
    if (st == JM_OK)
        st = read_size(f, "attention.head_count_kv", p->heads, p->heads, &p->kv_heads, err);
    if (st == JM_OK)
        st = read_size(f, "attention.key_length", p->hidden / p->heads, MAX_WIDTH, &p->head_dim,
                       err);
    if (st == JM_OK)
        st = read_real(f, "attention.layer_norm_rms_epsilon", 1e-5, &p->eps, err);
    if (st == JM_OK)
        st = read_real(f, "rope.freq_base", 10000.0, &p->rope_base, err);
    return st == JM_OK ? check_params(f, p, err) : st;
}

/* A tensor of the given shape; NULL after a failure, now or before. */
static const struct jm_tensor *need(struct build *b, uint32_t rows, uint32_t cols, const char *name)
{
    if (b->st != JM_OK)
        return NULL;
    const struct jm_tensor *t = jm_gguf_tensor(b->f, name);
    if (!t) {
        b->st = jm_fail(b->err, JM_EINPUT, "%s: tensor %s is missing", jm_gguf_path(b->f), name);
    } else if (t->rows != rows || t->cols != cols) {
        b->st = jm_fail(b->err, JM_EINPUT, "%s: tensor %s is %u x %u, the metadata ask for %u x %u",
                        jm_gguf_path(b->f), name, t->rows, t->cols, rows, cols);
    } else if (rows == 1 && t->format != JM_F32) {
        b->st = jm_fail(b->err, JM_EUNSUPPORTED, "%s: norm %s is %s; only F32 is supported",
                        jm_gguf_path(b->f), name, jm_format_info(t->format)->name);
    }
    return b->st == JM_OK ? t : NULL;
}

static const struct jm_tensor *need_layer(struct build *b, uint32_t layer, const char *part,
                                          uint32_t rows, uint32_t cols)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%u.%s.weight", layer, part);
    return need(b, rows, cols, name);
}

static jm_value linear(struct build *b, uint32_t layer, const char *part, jm_value x, uint32_t rows,
                       uint32_t cols)
{
    const struct jm_tensor *w = need_layer(b, layer, part, rows, cols);
    return w ? jm_linear(b->g, x, w) : x;
}

static jm_value norm(struct build *b, uint32_t layer, const char *part, jm_value x, uint32_t width)
{
    const struct jm_tensor *w = need_layer(b, layer, part, 1, width);
    return w ? jm_rms_norm(b->g, x, w, b->p->eps, width) : x;
}

/* After the last layer only the rows whose next token is wanted count: of the others it needs the
 * keys and values, and nothing more. The wanted are gathered before they are normed, so that norms
 * are read by linears alone. */
static jm_value attention(struct build *b, uint32_t layer, jm_value x)
{
    const struct jm_hunyuan *p = b->p;
    uint32_t wide = p->heads * p->head_dim, narrow = p->kv_heads * p->head_dim;
    bool last = layer + 1 == p->layers;
    jm_value wanted = last && b->st == JM_OK ? jm_gather_rows(b->g, x) : x;
    jm_value h = norm(b, layer, "attn_norm", x, p->hidden);
    jm_value k = linear(b, layer, "attn_k", h, narrow, p->hidden);
    jm_value v = linear(b, layer, "attn_v", h, narrow, p->hidden);
    if (last)
        h = norm(b, layer, "attn_norm", wanted, p->hidden);
    jm_value q = linear(b, layer, "attn_q", h, wide, p->hidden);
    if (b->st != JM_OK)
        return wanted;
    q = norm(b, layer, "attn_q_norm", jm_rope(b->g, q, p->head_dim, p->rope_base), p->head_dim);
    k = norm(b, layer, "attn_k_norm", jm_rope(b->g, k, p->head_dim, p->rope_base), p->head_dim);
    if (b->st != JM_OK)
        return wanted;
    jm_value a = jm_attention(b->g, q, k, v, p->heads, p->kv_heads, p->head_dim,
                              1.0f / sqrtf((float)p->head_dim));
    a = linear(b, layer, "attn_output", a, p->hidden, wide);
    return b->st == JM_OK ? jm_add(b->g, wanted, a) : wanted;
}

static jm_value feed_forward(struct build *b, uint32_t layer, jm_value x)
{
    const struct jm_hunyuan *p = b->p;
    jm_value h = norm(b, layer, "ffn_norm", x, p->hidden);
    jm_value gate = linear(b, layer, "ffn_gate", h, p->ffn, p->hidden);
    jm_value up = linear(b, layer, "ffn_up", h, p->ffn, p->hidden);
    if (b->st != JM_OK)
        return x;
    jm_value d = linear(b, layer, "ffn_down", jm_swiglu(b->g, gate, up), p->hidden, p->ffn);
    return b->st == JM_OK ? jm_add(b->g, x, d) : x;
}

static void record(struct build *b, const struct jm_tensor *table)
{
    const struct jm_hunyuan *p = b->p;
    jm_value x = jm_embed(b->g, table);
    for (uint32_t i = 0; i < p->layers && b->st == JM_OK; i++)
        x = feed_forward(b, i, attention(b, i, x));
    const struct jm_tensor *last = need(b, 1, p->hidden, "output_norm.weight");
    const struct jm_tensor *head = table; /* tied, unless the file holds a head of its own */
    if (jm_gguf_tensor(b->f, "output.weight"))
        head = need(b, p->vocab, p->hidden, "output.weight");
    if (b->st != JM_OK)
        return;
    x = jm_rms_norm(b->g, x, last, p->eps, p->hidden);
    jm_value logits = jm_linear(b->g, x, head);
    (void)jm_graph_output(b->g, jm_argmax(b->g, logits)); /* JM_HUNYUAN_ARGMAX */
    (void)jm_graph_output(b->g, logits);                  /* JM_HUNYUAN_LOGITS */
    b->st = jm_graph_check(b->g, b->err);
}

jm_status jm_hunyuan_build(const jm_gguf *f, jm_graph **out, struct jm_hunyuan *params, jm_err *err)
{
    struct jm_hunyuan p = { 0 };
    *out = NULL;
    jm_status st = jm_gguf_check_architecture(f, ARCH, "translator", err);
    if (st == JM_OK)
        st = read_params(f, &p, err);
    if (st != JM_OK)
        return st;
    const struct jm_tensor *table = jm_gguf_tensor(f, "token_embd.weight");
    if (!table)
        return jm_fail(err, JM_EINPUT, "%s: tensor token_embd.weight is missing", jm_gguf_path(f));
    p.vocab = table->rows; /* padded at times beyond vocab_size; the table is what counts */
    if (table->cols != p.hidden || p.vocab == 0)
        return jm_fail(err, JM_EINPUT,
                       "%s: token_embd.weight has %u columns, embedding_length is %u",
                       jm_gguf_path(f), table->cols, p.hidden);
    struct build b = { .f = f, .g = jm_graph_new(), .p = &p, .st = JM_OK, .err = err };
    if (!b.g)
        return jm_fail(err, JM_ENOMEM, "%s: out of memory building the graph", jm_gguf_path(f));
    record(&b, table);
    if (b.st != JM_OK) {
        jm_graph_free(b.g);
        return b.st;
    }
    *params = p;
    *out = b.g;
    return JM_OK;
}
