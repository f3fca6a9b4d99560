/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of a neo_unify model: from GGUF metadata, and their checks, wherever they come
 * from. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "workloads/model/gguf_internal.h"
#include "workloads/model/neo_unify.h"

#define ARCH "sensenova_u1"

struct size_key {
    const char *key;
    uint32_t def; /* 0: the key is required */
    uint32_t *out;
};

static jm_status read_sizes(const jm_gguf *f, const struct size_key *keys, size_t n, jm_err *err)
{
    char full[96];
    for (size_t i = 0; i < n; i++) {
        snprintf(full, sizeof full, ARCH ".%s", keys[i].key);
        if (jm_gguf_u32(f, full, keys[i].out))
            continue;
        if (!keys[i].def)
            return jm_fail(err, JM_EINPUT, "%s: metadata key %s is missing or no integer",
                           jm_gguf_path(f), full);
        *keys[i].out = keys[i].def;
    }
    return JM_OK;
}

static void read_reals(const jm_gguf *f, struct jm_neo *p)
{
    const struct {
        const char *key;
        double def;
        float *out;
    } keys[] = {
        { .key = "attention.layer_norm_rms_epsilon", .def = 1e-6, .out = &p->eps },
        { .key = "rope.freq_base", .def = 5e6, .out = &p->rope_base },
        { .key = "rope.freq_base_hw", .def = 1e4, .out = &p->rope_base_hw },
        { .key = "vision.rope.freq_base", .def = 1e4, .out = &p->vision_rope_base },
        { .key = "noise_scale", .def = 1.0, .out = &p->noise_scale },
        { .key = "noise_scale_max_value", .def = 8.0, .out = &p->noise_max },
        { .key = "t_eps", .def = 0.05, .out = &p->t_eps },
        { .key = "default.cfg_scale", .def = 4.0, .out = &p->default_cfg },
        { .key = "default.timestep_shift", .def = 3.0, .out = &p->default_shift },
    };
    char full[96];
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        double v = keys[i].def;
        snprintf(full, sizeof full, ARCH ".%s", keys[i].key);
        (void)jm_gguf_f64(f, full, &v);
        *keys[i].out = fabs(v) <= 1e30 ? (float)v : NAN; /* jm_neo_check names it */
    }
}

static jm_status read_noise_mode(const jm_gguf *f, struct jm_neo *p, jm_err *err)
{
    bool told = false;
    jm_str mode;
    (void)jm_gguf_bool(f, ARCH ".add_noise_scale_embedding", &told);
    p->noise_features = told;
    if (!jm_gguf_str(f, ARCH ".noise_scale_mode", &mode))
        return JM_OK; /* always the same scale */
    p->noise_by_resolution = mode.n == 10 && memcmp(mode.p, "resolution", 10) == 0;
    if (p->noise_by_resolution || (mode.n == 6 && memcmp(mode.p, "static", 6) == 0))
        return JM_OK;
    return jm_fail(err, JM_EUNSUPPORTED,
                   "%s: " ARCH ".noise_scale_mode is '%.*s'; known: resolution, static",
                   jm_gguf_path(f), mode.n > 32 ? 32 : (int)mode.n, mode.p);
}

static void read_vocab(const jm_gguf *f, struct jm_neo *p)
{
    const struct jm_tensor *t = jm_gguf_tensor(f, "language_model.model.embed_tokens.weight");
    p->vocab = t ? t->rows : 0; /* padded at times; the table is what counts */
}

jm_status jm_neo_read(const jm_gguf *f, struct jm_neo *out, jm_err *err)
{
    struct jm_neo p = { 0 };
    const struct size_key sizes[] = {
        { .key = "block_count", .out = &p.layers },
        { .key = "context_length", .out = &p.context },
        { .key = "embedding_length", .out = &p.hidden },
        { .key = "feed_forward_length", .out = &p.ffn },
        { .key = "attention.head_count", .out = &p.heads },
        { .key = "attention.key_length", .out = &p.head_dim },
        { .key = "vision.patch_size", .out = &p.patch },
        { .key = "vision.merge_size", .out = &p.merge },
        { .key = "vision.embedding_length", .out = &p.vision },
        { .key = "fm_head.feed_forward_length", .out = &p.head },
        { .key = "noise_scale_base_image_seq_len", .def = 64, .out = &p.noise_base_tokens },
    };
    jm_status st = jm_gguf_check_architecture(f, ARCH, "picture generator", err);
    if (st == JM_OK)
        st = read_sizes(f, sizes, sizeof sizes / sizeof *sizes, err);
    if (st != JM_OK)
        return st;
    const struct size_key more[] = {
        { .key = "attention.head_count_kv", .def = p.heads ? p.heads : 1, .out = &p.kv_heads },
    };
    (void)read_sizes(f, more, 1, err);
    (void)jm_gguf_u32(f, ARCH ".default.image_size", &p.default_size);
    (void)jm_gguf_u32(f, ARCH ".default.steps", &p.default_steps);
    read_reals(f, &p);
    read_vocab(f, &p);
    st = read_noise_mode(f, &p, err);
    if (st == JM_OK)
        st = jm_neo_check(jm_gguf_path(f), &p, err);
    if (st == JM_OK)
        *out = p;
    return st;
}

