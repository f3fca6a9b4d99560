/* SPDX-License-Identifier: Apache-2.0 */
/* What a model's files tell of themselves, the same for every workload. */
#include "workloads/model_info.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

/* Weights by format, to find the one that holds most of those of matrices. */
struct census {
    uint64_t parameters, weights[JM_FORMAT_COUNT];
};

static void count(struct census *c, const struct jm_tensor *t)
{
    uint64_t n = (uint64_t)t->rows * t->cols;
    c->parameters += n;
    if (t->rows > 1)
        c->weights[t->format] += n;
}

static void tell_format(const struct census *c, struct jm_model_info *out)
{
    jm_format best = JM_F32;
    for (int i = 0; i < JM_FORMAT_COUNT; i++)
        if (c->weights[i] > c->weights[best])
            best = (jm_format)i;
    const struct jm_format_info *fi = jm_format_info(best);
    out->parameters = c->parameters;
    snprintf(out->format, sizeof out->format, "%s", fi->name);
    out->bits_per_weight_block = 8.0 * fi->block_bytes / fi->block;
    if (out->parameters > 0)
        out->bits_per_weight_file = 8.0 * (double)out->file_bytes / (double)out->parameters;
}

void jm_file_name(const char *path, char *out, size_t room)
{
    const char *slash = strrchr(path, '/');
    snprintf(out, room, "%s", slash ? slash + 1 : path);
}

void jm_model_info_gguf(const jm_gguf *f, struct jm_model_info *out)
{
    struct census c = { 0 };
    jm_str name;
    for (size_t i = 0; i < jm_gguf_tensor_count(f); i++)
        count(&c, jm_gguf_tensor_at(f, i));
    out->file_bytes = jm_gguf_bytes(f);
    tell_format(&c, out);
    if (jm_gguf_str(f, "general.name", &name) && name.n > 0) {
        snprintf(out->name, sizeof out->name, "%.*s", name.n < 63 ? (int)name.n : 63, name.p);
    } else {
        jm_file_name(jm_gguf_path(f), out->name, sizeof out->name);
        char *dot = strstr(out->name, ".gguf");
        if (dot)
            *dot = '\0';
    }
    (void)jm_gguf_bool(f, "joulemark.synthetic", &out->synthetic);
}

void jm_model_info_safetensors(const jm_safetensors *f, struct jm_model_info *out)
{
    struct census c = { 0 };
    for (size_t i = 0; i < jm_safetensors_tensor_count(f); i++)
        count(&c, jm_safetensors_tensor_at(f, i));
    out->file_bytes = jm_safetensors_bytes(f);
    tell_format(&c, out);
    char *folder = jm_safetensors_folder(f), *real = folder ? realpath(folder, NULL) : NULL;
    if (real)
        jm_file_name(real, out->name, sizeof out->name);
    free(real);
    free(folder);
}

static jm_status add_line(FILE *lines, const char *path, jm_err *err)
{
    char hex[JM_SHA256_HEX], name[256];
    jm_status st = jm_sha256_file(path, hex, err);
    jm_file_name(path, name, sizeof name);
    fprintf(lines, "%s  %s\n", hex, name);
    return st;
}

jm_status jm_safetensors_sha256(const jm_safetensors *f, char hex[JM_SHA256_HEX], jm_err *err)
{
    char *text = NULL, *folder = jm_safetensors_folder(f),
         *config = folder ? jm_asprintf("%s/config.json", folder) : NULL;
    size_t bytes = 0;
    FILE *lines = open_memstream(&text, &bytes);
    jm_status st = lines && config ? JM_OK : jm_fail(err, JM_ENOMEM, "hash: out of memory");
    for (size_t i = 0; st == JM_OK && i < jm_safetensors_shard_count(f); i++)
        st = add_line(lines, jm_safetensors_shard_path(f, i), err);
    if (st == JM_OK && access(config, F_OK) == 0)
        st = add_line(lines, config, err);
    if (lines && fclose(lines) != 0 && st == JM_OK)
        st = jm_fail(err, JM_ENOMEM, "hash: out of memory");
    if (st == JM_OK)
        st = jm_sha256(text, bytes, hex, err);
    free(text);
    free(folder);
    free(config);
    return st;
}
