/* SPDX-License-Identifier: Apache-2.0 */
/* See neo_config.h. */
#include "workloads/model/neo_config.h"

#include <math.h>
#include <string.h>

static const char LLM[] = "llm_config", VISION[] = "vision_config";

enum { DEFAULT_STEPS = 50 };

static jm_status check_kind(const jm_safetensors *f, jm_err *err)
{
    const char *path = jm_safetensors_path(f), *type = "";
    if (!jm_safetensors_has_config(f))
        return jm_fail(err, JM_EINPUT, "%s: no config.json beside it, which holds the sizes", path);
    (void)jm_safetensors_str(f, NULL, "model_type", &type);
    if (strcmp(type, "neo_chat") == 0)
        return JM_OK;
    return jm_fail(err, JM_EUNSUPPORTED,
                   "%s: config.json: model_type '%.40s' is not a picture generator known here; "
                   "supported: neo_chat",
                   path, type);
}

/* Variants whose graph is another. Absent keys mean the variant that is known. */
static jm_status check_variant(const jm_safetensors *f, jm_err *err)
{
    const char *what = NULL, *schedule = "standard";
    bool flag = false;
    uint32_t n;
    (void)jm_safetensors_str(f, NULL, "time_schedule", &schedule);
    if (strcmp(schedule, "standard") != 0)
        what = "a time_schedule that is not 'standard'";
    if (jm_safetensors_bool(f, NULL, "use_pixel_head", &flag) && flag)
        what = "use_pixel_head";
    if (jm_safetensors_bool(f, NULL, "use_adaLN", &flag) && flag)
        what = "use_adaLN";
    if (jm_safetensors_u32(f, NULL, "fm_head_layers", &n) && n > 2)
        what = "fm_head_layers above 2";
    if (jm_safetensors_u32(f, NULL, "concat_time_token_num", &n) && n > 0)
        what = "concat_time_token_num above 0";
    if (jm_safetensors_u32(f, LLM, "num_experts", &n) && n > 0)
        what = "a mixture of experts";
    if (!what)
        return JM_OK;
    return jm_fail(err, JM_EUNSUPPORTED, "%s: config.json: %s is not supported",
                   jm_safetensors_path(f), what);
}

static jm_status read_sizes(const jm_safetensors *f, struct jm_neo *p, jm_err *err)
{
    const struct {
        const char *section, *key;
        uint32_t *out;
    } keys[] = {
        { LLM, "num_hidden_layers", &p->layers },
        { LLM, "hidden_size", &p->hidden },
        { LLM, "intermediate_size", &p->ffn },
        { LLM, "num_attention_heads", &p->heads },
        { LLM, "num_key_value_heads", &p->kv_heads },
        { LLM, "head_dim", &p->head_dim },
        { LLM, "max_position_embeddings", &p->context },
        { VISION, "hidden_size", &p->vision },
        { VISION, "patch_size", &p->patch },
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (!jm_safetensors_u32(f, keys[i].section, keys[i].key, keys[i].out))
            return jm_fail(err, JM_EINPUT, "%s: config.json: %s.%s is missing or no whole number",
                           jm_safetensors_path(f), keys[i].section, keys[i].key);
    }
    return JM_OK;
}

static void read_reals(const jm_safetensors *f, struct jm_neo *p)
{
    const struct {
        const char *section, *key;
        double def;
        float *out;
    } keys[] = {
        { LLM, "rms_norm_eps", 1e-6, &p->eps },
        { LLM, "rope_theta", 5e6, &p->rope_base },
        { LLM, "rope_theta_hw", 1e4, &p->rope_base_hw },
        { VISION, "rope_theta_vision", 1e4, &p->vision_rope_base },
        { NULL, "noise_scale", 1.0, &p->noise_scale },
        { NULL, "noise_scale_max_value", 8.0, &p->noise_max },
        { NULL, "t_eps", 0.05, &p->t_eps },
        { NULL, "timestep_shift", 3.0, &p->default_shift },
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        double v = keys[i].def;
        (void)jm_safetensors_f64(f, keys[i].section, keys[i].key, &v);
        *keys[i].out = fabs(v) <= 1e30 ? (float)v : NAN; /* jm_neo_check names it */
    }
    p->default_cfg = 4.0f;
    p->default_steps = DEFAULT_STEPS;
}

/* Patches a side of a cell: one over downsample_ratio. */
static jm_status read_merge(const jm_safetensors *f, struct jm_neo *p, jm_err *err)
{
    double ratio = 0.5;
    (void)jm_safetensors_f64(f, NULL, "downsample_ratio", &ratio);
    double merge = ratio > 0.0 ? 1.0 / ratio : 0.0;
    if (!(merge >= 1.0 && merge <= 16.0 && fabs(merge - floor(merge + 0.5)) <= 1e-6))
        return jm_fail(err, JM_EINPUT, "%s: config.json: downsample_ratio %g is not one over 1..16",
                       jm_safetensors_path(f), ratio);
    p->merge = (uint32_t)(merge + 0.5);
    return JM_OK;
}

static jm_status read_noise(const jm_safetensors *f, struct jm_neo *p, jm_err *err)
{
    const char *mode = "none";
    bool told = false;
    (void)jm_safetensors_bool(f, NULL, "add_noise_scale_embedding", &told);
    (void)jm_safetensors_str(f, NULL, "noise_scale_mode", &mode);
    p->noise_features = told;
    p->noise_base_tokens = 64;
    (void)jm_safetensors_u32(f, NULL, "noise_scale_base_image_seq_len", &p->noise_base_tokens);
    p->noise_by_resolution = strcmp(mode, "resolution") == 0;
    if (p->noise_by_resolution || strcmp(mode, "none") == 0 || strcmp(mode, "fixed") == 0)
        return JM_OK;
    return jm_fail(err, JM_EUNSUPPORTED,
                   "%s: config.json: noise_scale_mode is '%.32s'; known: resolution, fixed, none",
                   jm_safetensors_path(f), mode);
}

jm_status jm_neo_read_config(const jm_safetensors *f, struct jm_neo *out, jm_err *err)
{
    struct jm_neo p = { 0 };
    jm_status st = check_kind(f, err);
    if (st == JM_OK)
        st = check_variant(f, err);
    if (st == JM_OK)
        st = read_sizes(f, &p, err);
    if (st == JM_OK)
        st = read_merge(f, &p, err);
    if (st == JM_OK)
        st = read_noise(f, &p, err);
    if (st != JM_OK)
        return st;
    read_reals(f, &p);
    const struct jm_tensor *t =
        jm_safetensors_tensor(f, "language_model.model.embed_tokens.weight", NULL, NULL);
    p.vocab = t ? t->rows : 0; /* padded at times; the table is what counts */
    t = jm_safetensors_tensor(f, "fm_modules.fm_head.0.weight", NULL, NULL);
    p.head = t ? t->rows : 0;
    st = jm_neo_check(jm_safetensors_path(f), &p, err);
    if (st == JM_OK)
        *out = p;
    return st;
}

static const struct jm_tensor *find(const void *file, const char *name, uint64_t dims[4],
                                    uint32_t *n_dims)
{
    return jm_safetensors_tensor(file, name, dims, n_dims);
}

struct jm_neo_source jm_neo_safetensors(const jm_safetensors *f)
{
    return (struct jm_neo_source){ .path = jm_safetensors_path(f), .file = f, .find = find };
}
