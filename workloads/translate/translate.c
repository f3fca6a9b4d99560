/* SPDX-License-Identifier: Apache-2.0 */
/* See translate.h. Prompts are encoded once, when the workload is opened, so that issuing a sample
 * allocates nothing; what that takes is told beside the latencies. Decoding to text happens when a
 * sample's last token is there, and is timed. */
#include "workloads/translate/translate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "workloads/translate/answers.h"
#include "workloads/translate/bleu.h"
#include "workloads/translate/chrf.h"
#include "workloads/translate/dataset.h"
#include "workloads/translate/language.h"
#include "workloads/model_info.h"
#include "workloads/translate/mt_model.h"

struct sample {
    const char *source, *reference; /* the data set's */
    const struct jm_language *lang;
    uint32_t chars;   /* of source */
    uint32_t *prompt; /* [n_prompt], owned */
    uint32_t n_prompt;
};

struct jm_workload {
    jm_mt_model model;
    jm_dataset *data;
    char data_name[64];
    char sha256[JM_SHA256_HEX];
    struct jm_sut sut;
    struct sample *samples; /* [sut.n_samples], segment by segment */
    uint32_t max_new;       /* of any sample: tokens kept for each answer */
    double encode_us;       /* a prompt */
    uint32_t batch;         /* answers written at a time */
    jm_engine *engine;      /* begin to begin */
    struct jm_answers answers;
    bool lost;            /* an answer found no memory */
    char *text;           /* one answer's text, terminated */
    struct jm_sink *sink; /* during step */
};

static uint32_t count_chars(const char *s)
{
    uint32_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

/* The text of an answer into w->text. */
static void decode_text(jm_workload *w, uint32_t id)
{
    uint32_t n;
    const uint32_t *t = jm_answers_tokens(&w->answers, id, &n);
    jm_utf8_stream s = { 0 };
    size_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (t[i] >= jm_tokenizer_size(w->model.tok))
            continue; /* a padded row of the embedding: no text */
        jm_str b = jm_tokenizer_bytes(w->model.tok, t[i]);
        at += jm_utf8_push(&s, b.p, b.n, w->text + at);
    }
    at += jm_utf8_end(&s, w->text + at);
    w->text[at] = '\0';
}

static void on_first(void *user, uint32_t id)
{
    jm_workload *w = user;
    jm_sink_first(w->sink, id);
}

static void on_token(void *user, uint32_t id, uint32_t token)
{
    jm_workload *w = user;
    if (!jm_answers_push(&w->answers, id, token))
        w->lost = true;
}

static void on_done(void *user, uint32_t id, uint32_t in, uint32_t out, jm_engine_end end)
{
    jm_workload *w = user;
    (void)end;
    decode_text(w, id);
    jm_answers_finish(&w->answers, id);
    jm_sink_done(w->sink, id, in, out);
}

static void forget(jm_workload *w)
{
    jm_answers_free(&w->answers);
    free(w->text);
    jm_engine_close(w->engine);
    w->text = NULL;
    w->engine = NULL;
    w->lost = false;
}

static jm_status begin(void *state, uint32_t max_ids, jm_err *err)
{
    jm_workload *w = state;
    struct jm_engine_events ev = {
        .user = w, .first = on_first, .token = on_token, .done = on_done
    };
    size_t text;
    forget(w);
    if (max_ids == 0)
        return jm_fail(err, JM_EUSAGE, "translate: a window without samples");
    jm_status st =
        jm_answers_init(&w->answers, max_ids, w->sut.n_samples, w->max_new, w->batch, err);
    if (st != JM_OK)
        return st;
    if (jm_mul_size(w->model.longest_token, 3 * (size_t)w->max_new, &text) &&
        jm_add_size(text, 12 * (size_t)w->max_new + 32, &text))
        w->text = malloc(text);
    if (!w->text) {
        forget(w);
        return jm_fail(err, JM_ENOMEM, "translate: out of memory for a text");
    }
    memset(w->text, 0, text); /* touched now: no page faults while measuring */
    return jm_mt_engine(&w->model, max_ids, &ev, &w->engine, err);
}

static jm_status encode(const jm_workload *w, const struct sample *s, uint32_t **ids, uint32_t *n,
                        jm_err *err)
{
    size_t count;
    jm_status st = jm_prompt_encode(w->model.tok, w->model.prompt, s->lang, jm_language_find("en"),
                                    s->source, strlen(s->source), ids, &count, err);
    if (st != JM_OK)
        return st;
    if (count >= w->model.params.context) {
        free(*ids);
        *ids = NULL;
        return jm_fail(err, JM_EINPUT,
                       "%s: a source text of %zu tokens does not fit the model's context of %u",
                       w->data_name, count, w->model.params.context);
    }
    *n = (uint32_t)count;
    return JM_OK;
}

