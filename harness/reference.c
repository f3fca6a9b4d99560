/* SPDX-License-Identifier: Apache-2.0 */
/* See reference.h. The file is JSON:
 * {"quality": number, "length_ratio": number, "agreement": number, "answers": [string, …]}, numbers
 * null where they are unavailable. Answers that are not text lie in a folder of the same name. */
#include "harness/reference.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/loader.h"
#include "base/file.h"
#include "base/sha256.h"

/* Scalar kernels gain nothing from large batches; pictures of a small one come more steadily. */
enum { TEXT_BATCH = 32, PICTURE_BATCH = 4, NAME_DIGITS = 16 };

void jm_reference_free(struct jm_reference *r)
{
    for (uint32_t i = 0; r->answers && i < r->n; i++)
        free(r->answers[i]);
    free(r->answers);
    free(r->folder);
    *r = (struct jm_reference){ .quality = NAN, .length_ratio = NAN, .agreement = NAN };
}

static double number_of(const cJSON *item)
{
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

/* A kept file that cannot be used (damaged, other sample count) is made anew: false. */
static bool load(const char *path, uint32_t n, struct jm_reference *out)
{
    jm_map map;
    if (jm_map_open(path, &map, NULL) != JM_OK)
        return false;
    cJSON *root = cJSON_ParseWithLength((const char *)map.data, map.bytes);
    const cJSON *answers = cJSON_GetObjectItem(root, "answers");
    const cJSON *quality = cJSON_GetObjectItem(root, "quality"), *item;
    bool ok = cJSON_IsArray(answers) && cJSON_IsNumber(quality) &&
              (uint32_t)cJSON_GetArraySize(answers) == n;
    *out = (struct jm_reference){ .answers = ok ? calloc(n, sizeof(char *)) : NULL };
    ok = ok && out->answers;
    if (!ok)
        answers = NULL;
    cJSON_ArrayForEach(item, answers)
    {
        char *s = cJSON_IsString(item) ? strdup(item->valuestring) : NULL;
        if (!s) {
            ok = false;
            break;
        }
        out->answers[out->n++] = s;
    }
    if (ok) {
        out->quality = quality->valuedouble;
        out->length_ratio = number_of(cJSON_GetObjectItem(root, "length_ratio"));
        out->agreement = number_of(cJSON_GetObjectItem(root, "agreement"));
    } else {
        jm_reference_free(out);
    }
    cJSON_Delete(root);
    jm_map_close(&map);
    return ok;
}

static jm_status save(const char *path, const struct jm_reference *r, jm_err *err)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddNumberToObject(root, "quality", r->quality);
    cJSON_AddNumberToObject(root, "length_ratio", r->length_ratio); /* NAN is written as null */
    cJSON_AddNumberToObject(root, "agreement", r->agreement);
    cJSON *answers = cJSON_AddArrayToObject(root, "answers");
    for (uint32_t i = 0; i < r->n; i++)
        cJSON_AddItemToArray(answers, cJSON_CreateString(r->answers[i]));
    char *text = cJSON_PrintUnformatted(root);
    jm_status st = text ? jm_write_file(path, text, strlen(text), err)
                        : jm_fail(err, JM_ENOMEM, "%s: out of memory", path);
    cJSON_free(text);
    cJSON_Delete(root);
    return st;
}

/* Answers that are not text, as files by data sample, and the workload told of them. */
static jm_status save_answers(const struct jm_workload_ops *ops, jm_workload *w, uint32_t n,
                              uint32_t stride, const char *folder, jm_err *err)
{
    jm_status st = jm_make_dirs(folder, err);
    for (uint32_t i = 0; i < n && st == JM_OK; i++) {
        char *path = jm_asprintf("%s/%u%s", folder, i * stride, ops->suffix);
        st =
            path ? ops->save(w, i, path, err) : jm_fail(err, JM_ENOMEM, "reference: out of memory");
        free(path);
    }
    return st == JM_OK ? ops->against(w, folder, err) : st;
}

static bool answers_there(const struct jm_workload_ops *ops, uint32_t n, uint32_t stride,
                          const char *folder)
{
    for (uint32_t i = 0; i < n; i++) {
        char *path = jm_asprintf("%s/%u%s", folder, i * stride, ops->suffix);
        bool there = path && access(path, R_OK) == 0;
        free(path);
        if (!there)
            return false;
    }
    return true;
}

/* What is to be answered: every stride-th data sample once, in order. */
struct work {
    const struct jm_workload_ops *ops;
    jm_workload *w;
    uint32_t n, stride;
    char *path, *folder; /* of what is kept, owned; folder: NULL where answers are text */
    void (*progress)(double, void *);
    void *user;
    const volatile sig_atomic_t *stop;
};

