/* SPDX-License-Identifier: Apache-2.0 */
/* See imagegen.h. Captions are encoded once, when the workload is opened, so that issuing a sample
 * allocates nothing; what that takes is told beside the latencies. The noise of a picture is made
 * when it is begun, and a picture is done once its bytes are there: both are timed. */
#include "workloads/imagegen/imagegen.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "workloads/imagegen/kit.h"
#include "workloads/imagegen/noise.h"
#include "workloads/imagegen/png.h"
#include "workloads/imagegen/similarity.h"
#include "workloads/imagegen/tiles.h"
#include "workloads/model_info.h"
#include "workloads/rows.h"

struct sample {
    const char *text, *lang; /* the rows' */
    uint32_t row;            /* in the file, from 0: its tile, and the seed of its noise */
    uint32_t chars;          /* of text */
    uint32_t *ids;           /* [n_ids], owned */
    uint32_t n_ids;
};

struct answer {
    uint32_t index; /* of its sample */
    uint32_t place; /* where it is being drawn */
    bool issued;
};

struct jm_workload {
    jm_u1_kit kit;
    struct jm_sampling how;
    size_t values; /* of a picture: 3 width height */
    jm_row_list rows;
    jm_tiles tiles;
    char data_name[64];
    char sha256[JM_SHA256_HEX], answer_sha256[JM_SHA256_HEX];
    struct jm_sut sut;
    struct sample *samples; /* [sut.n_samples] */
    double encode_us;       /* a caption */
    uint32_t batch;
    float *pixels;        /* [batch, values] being drawn */
    uint32_t *free_place; /* [batch], stack */
    uint32_t n_free;
    jm_painter *painter; /* begin to begin */
    uint32_t max_ids;
    struct answer *answers; /* [max_ids] */
    uint8_t *rgb;           /* [max_ids, values] */
    uint32_t *queue;        /* [max_ids] ids, in order of issue: each is issued once */
    uint32_t q_head, q_len;
    struct jm_sink *sink; /* during step */
    char *reference;      /* folder; NULL: none */
};

