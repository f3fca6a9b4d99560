/* SPDX-License-Identifier: Apache-2.0 */
/* The two kinds of translation prompt. The Hy-MT instructions are those of its model card; the
 * instruction and the source are encoded as one text, as the model was trained. */
#include "workloads/translate/prompt.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"

#define TARGET "{target_lang}"
#define SOURCE "{source}"

struct jm_prompt_kind {
    bool literal;
    uint32_t eos;
    /* Literal: the template before and after {source}, terminated. */
    char *before, *after;
    /* Hy-MT: the wrapper's tokens. */
    bool has_bos;
    uint32_t bos, user, assistant;
};

void jm_prompt_close(jm_prompt_kind *k)
{
    if (!k)
        return;
    free(k->before);
    free(k->after);
    free(k);
}

uint32_t jm_prompt_eos(const jm_prompt_kind *k)
{
    return k->eos;
}

static const char *find(jm_str s, const char *what)
{
    return s.n == 0 ? NULL : memmem(s.p, s.n, what, strlen(what));
}

static jm_status open_literal(jm_prompt_kind *k, jm_str tmpl, jm_err *err)
{
    const char *source = find(tmpl, SOURCE), *rest = source + strlen(SOURCE);
    jm_str after = { .p = rest, .n = tmpl.n - (size_t)(rest - tmpl.p) };

    if (find(after, SOURCE) || memchr(tmpl.p, '\0', tmpl.n))
        return jm_fail(err, JM_EUNSUPPORTED,
                       "tokenizer.chat_template: a literal must hold " SOURCE " once and no NUL");
    k->literal = true;
    k->before = strndup(tmpl.p, (size_t)(source - tmpl.p));
    k->after = strndup(after.p, after.n);
    if (!k->before || !k->after)
        return jm_fail(err, JM_ENOMEM, "chat template: out of memory");
    return JM_OK;
}

/* The next <|hy_NAME|> in s, bars ASCII or full-width; moves s past it. */
static bool next_wrapper(jm_str *s, jm_str *token, jm_str *name)
{
    static const char *const opens[] = { "<|hy_", "<\xef\xbd\x9chy_" };
    static const char *const closes[] = { "|>", "\xef\xbd\x9c>" };
    const char *first = NULL;
    size_t form = 0;

    for (size_t i = 0; i < 2; i++) {
        const char *p = find(*s, opens[i]);
        if (p && (!first || p < first)) {
            first = p;
            form = i;
        }
    }
    if (!first)
        return false;
    s->n -= (size_t)(first - s->p) + strlen(opens[form]);
    s->p = first + strlen(opens[form]);
    name->p = s->p;
    first = find(*s, closes[form]);
    if (!first)
        return false;
    name->n = (size_t)(first - name->p);
    token->p = name->p - strlen(opens[form]);
    token->n = name->n + strlen(opens[form]) + strlen(closes[form]);
    s->p = first + strlen(closes[form]);
    s->n -= name->n + strlen(closes[form]);
    return true;
}

static bool starts(jm_str s, const char *word)
{
    return s.n >= strlen(word) && memcmp(s.p, word, strlen(word)) == 0;
}

static jm_status open_hymt(jm_prompt_kind *k, const jm_gguf *f, const jm_tokenizer *t, jm_str tmpl,
                           jm_err *err)
{
    bool has_user = false, has_assistant = false;
    jm_str token, name;

    while (next_wrapper(&tmpl, &token, &name)) {
        uint32_t id;
        if (!jm_tokenizer_find(t, token.p, token.n, &id))
            continue;
        if (starts(name, "begin") && !k->has_bos) {
            k->bos = id;
            k->has_bos = true;
        } else if (starts(name, "User") && !has_user) {
            k->user = id;
            has_user = true;
        } else if (starts(name, "Assistant") && !has_assistant) {
            k->assistant = id;
            has_assistant = true;
        }
    }
    if (!has_user || !has_assistant)
        return jm_fail(err, JM_EUNSUPPORTED,
                       "tokenizer.chat_template: the vocabulary lacks its hy_%s token",
                       has_user ? "Assistant" : "User");
    /* A template may write bos_token instead of the token's text. */
    if (!k->has_bos && jm_gguf_u32(f, "tokenizer.ggml.bos_token_id", &k->bos))
        k->has_bos = k->bos < jm_tokenizer_size(t);
    return JM_OK;
}

jm_status jm_prompt_open(const jm_gguf *f, const jm_tokenizer *t, jm_prompt_kind **out, jm_err *err)
{
    jm_prompt_kind *k;
    jm_str tmpl;
    jm_status st;
    uint32_t eos;

    *out = NULL;
    if (!jm_gguf_str(f, "tokenizer.chat_template", &tmpl))
        return jm_fail(err, JM_EINPUT,
                       "tokenizer.chat_template is missing; the file does not say "
                       "how to ask for a translation");
    if (!jm_gguf_u32(f, "tokenizer.ggml.eos_token_id", &eos) || eos >= jm_tokenizer_size(t))
        return jm_fail(err, JM_EINPUT, "tokenizer.ggml.eos_token_id is missing or no token");
    k = calloc(1, sizeof *k);
    if (!k)
        return jm_fail(err, JM_ENOMEM, "chat template: out of memory");
    k->eos = eos;
    if (find(tmpl, TARGET) && find(tmpl, SOURCE))
        st = open_literal(k, tmpl, err);
    else if (find(tmpl, "<|hy_") || find(tmpl, "<\xef\xbd\x9chy_"))
        st = open_hymt(k, f, t, tmpl, err);
    else
        st = jm_fail(err, JM_EUNSUPPORTED,
                     "tokenizer.chat_template is neither a literal with " TARGET " and " SOURCE
                     " nor Hy-MT's");
    if (st == JM_OK)
        *out = k;
    else
        jm_prompt_close(k);
    return st;
}