static jm_status issue_one(jm_workload *w, struct jm_sample q, jm_err *err)
{
    if (q.id >= w->answers.max_ids || q.index >= w->sut.n_samples ||
        w->answers.answer[q.id].pending)
        return jm_fail(err, JM_EUSAGE, "translate: sample %u of data %u cannot be issued now", q.id,
                       q.index);
    const struct sample *s = &w->samples[q.index];
    struct jm_engine_request r = { .id = q.id,
                                   .prompt = s->prompt,
                                   .n_prompt = s->n_prompt,
                                   .max_new = jm_mt_max_new(s->n_prompt) };
    jm_answers_start(&w->answers, q.id, q.index);
    return jm_engine_submit(w->engine, &r, err);
}

static jm_status issue(void *state, const struct jm_sample *samples, uint32_t n, jm_err *err)
{
    jm_workload *w = state;
    jm_status st = JM_OK;
    for (uint32_t i = 0; i < n && st == JM_OK; i++)
        st = issue_one(w, samples[i], err);
    return st;
}

static jm_status step(void *state, struct jm_sink *sink, jm_err *err)
{
    jm_workload *w = state;
    if (!w->engine)
        return jm_fail(err, JM_EUSAGE, "translate: a step before begin");
    w->sink = sink;
    jm_status st = jm_engine_step(w->engine, err);
    if (st == JM_OK && w->lost)
        return jm_fail(err, JM_ENOMEM, "translate: out of memory for answers that differ");
    return st;
}

/* One word of --languages. */
static jm_status check_language(const jm_workload *w, const char *code, jm_err *err)
{
    const struct jm_language *l;
    jm_err why = { 0 };
    if (jm_language_get(code, &l, &why) != JM_OK)
        return jm_fail(err, JM_EUSAGE, "%s", why.text);
    if (!jm_prompt_can(w->model.tok, w->model.prompt, l))
        return jm_fail(err, JM_EUSAGE, "%s: the model does not translate into %s (%s)",
                       jm_gguf_path(w->model.file), l->english, l->code);
    for (size_t i = 0; i < jm_dataset_languages(w->data); i++)
        if (jm_language_find(jm_dataset_language(w->data, i)) == l)
            return JM_OK;
    return jm_fail(err, JM_EUSAGE, "%s: the data set has no text in %s (%s)", w->data_name,
                   l->english, l->code);
}

/* Whether the list, NULL for everything, names l. With l NULL: checks each word of the list. */
static jm_status walk_list(const jm_workload *w, const char *list, const struct jm_language *l,
                           bool *found, jm_err *err)
{
    jm_status st = JM_OK;
    *found = list == NULL;
    while (list && st == JM_OK) {
        char word[48];
        list += strspn(list, " ,");
        size_t n = strcspn(list, " ,");
        if (n == 0)
            break;
        snprintf(word, sizeof word, "%.*s", n < sizeof word ? (int)n : (int)sizeof word - 1, list);
        if (!l)
            st = check_language(w, word, err);
        else if (jm_language_find(word) == l)
            *found = true;
        list += n;
    }
    return st;
}

/* Marks wanted languages of the data set: lang[i] NULL where not wanted. */
static jm_status choose(const jm_workload *w, const char *list, const struct jm_language **lang,
                        jm_err *err)
{
    bool found;
    jm_status st = walk_list(w, list, NULL, &found, err);
    for (size_t i = 0; i < jm_dataset_languages(w->data) && st == JM_OK; i++) {
        const struct jm_language *l = jm_language_find(jm_dataset_language(w->data, i));
        lang[i] = NULL;
        if (!l || !jm_prompt_can(w->model.tok, w->model.prompt, l))
            continue;
        st = walk_list(w, list, l, &found, err);
        if (found)
            lang[i] = l;
    }
    return st;
}

static jm_status collect(jm_workload *w, const char *list, jm_err *err)
{
    const struct jm_language *lang[JM_DATASET_LANGS] = { 0 };
    size_t n_lang = jm_dataset_languages(w->data), n_seg = jm_dataset_segments(w->data), n;
    jm_status st = choose(w, list, lang, err);
    if (st != JM_OK)
        return st;
    if (!jm_mul_size(n_seg, n_lang, &n) || n > UINT32_MAX ||
        !(w->samples = calloc(n ? n : 1, sizeof *w->samples)))
        return jm_fail(err, JM_ENOMEM, "%s: out of memory for its samples", w->data_name);
    for (size_t s = 0; s < n_seg; s++) {
        for (size_t i = 0; i < n_lang; i++) {
            const char *ref =
                lang[i] ? jm_dataset_reference(w->data, s, jm_dataset_language(w->data, i)) : NULL;
            const char *src = jm_dataset_source(w->data, s);
            if (ref)
                w->samples[w->sut.n_samples++] = (struct sample){
                    .source = src, .reference = ref, .lang = lang[i], .chars = count_chars(src)
                };
        }
    }
    if (w->sut.n_samples == 0)
        return jm_fail(err, JM_EUSAGE, "%s: no text in a language that %s can translate into",
                       w->data_name, jm_gguf_path(w->model.file));
    return JM_OK;
}