static uint32_t count_chars(const char *s)
{
    uint32_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

/* The picture of an answer, without owning it. */
static jm_image view(const jm_workload *w, uint32_t id)
{
    return (jm_image){ .width = w->how.width,
                       .height = w->how.height,
                       .rgb = w->rgb + (size_t)id * w->values };
}

/* ---- system under test ---- */

static void on_done(void *user, uint32_t id, bool cancelled)
{
    jm_workload *w = user;
    struct answer *a = &w->answers[id];
    jm_image img = view(w, id);
    (void)cancelled; /* nothing is ever cancelled here */
    jm_image_set_planes(&img, w->pixels + a->place * w->values);
    w->free_place[w->n_free++] = a->place;
    jm_sink_done(w->sink, id, w->samples[a->index].n_ids, 0);
}

static void forget(jm_workload *w)
{
    free(w->answers);
    free(w->rgb);
    free(w->queue);
    jm_painter_close(w->painter);
    w->answers = NULL;
    w->rgb = NULL;
    w->queue = NULL;
    w->painter = NULL;
    w->max_ids = w->q_head = w->q_len = w->n_free = 0;
}

static jm_status begin(void *state, uint32_t max_ids, jm_err *err)
{
    jm_workload *w = state;
    struct jm_painter_events events = { .user = w, .done = on_done };
    size_t bytes;
    forget(w);
    if (max_ids == 0)
        return jm_fail(err, JM_EUSAGE, "imagegen: a window without samples");
    w->answers = calloc(max_ids, sizeof *w->answers);
    w->queue = calloc(max_ids, sizeof *w->queue);
    w->rgb = jm_mul_size(max_ids, w->values, &bytes) ? malloc(bytes) : NULL;
    if (!w->answers || !w->queue || !w->rgb) {
        forget(w);
        return jm_fail(err, JM_ENOMEM, "imagegen: out of memory for %u pictures", max_ids);
    }
    memset(w->rgb, 0, bytes); /* touched now: no page faults while measuring */
    w->max_ids = max_ids;
    while (w->n_free < w->batch) {
        w->free_place[w->n_free] = w->n_free;
        w->n_free++;
    }
    return jm_u1_painter(&w->kit.model, w->kit.uncond, w->kit.n_uncond, w->batch, &events,
                         &w->painter, err);
}

static jm_status issue_one(jm_workload *w, struct jm_sample q, jm_err *err)
{
    if (q.id >= w->max_ids || q.index >= w->sut.n_samples || w->answers[q.id].issued)
        return jm_fail(err, JM_EUSAGE, "imagegen: sample %u of data %u cannot be issued now", q.id,
                       q.index);
    w->answers[q.id] = (struct answer){ .index = q.index, .issued = true };
    w->queue[w->q_len++] = q.id;
    return JM_OK;
}

static jm_status issue(void *state, const struct jm_sample *samples, uint32_t n, jm_err *err)
{
    jm_workload *w = state;
    jm_status st = JM_OK;
    for (uint32_t i = 0; i < n && st == JM_OK; i++)
        st = issue_one(w, samples[i], err);
    return st;
}

/* Gives waiting samples to the painter while there is a place. */
static jm_status feed(jm_workload *w, jm_err *err)
{
    while (w->q_head < w->q_len && w->n_free > 0) {
        uint32_t id = w->queue[w->q_head++];
        struct answer *a = &w->answers[id];
        a->place = w->free_place[--w->n_free];
        float *pixels = w->pixels + a->place * w->values;
        const struct sample *s = &w->samples[a->index];
        jm_noise_fill(s->row, pixels, w->values);
        jm_status st = jm_painter_submit(
            w->painter,
            &(struct jm_painter_request){
                .id = id, .prompt = s->ids, .n_prompt = s->n_ids, .how = w->how, .pixels = pixels },
            err);
        if (st != JM_OK)
            return st;
    }
    return JM_OK;
}

static jm_status step(void *state, struct jm_sink *sink, jm_err *err)
{
    jm_workload *w = state;
    if (!w->painter)
        return jm_fail(err, JM_EUSAGE, "imagegen: a step before begin");
    w->sink = sink;
    jm_status st = feed(w, err);
    return st == JM_OK ? jm_painter_step(w->painter, err) : st;
}

/* ---- opening ---- */

/* Whether the comma-separated list, NULL for everything, names lang. */
static bool wanted(const char *list, const char *lang)
{
    size_t n = strlen(lang);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += strspn(at, " ,");
        size_t m = strcspn(at, " ,");
        if (m == 0)
            return false;
        if (m == n && strncmp(at, lang, n) == 0)
            return true;
        at += m;
    }
    return list == NULL;
}

static jm_status collect(jm_workload *w, const struct jm_workload_config *cfg, jm_err *err)
{
    jm_status st = jm_rows_read(cfg->data_path, &w->rows, err);
    if (st != JM_OK)
        return st;
    w->samples = calloc(w->rows.n, sizeof *w->samples);
    if (!w->samples)
        return jm_fail(err, JM_ENOMEM, "%s: out of memory for its samples", w->data_name);
    for (uint32_t i = 0; i < w->rows.n; i++) {
        char *const *f = w->rows.row[i].field;
        if (wanted(cfg->languages, f[JM_ROW_LANG]))
            w->samples[w->sut.n_samples++] =
                (struct sample){ .text = f[JM_ROW_TEXT],
                                 .lang = f[JM_ROW_LANG],
                                 .row = i,
                                 .chars = count_chars(f[JM_ROW_TEXT]) };
    }
    if (w->sut.n_samples == 0)
        return jm_fail(err, JM_EUSAGE, "%s: no caption in the languages '%.60s'", w->data_name,
                       cfg->languages);
    return jm_tiles_open(cfg->data_path, (uint32_t)w->rows.n, &w->tiles, err);
}