static jm_status answer_all(const struct work *k, jm_err *err)
{
    const struct jm_sut *sut = k->ops->sut(k->w);
    struct jm_sink sink = { .timing = calloc(k->n, sizeof *sink.timing), .capacity = k->n };
    struct jm_sample *samples = calloc(k->n, sizeof *samples);
    jm_status st = sink.timing && samples ? sut->begin(sut->state, k->n, err)
                                          : jm_fail(err, JM_ENOMEM, "reference: out of memory");
    for (uint32_t i = 0; st == JM_OK && i < k->n; i++)
        samples[i] = (struct jm_sample){ .id = i, .index = i * k->stride };
    if (st == JM_OK)
        st = sut->issue(sut->state, samples, k->n, err);
    while (st == JM_OK && sink.done < k->n) {
        st = k->stop && *k->stop ? jm_fail(err, JM_EINTERRUPTED, "interrupted before the run began")
                                 : sut->step(sut->state, &sink, err);
        if (k->progress)
            k->progress((double)sink.done / k->n, k->user);
    }
    free(sink.timing);
    free(samples);
    return st;
}

/* Answers and their quality, made and kept. */
static jm_status make(const struct work *k, struct jm_reference *out, jm_err *err)
{
    struct jm_quality q;
    *out = (struct jm_reference){ .answers = calloc(k->n, sizeof(char *)) };
    jm_status st =
        out->answers ? answer_all(k, err) : jm_fail(err, JM_ENOMEM, "reference: out of memory");
    if (st == JM_OK && k->folder)
        st = save_answers(k->ops, k->w, k->n, k->stride, k->folder, err);
    if (st == JM_OK)
        st = k->ops->score(k->w, NULL, k->n, &q, err);
    for (uint32_t i = 0; st == JM_OK && i < k->n; i++) {
        const char *text;
        st = k->ops->answer(k->w, i, &text, err);
        if (st == JM_OK && !(out->answers[out->n++] = strdup(text)))
            st = jm_fail(err, JM_ENOMEM, "reference: out of memory");
    }
    if (st == JM_OK) {
        out->quality = q.value;
        out->length_ratio = q.length_ratio;
        out->agreement = q.agreement;
        st = save(k->path, out, err); /* last: with it, all is there */
    }
    if (st != JM_OK)
        jm_reference_free(out);
    return st;
}

/* What decides the answers names their file. */
static jm_status name_files(struct work *k, const char *dir, const char *languages, uint32_t most,
                            jm_err *err)
{
    struct jm_model_info info;
    char key[JM_SHA256_HEX];
    k->ops->info(k->w, &info);
    char *all =
        jm_asprintf("%s %s %s %u%s%s", info.sha256, info.data_sha256, languages ? languages : "",
                    most, info.settings[0] ? " " : "", info.settings);
    jm_status st = all ? jm_sha256(all, strlen(all), key, err) : JM_ENOMEM;
    if (st == JM_OK) {
        k->path = jm_asprintf("%s/%.*s.json", dir, NAME_DIGITS, key);
        k->folder = k->ops->save ? jm_asprintf("%s/%.*s", dir, NAME_DIGITS, key) : NULL;
    }
    free(all);
    if (!k->path || (k->ops->save && !k->folder))
        return jm_fail(err, JM_ENOMEM, "reference: out of memory");
    return jm_make_dirs(dir, err);
}

static jm_status load_or_make(struct work *k, uint32_t most, struct jm_reference *out, jm_err *err)
{
    uint32_t all = k->ops->sut(k->w)->n_samples;
    k->stride = (all - 1) / most + 1;
    k->n = (all + k->stride - 1) / k->stride;
    bool kept = !k->folder || answers_there(k->ops, k->n, k->stride, k->folder);
    jm_status st = kept && load(k->path, k->n, out) ? JM_OK : make(k, out, err);
    out->stride = k->stride;
    if (st == JM_OK) {
        out->folder = k->folder;
        k->folder = NULL;
    }
    return st;
}

jm_status jm_reference_get(const struct jm_workload_ops *workload,
                           const struct jm_workload_config *like, uint32_t most, const char *dir,
                           void (*progress)(double, void *), void *user,
                           const volatile sig_atomic_t *stop, struct jm_reference *out, jm_err *err)
{
    jm_backend b = { 0 };
    jm_device *dev = NULL;
    struct work k = { .ops = workload, .progress = progress, .user = user, .stop = stop };
    struct jm_workload_config cfg = *like;
    struct jm_device_options how = { .isa = "scalar" };
    *out = (struct jm_reference){ .quality = NAN, .length_ratio = NAN, .agreement = NAN };
    jm_status st = jm_backend_load("cpu", &b, err);
    if (st == JM_OK)
        st = b.ops->open(0, &how, &dev, err);
    cfg.ops = b.ops;
    cfg.device = dev;
    cfg.kv_format = JM_F32;
    cfg.batch = workload->save ? PICTURE_BATCH : TEXT_BATCH;
    if (st == JM_OK)
        st = workload->open(&cfg, &k.w, err);
    if (st == JM_OK)
        st = name_files(&k, dir, cfg.languages, most, err);
    if (st == JM_OK)
        st = load_or_make(&k, most, out, err);
    free(k.folder);
    free(k.path);
    if (k.w)
        workload->close(k.w);
    if (dev)
        b.ops->close(dev);
    jm_backend_unload(&b);
    return st;
}