/* Prompts of all samples, and the positions that the longest needs: the cache is made no larger. */
static jm_status encode_all(jm_workload *w, uint32_t *context, jm_err *err)
{
    uint32_t most = 1;
    int64_t start = jm_now_ns();
    w->max_new = 1;
    for (uint32_t i = 0; i < w->sut.n_samples; i++) {
        struct sample *s = &w->samples[i];
        jm_status st = encode(w, s, &s->prompt, &s->n_prompt, err);
        if (st != JM_OK)
            return st;
        uint32_t out = jm_mt_max_new(s->n_prompt);
        w->max_new = out > w->max_new ? out : w->max_new;
        most = s->n_prompt + out > most ? s->n_prompt + out : most;
    }
    w->encode_us = (double)(jm_now_ns() - start) / 1e3 / w->sut.n_samples;
    *context = most < w->model.params.context ? most : w->model.params.context;
    return JM_OK;
}

static void translate_close(jm_workload *w)
{
    if (!w)
        return;
    forget(w);
    jm_mt_close(&w->model);
    jm_dataset_close(w->data);
    for (uint32_t i = 0; w->samples && i < w->sut.n_samples; i++)
        free(w->samples[i].prompt);
    free(w->samples);
    free(w);
}

static jm_status prepare(jm_workload *w, const struct jm_workload_config *cfg, jm_err *err)
{
    uint32_t context;
    jm_status st = jm_dataset_open(cfg->data_path, &w->data, err);
    if (st == JM_OK)
        st = jm_mt_open(cfg->model_path, cfg->ops, cfg->device, &w->model, err);
    if (st == JM_OK)
        st = collect(w, cfg->languages, err);
    if (st == JM_OK)
        st = encode_all(w, &context, err);
    w->model.max_bytes = cfg->max_bytes;
    if (st == JM_OK)
        st = jm_mt_compile(&w->model, cfg->batch, context, cfg->kv_format, err);
    /* Last: of gigabytes it takes long, for which what is refused need not wait. */
    return st == JM_OK ? jm_sha256_file(cfg->model_path, w->sha256, err) : st;
}

static jm_status translate_open(const struct jm_workload_config *cfg, jm_workload **out,
                                jm_err *err)
{
    *out = NULL;
    jm_workload *w = calloc(1, sizeof *w);
    if (!w)
        return jm_fail(err, JM_ENOMEM, "translate: out of memory");
    w->sut = (struct jm_sut){ .state = w, .begin = begin, .issue = issue, .step = step };
    w->batch = cfg->batch;
    jm_file_name(cfg->data_path, w->data_name, sizeof w->data_name);
    jm_status st = prepare(w, cfg, err);
    if (st != JM_OK) {
        translate_close(w);
        return st;
    }
    *out = w;
    return JM_OK;
}

static const struct jm_sut *translate_sut(jm_workload *w)
{
    return &w->sut;
}

static jm_plan *translate_plan(jm_workload *w)
{
    return w->model.plan;
}

static void translate_info(const jm_workload *w, struct jm_model_info *out)
{
    const jm_gguf *f = w->model.file;
    const struct jm_hunyuan *p = &w->model.params;
    *out = (struct jm_model_info){ .encode_us = w->encode_us,
                                   .answer_bytes =
                                       sizeof(struct jm_answer) + sizeof(struct jm_engine_request),
                                   .layers = p->layers,
                                   .hidden = p->hidden,
                                   .context = p->context,
                                   .vocab = p->vocab };
    w->model.ops->plan_memory(w->model.plan, &out->memory);
    jm_model_info_gguf(f, out);
    snprintf(out->architecture, sizeof out->architecture, "hunyuan-dense");
    snprintf(out->data_set, sizeof out->data_set, "%s", w->data_name);
    snprintf(out->sha256, sizeof out->sha256, "%s", w->sha256);
    snprintf(out->data_sha256, sizeof out->data_sha256, "%s", jm_dataset_sha256(w->data));
}