/* longest: of any prompt, which decides how much memory the plan takes. */
static jm_status encode_captions(jm_workload *w, uint32_t *longest, jm_err *err)
{
    int64_t start = jm_now_ns();
    *longest = w->kit.n_uncond;
    for (uint32_t i = 0; i < w->sut.n_samples; i++) {
        struct sample *s = &w->samples[i];
        jm_err why = { 0 };
        jm_status st = jm_u1_kit_encode(&w->kit, s->text, &s->ids, &s->n_ids, &why);
        if (st != JM_OK)
            return jm_fail(err, st, "%s:%zu: %.400s", w->data_name, w->rows.row[s->row].line,
                           why.text);
        *longest = s->n_ids > *longest ? s->n_ids : *longest;
    }
    w->encode_us = (double)(jm_now_ns() - start) / 1e3 / w->sut.n_samples;
    return JM_OK;
}

static jm_status take_memory(jm_workload *w, jm_err *err)
{
    size_t bytes;
    w->values = (size_t)3 * w->how.width * w->how.height; /* jm_sampling_check bounds the sides */
    w->free_place = calloc(w->batch, sizeof *w->free_place);
    if (jm_mul_size(w->values, w->batch, &bytes) && jm_mul_size(bytes, sizeof *w->pixels, &bytes))
        w->pixels = calloc(1, bytes);
    if (!w->free_place || !w->pixels)
        return jm_fail(err, JM_ENOMEM, "imagegen: out of memory for %u pictures at once", w->batch);
    return JM_OK;
}

static jm_status prepare(jm_workload *w, const struct jm_workload_config *cfg, jm_err *err)
{
    uint32_t context;
    jm_status st = collect(w, cfg, err);
    if (st == JM_OK)
        st = jm_u1_kit_open(cfg->model_path, cfg->tokenizer_path, cfg->ops, cfg->device, &w->kit,
                            err);
    if (st != JM_OK)
        return st;
    w->how = jm_sampling_default(&w->kit.model.params);
    if (cfg->size > 0)
        w->how.width = w->how.height = cfg->size;
    if (cfg->steps > 0)
        w->how.steps = cfg->steps;
    if (cfg->cfg >= 0)
        w->how.cfg = (float)cfg->cfg;
    w->kit.model.max_bytes = cfg->max_bytes;
    w->kit.model.kv_format = cfg->kv_format;
    st = encode_captions(w, &context, err);
    if (st == JM_OK)
        st = jm_u1_compile(&w->kit.model, w->batch, context, &w->how, err);
    if (st == JM_OK)
        st = take_memory(w, err);
    if (st != JM_OK)
        return st;
    /* Last: of 35 GB it takes minutes, for which what is refused need not wait. */
    return w->kit.weights ? jm_safetensors_sha256(w->kit.weights, w->sha256, err)
                          : jm_sha256_file(cfg->model_path, w->sha256, err);
}

static void imagegen_close(jm_workload *w)
{
    if (!w)
        return;
    forget(w);
    jm_u1_kit_close(&w->kit);
    jm_tiles_close(&w->tiles);
    for (uint32_t i = 0; i < w->sut.n_samples; i++)
        free(w->samples[i].ids);
    jm_rows_free(&w->rows);
    free(w->samples);
    free(w->pixels);
    free(w->free_place);
    free(w->reference);
    free(w);
}

static jm_status imagegen_open(const struct jm_workload_config *cfg, jm_workload **out, jm_err *err)
{
    *out = NULL;
    jm_workload *w = calloc(1, sizeof *w);
    if (!w)
        return jm_fail(err, JM_ENOMEM, "imagegen: out of memory");
    w->sut = (struct jm_sut){ .state = w, .begin = begin, .issue = issue, .step = step };
    w->batch = cfg->batch;
    jm_file_name(cfg->data_path, w->data_name, sizeof w->data_name);
    jm_status st = prepare(w, cfg, err);
    if (st != JM_OK) {
        imagegen_close(w);
        return st;
    }
    *out = w;
    return JM_OK;
}

/* ---- facts and answers ---- */

static jm_plan *imagegen_plan(jm_workload *w)
{
    return w->kit.model.plan;
}