static jm_status check_sizes(const char *path, const struct jm_neo *p, jm_err *err)
{
    const struct {
        const char *what;
        uint32_t v, max;
    } sizes[] = {
        { .what = "number of layers", .v = p->layers, .max = 1024 },
        { .what = "context", .v = p->context, .max = 1u << 24 },
        { .what = "hidden width", .v = p->hidden, .max = JM_NEO_MAX_WIDTH },
        { .what = "feed-forward width", .v = p->ffn, .max = JM_NEO_MAX_WIDTH },
        { .what = "number of heads", .v = p->heads, .max = JM_NEO_MAX_WIDTH },
        { .what = "number of key/value heads", .v = p->kv_heads, .max = JM_NEO_MAX_WIDTH },
        { .what = "head width", .v = p->head_dim, .max = JM_NEO_MAX_WIDTH },
        { .what = "vocabulary", .v = p->vocab, .max = UINT32_MAX },
        { .what = "patch side", .v = p->patch, .max = 256 },
        { .what = "merge side", .v = p->merge, .max = 16 },
        { .what = "patch width", .v = p->vision, .max = 1u << 16 },
        { .what = "pixel head's width", .v = p->head, .max = JM_NEO_MAX_WIDTH },
        { .what = "base number of picture tokens", .v = p->noise_base_tokens, .max = 1u << 24 },
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (sizes[i].v == 0 || sizes[i].v > sizes[i].max)
            return jm_fail(err, JM_EINPUT, "%s: the %s is %u, not in 1..%u", path, sizes[i].what,
                           sizes[i].v, sizes[i].max);
    }
    if (p->heads % p->kv_heads != 0)
        return jm_fail(err, JM_EINPUT, "%s: %u heads do not share %u key/value heads evenly", path,
                       p->heads, p->kv_heads);
    if (p->head_dim % 8 != 0 || p->vision % 4 != 0)
        return jm_fail(err, JM_EINPUT,
                       "%s: heads of %u and patches of %u values cannot be turned in pairs on "
                       "three axes and two",
                       path, p->head_dim, p->vision);
    if ((uint64_t)p->heads * p->head_dim > JM_NEO_MAX_WIDTH)
        return jm_fail(err, JM_EINPUT, "%s: %u heads of %u are too wide", path, p->heads,
                       p->head_dim);
    return JM_OK;
}

jm_status jm_neo_check(const char *path, const struct jm_neo *p, jm_err *err)
{
    const struct {
        const char *what;
        float v;
    } reals[] = {
        { .what = "norm epsilon", .v = p->eps },
        { .what = "rope base", .v = p->rope_base },
        { .what = "rope base of the picture axes", .v = p->rope_base_hw },
        { .what = "rope base of patches", .v = p->vision_rope_base },
        { .what = "noise scale", .v = p->noise_scale },
        { .what = "largest noise scale", .v = p->noise_max },
        { .what = "t_eps", .v = p->t_eps },
        { .what = "default timestep shift", .v = p->default_shift },
    };
    jm_status st = check_sizes(path, p, err);
    for (size_t i = 0; i < sizeof reals / sizeof *reals && st == JM_OK; i++) {
        if (!(reals[i].v > 0 && reals[i].v <= 1e30f))
            st =
                jm_fail(err, JM_EINPUT, "%s: the %s is not a positive number", path, reals[i].what);
    }
    if (st == JM_OK && !(p->default_cfg >= 0 && p->default_cfg <= 1e30f))
        st = jm_fail(err, JM_EINPUT, "%s: the default guidance is negative or no number", path);
    return st;
}

static const struct jm_tensor *find(const void *file, const char *name, uint64_t dims[4],
                                    uint32_t *n_dims)
{
    const jm_gguf *f = file;
    const struct jm_tensor *t = jm_gguf_tensor(f, name);
    if (t)
        *n_dims = jm_gguf_dims(f, (size_t)(t - jm_gguf_tensor_at(f, 0)), dims);
    return t;
}

struct jm_neo_source jm_neo_gguf(const jm_gguf *f)
{
    return (struct jm_neo_source){ .path = jm_gguf_path(f), .file = f, .find = find };
}