static jm_status translate_answer(jm_workload *w, uint32_t id, const char **text, jm_err *err)
{
    if (id >= w->answers.max_ids)
        return jm_fail(err, JM_EUSAGE, "translate: answer %u of %u", id, w->answers.max_ids);
    decode_text(w, id);
    *text = w->text;
    return JM_OK;
}

static void translate_sample(const jm_workload *w, uint32_t index, const char **source,
                             uint32_t *source_chars, const char **lang)
{
    const struct sample *s = &w->samples[index];
    *source = s->source;
    *source_chars = s->chars;
    *lang = s->lang->code;
}

/* Hypotheses and references of one language, and sums over all. */
struct scoring {
    const uint32_t *ids; /* [n]; NULL: 0..n-1 */
    char **hyp;          /* [n], owned */
    const char **ref;    /* [n] */
    uint64_t hyp_chars, ref_chars;
    uint32_t languages;
};

static jm_status score_language(jm_workload *w, uint32_t n, const struct jm_language *l,
                                struct scoring *s, struct jm_quality *out, jm_err *err)
{
    uint32_t m = 0;
    double chrf, bleu;
    jm_status st = JM_OK;
    for (uint32_t i = 0; i < n && st == JM_OK; i++) {
        uint32_t id = s->ids ? s->ids[i] : i;
        const struct sample *q = &w->samples[w->answers.answer[id].index];
        if (q->lang != l)
            continue;
        decode_text(w, id);
        s->ref[m] = q->reference;
        s->hyp_chars += count_chars(w->text);
        s->ref_chars += count_chars(q->reference);
        s->hyp[m] = strdup(w->text);
        if (!s->hyp[m++])
            st = jm_fail(err, JM_ENOMEM, "translate: out of memory scoring");
    }
    const char *const *hyp = (const char *const *)s->hyp;
    bool zh = l->is_chinese || strcmp(l->code, "yue") == 0;
    if (st == JM_OK && m > 0)
        st = jm_chrf(hyp, s->ref, m, 2, &chrf, NULL, err);
    if (st == JM_OK && m > 0)
        st = jm_bleu(hyp, s->ref, m, zh, &bleu, NULL, err);
    if (st == JM_OK && m > 0) {
        if (s->languages++ == 0 || chrf < out->worst) {
            out->worst = chrf;
            snprintf(out->worst_lang, sizeof out->worst_lang, "%s", l->code);
        }
        out->value += chrf;
        out->bleu += bleu;
        out->n += m;
    }
    for (uint32_t i = 0; i < m; i++)
        free(s->hyp[i]);
    return st;
}

static jm_status translate_score(jm_workload *w, const uint32_t *ids, uint32_t n,
                                 struct jm_quality *out, jm_err *err)
{
    struct scoring s = { .ids = ids };
    size_t n_lang;
    const struct jm_language *all = jm_languages(&n_lang);
    jm_status st = JM_OK;
    *out = (struct jm_quality){ .metric = "chrF2++", .psnr_db = NAN, .agreement = NAN };
    if (n == 0 || n > w->answers.max_ids)
        return jm_fail(err, JM_EUSAGE, "translate: %u answers to score of %u", n,
                       w->answers.max_ids);
    for (uint32_t i = 0; ids && i < n; i++)
        if (ids[i] >= w->answers.max_ids)
            return jm_fail(err, JM_EUSAGE, "translate: answer %u of %u", ids[i],
                           w->answers.max_ids);
    s.hyp = calloc(n, sizeof *s.hyp);
    s.ref = calloc(n, sizeof *s.ref);
    if (!s.hyp || !s.ref)
        st = jm_fail(err, JM_ENOMEM, "translate: out of memory scoring %u answers", n);
    for (size_t i = 0; i < n_lang && st == JM_OK; i++)
        st = score_language(w, n, &all[i], &s, out, err);
    if (st == JM_OK) { /* n > 0: some language has an answer, no reference is empty */
        out->value /= s.languages;
        out->bleu /= s.languages;
        out->length_ratio = (double)s.hyp_chars / (double)s.ref_chars;
    }
    free(s.hyp);
    free(s.ref);
    return st;
}

const struct jm_workload_ops jm_translate_workload = {
    .name = "translate",
    .summary = "translate short texts with a language model; quality by chrF2++ and BLEU",
    .model = "tiny-mt-f16.gguf",
    .data = "jm-ui.csv",
    .kv_format = JM_F16,
    .open = translate_open,
    .close = translate_close,
    .info = translate_info,
    .sut = translate_sut,
    .score = translate_score,
    .answer = translate_answer,
    .sample = translate_sample,
    .plan = translate_plan,
};