bool jm_prompt_can(const jm_tokenizer *t, const jm_prompt_kind *k, const struct jm_language *to)
{
    char token[32] = "<|";
    uint32_t id;

    if (!k->literal)
        return true;
    if (strlen(to->code) > sizeof token - 5)
        return false;
    strcat(token, to->code);
    strcat(token, "|>");
    return jm_tokenizer_find(t, token, strlen(token), &id);
}

/* Ids being put together. */
struct ids {
    uint32_t *p;
    size_t n;
};

static jm_status append_ids(struct ids *to, const uint32_t *more, size_t n, jm_err *err)
{
    size_t total, bytes;
    uint32_t *p = NULL;

    if (n == 0)
        return JM_OK;
    if (jm_add_size(to->n, n, &total) && jm_mul_size(total, sizeof *p, &bytes))
        p = realloc(to->p, bytes);
    if (!p)
        return jm_fail(err, JM_ENOMEM, "prompt: out of memory");
    memcpy(p + to->n, more, n * sizeof *p);
    to->p = p;
    to->n = total;
    return JM_OK;
}

static jm_status append_text(struct ids *to, const jm_tokenizer *t, const char *text, size_t n,
                             bool special, jm_err *err)
{
    uint32_t *more;
    size_t n_more;
    jm_status st = jm_tokenizer_encode(t, text, n, special, &more, &n_more, err);

    if (st == JM_OK)
        st = append_ids(to, more, n_more, err);
    free(more);
    return st;
}

/* One side of a literal, with {target_lang} replaced wherever it stands. */
static jm_status append_side(struct ids *to, const jm_tokenizer *t, const char *side,
                             const char *code, jm_err *err)
{
    char *text = strdup(side), *at;
    jm_status st = JM_OK;

    /* Codes hold no braces, so that each round removes one. */
    while (text && (at = strstr(text, TARGET))) {
        char *next = jm_asprintf("%.*s%s%s", (int)(at - text), text, code, at + strlen(TARGET));
        free(text);
        text = next;
    }
    if (text)
        st = append_text(to, t, text, strlen(text), true, err);
    else
        st = jm_fail(err, JM_ENOMEM, "prompt: out of memory");
    free(text);
    return st;
}

static jm_status encode_literal(struct ids *to, const jm_tokenizer *t, const jm_prompt_kind *k,
                                const char *code, const char *source, size_t n, jm_err *err)
{
    jm_status st = append_side(to, t, k->before, code, err);

    if (st == JM_OK)
        st = append_text(to, t, source, n, false, err);
    if (st == JM_OK)
        st = append_side(to, t, k->after, code, err);
    return st;
}

static jm_status encode_hymt(struct ids *to, const jm_tokenizer *t, const jm_prompt_kind *k,
                             bool chinese, const struct jm_language *lang, const char *source,
                             size_t n, jm_err *err)
{
    char *ask = chinese ? jm_asprintf("将以下文本翻译为%s，注意只需要输出翻译后的结果，"
                                      "不要额外解释：\n\n",
                                      lang->chinese)
                        : jm_asprintf("Translate the following segment into %s, without additional "
                                      "explanation.\n\n",
                                      lang->english);
    size_t n_ask = ask ? strlen(ask) : 0, total;
    char *text = NULL;
    jm_status st = JM_OK;

    if (ask && jm_add_size(n_ask, n, &total))
        text = realloc(ask, total + (total == 0));
    if (!text) {
        free(ask);
        return jm_fail(err, JM_ENOMEM, "prompt: out of memory for %zu bytes", n);
    }
    if (n > 0)
        memcpy(text + n_ask, source, n);
    if (k->has_bos)
        st = append_ids(to, &k->bos, 1, err);
    if (st == JM_OK)
        st = append_ids(to, &k->user, 1, err);
    if (st == JM_OK)
        st = append_text(to, t, text, total, false, err);
    if (st == JM_OK)
        st = append_ids(to, &k->assistant, 1, err);
    free(text);
    return st;
}

jm_status jm_prompt_encode(const jm_tokenizer *t, const jm_prompt_kind *k,
                           const struct jm_language *to, const struct jm_language *from,
                           const char *source, size_t n, uint32_t **ids, size_t *n_ids, jm_err *err)
{
    struct ids out = { 0 };
    bool chinese = to->is_chinese || (from && from->is_chinese);
    jm_status st;

    *ids = NULL;
    *n_ids = 0;
    if (!jm_prompt_can(t, k, to))
        return jm_fail(err, JM_EUNSUPPORTED, "the model does not translate into %s (%s)", to->code,
                       to->english);
    st = k->literal ? encode_literal(&out, t, k, to->code, source, n, err)
                    : encode_hymt(&out, t, k, chinese, to, source, n, err);
    if (st != JM_OK) {
        free(out.p);
        return st;
    }
    *ids = out.p;
    *n_ids = out.n;
    return JM_OK;
}