static const struct jm_sut *imagegen_sut(jm_workload *w)
{
    return &w->sut;
}

static void imagegen_info(const jm_workload *w, struct jm_model_info *out)
{
    const struct jm_neo *p = &w->kit.model.params;
    *out = (struct jm_model_info){ .layers = p->layers,
                                   .hidden = p->hidden,
                                   .context = p->context,
                                   .vocab = p->vocab,
                                   .encode_us = w->encode_us,
                                   .other_bytes = w->kit.model.other_bytes,
                                   .answer_bytes = w->values,
                                   .megapixels = (double)w->values / 3e6,
                                   .answer_steps = w->how.steps };
    w->kit.model.ops->plan_memory(w->kit.model.plan, &out->memory);
    if (w->kit.weights)
        jm_model_info_safetensors(w->kit.weights, out);
    else
        jm_model_info_gguf(w->kit.model.file, out);
    snprintf(out->architecture, sizeof out->architecture, "sensenova_u1");
    snprintf(out->settings, sizeof out->settings, "%ux%u, %u steps, guidance %g, shift %g",
             w->how.width, w->how.height, w->how.steps, (double)w->how.cfg, (double)w->how.shift);
    snprintf(out->data_set, sizeof out->data_set, "%s", w->data_name);
    snprintf(out->sha256, sizeof out->sha256, "%s", w->sha256);
    snprintf(out->data_sha256, sizeof out->data_sha256, "%s", w->rows.sha256);
}

static jm_status imagegen_answer(jm_workload *w, uint32_t id, const char **text, jm_err *err)
{
    if (id >= w->max_ids)
        return jm_fail(err, JM_EUSAGE, "imagegen: answer %u of %u", id, w->max_ids);
    *text = w->answer_sha256;
    return jm_sha256(w->rgb + (size_t)id * w->values, w->values, w->answer_sha256, err);
}

static jm_status imagegen_save(jm_workload *w, uint32_t id, const char *path, jm_err *err)
{
    if (id >= w->max_ids)
        return jm_fail(err, JM_EUSAGE, "imagegen: answer %u of %u", id, w->max_ids);
    jm_image img = view(w, id);
    return jm_png_write(path, &img, err);
}

static void imagegen_sample(const jm_workload *w, uint32_t index, const char **source,
                            uint32_t *source_chars, const char **lang)
{
    const struct sample *s = &w->samples[index];
    *source = s->text;
    *source_chars = s->chars;
    *lang = s->lang;
}

static jm_status imagegen_against(jm_workload *w, const char *folder, jm_err *err)
{
    char *copy = strdup(folder);
    if (!copy)
        return jm_fail(err, JM_ENOMEM, "imagegen: out of memory");
    free(w->reference);
    w->reference = copy;
    return JM_OK;
}

/* ---- quality ---- */

struct scoring {
    const uint32_t *ids; /* [n]; NULL: 0..n-1 */
    uint32_t n;
    double *ssim;                /* [n] */
    double ssim_sum, mse, agree; /* sums over answers */
    bool can_agree;              /* there are tiles, and they fit the pictures */
};

static uint32_t id_of(const struct scoring *s, uint32_t i)
{
    return s->ids ? s->ids[i] : i;
}

static const char *language_of(const jm_workload *w, const struct scoring *s, uint32_t i)
{
    return w->samples[w->answers[id_of(s, i)].index].lang;
}

static jm_status compare_one(const jm_workload *w, uint32_t id, double *mse, double *ssim,
                             jm_err *err)
{
    jm_image img = view(w, id), want;
    char *path = jm_asprintf("%s/%u.png", w->reference, w->answers[id].index);
    if (!path)
        return jm_fail(err, JM_ENOMEM, "imagegen: out of memory scoring");
    jm_status st = jm_png_read(path, (uint64_t)img.width * img.height, &want, err);
    if (st == JM_OK)
        st = jm_image_mse(&img, &want, mse, err);
    if (st == JM_OK)
        st = jm_ssim(&img, &want, ssim, err);
    jm_image_free(&want);
    free(path);
    return st;
}

