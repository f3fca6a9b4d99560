/* SPDX-License-Identifier: Apache-2.0 */
/* See translator.h. */
#include "workloads/translate/translator.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "workloads/translate/language.h"
#include "workloads/translate/mt_model.h"

/* The cache of one sequence is taken whole: a line needs no more than this. */
enum { LINE_CONTEXT = 2048 };

struct jm_translator {
    jm_mt_model model;
    jm_engine *engine;
    jm_utf8_stream utf8;
    char *out; /* a token's characters: 3 * longest_token + 12 bytes */
    jm_translate_fn *piece;
    void *user;
};

static void on_token(void *user, uint32_t id, uint32_t token)
{
    jm_translator *t = user;
    (void)id;
    if (token >= jm_tokenizer_size(t->model.tok))
        return; /* a padded row of the embedding: no text */
    jm_str s = jm_tokenizer_bytes(t->model.tok, token);
    size_t n = jm_utf8_push(&t->utf8, s.p, s.n, t->out);
    if (n > 0)
        t->piece(t->user, t->out, n);
}

static jm_status prepare(jm_translator *t, uint32_t batch, jm_format kv, jm_err *err)
{
    uint32_t context = t->model.params.context;
    struct jm_engine_events ev = { .user = t, .token = on_token };
    size_t bytes;
    if (!jm_mul_size(t->model.longest_token, 3, &bytes) || !jm_add_size(bytes, 12, &bytes) ||
        !(t->out = malloc(bytes)))
        return jm_fail(err, JM_ENOMEM, "translator: out of memory");
    jm_status st =
        jm_mt_compile(&t->model, batch, context < LINE_CONTEXT ? context : LINE_CONTEXT, kv, err);
    return st == JM_OK ? jm_mt_engine(&t->model, batch, &ev, &t->engine, err) : st;
}

jm_status jm_translator_open(const char *model_path, const struct jm_backend_ops *ops,
                             jm_device *device, uint32_t batch, jm_format kv, jm_translator **out,
                             jm_err *err)
{
    *out = NULL;
    jm_translator *t = calloc(1, sizeof *t);
    if (!t)
        return jm_fail(err, JM_ENOMEM, "translator: out of memory");
    jm_status st = jm_mt_open(model_path, ops, device, &t->model, err);
    if (st == JM_OK)
        st = prepare(t, batch, kv, err);
    if (st != JM_OK) {
        jm_translator_close(t);
        return st;
    }
    *out = t;
    return JM_OK;
}

struct jm_plan_memory jm_translator_memory(const jm_translator *t)
{
    struct jm_plan_memory m;
    t->model.ops->plan_memory(t->model.plan, &m);
    return m;
}

void jm_translator_close(jm_translator *t)
{
    if (!t)
        return;
    jm_engine_close(t->engine);
    jm_mt_close(&t->model);
    free(t->out);
    free(t);
}

static bool is_blank(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!memchr(" \t\r\n\f\v", s[i], 6))
            return false;
    return true;
}

static jm_status find_language(const char *code, const struct jm_language **out, jm_err *err)
{
    jm_err why = { 0 };
    if (jm_language_get(code, out, &why) == JM_OK)
        return JM_OK;
    return jm_fail(err, JM_EUSAGE, "%s", why.text);
}

static jm_status decode(jm_translator *t, const uint32_t *ids, uint32_t n, jm_err *err)
{
    struct jm_engine_request r = { .prompt = ids, .n_prompt = n, .max_new = jm_mt_max_new(n) };
    t->utf8 = (jm_utf8_stream){ 0 };
    jm_status st = jm_engine_submit(t->engine, &r, err);
    while (st == JM_OK && jm_engine_pending(t->engine) > 0)
        st = jm_engine_step(t->engine, err);
    if (st != JM_OK) {
        jm_engine_clear(t->engine);
        return st;
    }
    size_t rest = jm_utf8_end(&t->utf8, t->out);
    if (rest > 0)
        t->piece(t->user, t->out, rest);
    return JM_OK;
}

jm_status jm_translate_line(jm_translator *t, const char *text, size_t n, const char *lang,
                            jm_translate_fn *piece, void *user, jm_err *err)
{
    const struct jm_language *to;
    uint32_t *ids = NULL, limit = t->model.limits.max_context;
    size_t n_ids;
    jm_status st = find_language(lang, &to, err);
    if (st != JM_OK || is_blank(text, n))
        return st;
    st = jm_prompt_encode(t->model.tok, t->model.prompt, to, NULL, text, n, &ids, &n_ids, err);
    if (st != JM_OK)
        return st;
    if (n_ids >= limit) {
        st =
            jm_fail(err, JM_EUSAGE,
                    "the line needs %zu tokens and its translation more; the limit is %u: split it",
                    n_ids, limit);
    } else {
        t->piece = piece;
        t->user = user;
        st = decode(t, ids, (uint32_t)n_ids, err);
    }
    free(ids);
    return st;
}
