/* SPDX-License-Identifier: Apache-2.0 */
/* What a GGUF file tells of itself, the same for every workload. */
#include <stdio.h>
#include <string.h>

#include "workloads/model/gguf.h"
#include "workloads/model_info.h"

/* The format that holds most weights of matrices. */
static jm_format main_format(const jm_gguf *f, uint64_t *parameters)
{
    uint64_t weights[JM_FORMAT_COUNT] = { 0 };
    jm_format best = JM_F32;
    *parameters = 0;
    for (size_t i = 0; i < jm_gguf_tensor_count(f); i++) {
        const struct jm_tensor *t = jm_gguf_tensor_at(f, i);
        uint64_t n = (uint64_t)t->rows * t->cols;
        *parameters += n;
        if (t->rows > 1)
            weights[t->format] += n;
        if (weights[t->format] > weights[best])
            best = t->format;
    }
    return best;
}

void jm_file_name(const char *path, char *out, size_t room)
{
    const char *slash = strrchr(path, '/');
    snprintf(out, room, "%s", slash ? slash + 1 : path);
}

void jm_model_info_gguf(const jm_gguf *f, struct jm_model_info *out)
{
    const struct jm_format_info *fi = jm_format_info(main_format(f, &out->parameters));
    jm_str name;
    out->file_bytes = jm_gguf_bytes(f);
    if (jm_gguf_str(f, "general.name", &name) && name.n > 0) {
        snprintf(out->name, sizeof out->name, "%.*s", name.n < 63 ? (int)name.n : 63, name.p);
    } else {
        jm_file_name(jm_gguf_path(f), out->name, sizeof out->name);
        char *dot = strstr(out->name, ".gguf");
        if (dot)
            *dot = '\0';
    }
    snprintf(out->format, sizeof out->format, "%s", fi->name);
    out->bits_per_weight_block = 8.0 * fi->block_bytes / fi->block;
    if (out->parameters > 0)
        out->bits_per_weight_file = 8.0 * (double)out->file_bytes / (double)out->parameters;
    (void)jm_gguf_bool(f, "joulemark.synthetic", &out->synthetic);
}