static jm_status score_pictures(const jm_workload *w, struct scoring *s, jm_err *err)
{
    jm_status st = JM_OK;
    bool can_agree =
        w->tiles.n > 0 && w->how.width % w->tiles.side == 0 && w->how.height % w->tiles.side == 0;
    for (uint32_t i = 0; i < s->n && st == JM_OK; i++) {
        uint32_t id = id_of(s, i), nearest = 0;
        jm_image img = view(w, id);
        double mse = 0.0;
        if (can_agree)
            st = jm_tiles_nearest(&w->tiles, &img, &nearest, err);
        if (can_agree && st == JM_OK)
            s->agree += nearest == w->samples[w->answers[id].index].row;
        if (w->reference && st == JM_OK)
            st = compare_one(w, id, &mse, &s->ssim[i], err);
        s->mse += mse;
        s->ssim_sum += s->ssim[i];
    }
    s->can_agree = can_agree;
    return st;
}

/* The language whose pictures are least like the reference's, by mean SSIM. */
static void find_worst(const jm_workload *w, const struct scoring *s, struct jm_quality *out)
{
    for (uint32_t i = 0; i < s->n; i++) {
        const char *lang = language_of(w, s, i);
        double sum = 0.0;
        uint32_t n = 0;
        bool seen = false;
        for (uint32_t j = 0; j < i && !seen; j++)
            seen = strcmp(language_of(w, s, j), lang) == 0;
        for (uint32_t j = i; j < s->n && !seen; j++) {
            bool same = strcmp(language_of(w, s, j), lang) == 0;
            sum += same ? s->ssim[j] : 0.0;
            n += same;
        }
        if (seen || (!isnan(out->worst) && sum / n >= out->worst))
            continue;
        out->worst = sum / n;
        snprintf(out->worst_lang, sizeof out->worst_lang, "%s", lang);
    }
}

static jm_status imagegen_score(jm_workload *w, const uint32_t *ids, uint32_t n,
                                struct jm_quality *out, jm_err *err)
{
    struct scoring s = { .ids = ids, .n = n };
    *out = (struct jm_quality){ .metric = "SSIM",
                                .value = NAN,
                                .bleu = NAN,
                                .worst = NAN,
                                .length_ratio = NAN,
                                .psnr_db = NAN,
                                .agreement = NAN,
                                .n = n };
    if (n == 0 || n > w->max_ids)
        return jm_fail(err, JM_EUSAGE, "imagegen: %u answers to score of %u", n, w->max_ids);
    for (uint32_t i = 0; ids && i < n; i++)
        if (ids[i] >= w->max_ids)
            return jm_fail(err, JM_EUSAGE, "imagegen: answer %u of %u", ids[i], w->max_ids);
    s.ssim = calloc(n, sizeof *s.ssim);
    jm_status st = s.ssim ? score_pictures(w, &s, err)
                          : jm_fail(err, JM_ENOMEM, "imagegen: out of memory scoring");
    if (st == JM_OK && s.can_agree)
        out->agreement = s.agree / n;
    if (st == JM_OK && w->reference) {
        out->value = s.ssim_sum / n;
        out->psnr_db = jm_psnr_db(s.mse / n);
        find_worst(w, &s, out);
    }
    free(s.ssim);
    return st;
}

static const char *const settings[] = { "tokenizer", "size", "steps", "cfg", NULL };

const struct jm_workload_ops jm_imagegen_workload = {
    .name = "imagegen",
    .summary = "draw small pictures of captions; quality by SSIM, PSNR and agreement with captions",
    .model = "tiny-u1-f16.gguf",
    .data = "u1-emoji.csv",
    .kv_format = JM_F32,
    .settings = settings,
    .open = imagegen_open,
    .close = imagegen_close,
    .info = imagegen_info,
    .sut = imagegen_sut,
    .score = imagegen_score,
    .answer = imagegen_answer,
    .sample = imagegen_sample,
    .plan = imagegen_plan,
    .suffix = ".png",
    .save = imagegen_save,
    .against = imagegen_against,
};
