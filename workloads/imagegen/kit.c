/* SPDX-License-Identifier: Apache-2.0 */
/* See kit.h. */
#include "workloads/imagegen/kit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "workloads/model/neo_config.h"
#include "workloads/model/tokenizer_json.h"

bool jm_u1_is_safetensors(const char *path)
{
    struct stat info;
    const char *dot = strrchr(path, '.');
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return true;
    return dot && (strcmp(dot, ".safetensors") == 0 || strcmp(dot, ".json") == 0);
}

static jm_status open_safetensors(const char *path, const struct jm_backend_ops *ops,
                                  jm_device *device, jm_u1_kit *k, jm_err *err)
{
    struct jm_neo params;
    jm_status st = jm_safetensors_open(path, &k->weights, err);
    if (st == JM_OK)
        st = jm_neo_read_config(k->weights, &params, err);
    if (st != JM_OK)
        return st;
    struct jm_neo_source source = jm_neo_safetensors(k->weights);
    return jm_u1_from(&source, &params, ops, device, &k->model, err);
}

static bool ends_in(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* The tokenizer.json in the folder of the weights, malloc'd; NULL after a failure. */
static char *beside(const jm_safetensors *weights, const char *model, jm_err *err)
{
    char *folder = jm_safetensors_folder(weights),
         *path = folder ? jm_asprintf("%s/tokenizer.json", folder) : NULL;
    free(folder);
    if (!path) {
        jm_fail(err, JM_ENOMEM, "%s: out of memory", model);
    } else if (access(path, F_OK) != 0) {
        jm_fail(err, JM_EUNSUPPORTED,
                "%s: there is no tokenizer.json in its folder; name one, or a GGUF file, with "
                "--tokenizer",
                model);
        free(path);
        path = NULL;
    }
    return path;
}

static jm_status open_json(const char *path, jm_u1_kit *k, jm_err *err)
{
    jm_status st = jm_tokenizer_open_json(path, &k->tok, err);
    return st == JM_OK ? jm_caption_open(NULL, path, k->tok, &k->form, err) : st;
}

static jm_status open_tokenizer(const char *model, const char *path, jm_u1_kit *k, jm_err *err)
{
    jm_gguf *f = NULL;
    if (path && ends_in(path, ".json"))
        return open_json(path, k, err);
    if (!path && k->weights) {
        char *json = beside(k->weights, model, err);
        jm_status st = json ? open_json(json, k, err) : err ? err->status : JM_EUNSUPPORTED;
        free(json);
        return st;
    }
    jm_status st = path ? jm_gguf_open(path, &f, err) : JM_OK;
    const jm_gguf *from = path ? f : k->model.file;
    if (st == JM_OK)
        st = jm_tokenizer_open(from, &k->tok, err);
    if (st == JM_OK)
        st = jm_caption_open(from, jm_gguf_path(from), k->tok, &k->form, err);
    jm_gguf_close(f);
    return st;
}

jm_status jm_u1_kit_open(const char *path, const char *tokenizer, const struct jm_backend_ops *ops,
                         jm_device *device, jm_u1_kit *k, jm_err *err)
{
    *k = (jm_u1_kit){ 0 };
    jm_status st = jm_u1_is_safetensors(path) ? open_safetensors(path, ops, device, k, err)
                                              : jm_u1_open(path, ops, device, &k->model, err);
    if (st == JM_OK)
        st = open_tokenizer(path, tokenizer, k, err);
    if (st == JM_OK)
        st = jm_u1_kit_encode(k, NULL, &k->uncond, &k->n_uncond, err);
    if (st != JM_OK)
        jm_u1_kit_close(k);
    return st;
}

void jm_u1_kit_close(jm_u1_kit *k)
{
    jm_u1_close(&k->model); /* before the weights that its plan points into */
    jm_safetensors_close(k->weights);
    jm_tokenizer_close(k->tok);
    jm_caption_close(&k->form);
    free(k->uncond);
    *k = (jm_u1_kit){ 0 };
}

jm_status jm_u1_kit_encode(const jm_u1_kit *k, const char *text, uint32_t **ids, uint32_t *n,
                           jm_err *err)
{
    jm_status st = jm_caption_encode(&k->form, k->tok, text, ids, n, err);
    if (st != JM_OK)
        return st;
    uint32_t context = k->model.params.context, vocab = k->model.params.vocab;
    if (*n > context)
        st = jm_fail(err, JM_EUSAGE,
                     "a caption of %u tokens does not fit the model's context of %u", *n, context);
    for (uint32_t i = 0; i < *n && st == JM_OK; i++)
        if ((*ids)[i] >= vocab)
            st = jm_fail(err, JM_EINPUT, "the tokenizer gives token %u, the model knows %u",
                         (*ids)[i], vocab);
    if (st != JM_OK) {
        free(*ids);
        *ids = NULL;
    }
    return st;
}
