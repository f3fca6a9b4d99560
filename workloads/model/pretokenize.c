/* SPDX-License-Identifier: Apache-2.0 */
/* The pre-tokenizers, as tables of regular expressions for PCRE2. Each expression sees only what
 * the ones before it left uncut, as a text of its own; what none matches is a piece as it is.
 *
 * White space is \p{White_Space} rather than \s: PCRE2's \s also takes U+180E, which Mongolian
 * text uses and the tokenizers these expressions come from do not call a space. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "workloads/model/pretokenize.h"

#include <pcre2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define S "\\p{White_Space}"
#define NOT_S "\\P{White_Space}"

enum { MAX_STAGES = 3 };

struct row {
    const char *name;
    const char *stages[MAX_STAGES]; /* NULL: no more */
};

static const struct row rows[] = {
    { .name = "hunyuan-dense",
      .stages = { "\\p{N}{1,3}", "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+",
                  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"
                  "|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
                  "| ?[\\p{P}\\p{S}]+[\\r\\n]*"
                  "|" S "*[\\r\\n]+|" S "+(?!" NOT_S ")|" S "+" } },
    { .name = "qwen2",
      .stages = { "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
                  "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}"
                  "| ?[^" S "\\p{L}\\p{N}]+[\\r\\n]*"
                  "|" S "*[\\r\\n]+|" S "+(?!" NOT_S ")|" S "+" } },
    { .name = "gpt2",
      .stages = { "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+"
                  "| ?[^" S "\\p{L}\\p{N}]+|" S "+(?!" NOT_S ")|" S "+" } },
};

struct jm_pretok {
    size_t n_stages;
    pcre2_code *stages[MAX_STAGES];
};

struct split {
    const jm_pretok *p;
    pcre2_match_data *match;
    jm_pretok_emit *emit;
    void *ctx;
};

void jm_pretok_close(jm_pretok *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n_stages; i++)
        pcre2_code_free(p->stages[i]);
    free(p);
}

static const struct row *find_row(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strlen(rows[i].name) == n && memcmp(rows[i].name, name, n) == 0)
            return &rows[i];
    /* Some converters write it with a hyphen. */
    return n == 5 && memcmp(name, "gpt-2", 5) == 0 ? find_row("gpt2", 4) : NULL;
}

jm_status jm_pretok_open(const char *name, size_t n, jm_pretok **out, jm_err *err)
{
    const struct row *row = find_row(name, n);
    jm_pretok *p;

    *out = NULL;
    if (!row)
        return jm_fail(err, JM_EUNSUPPORTED,
                       "pre-tokenizer \"%.*s\" is not supported; use a model with hunyuan-dense, "
                       "qwen2 or gpt2",
                       (int)(n < 64 ? n : 64), name);
    p = calloc(1, sizeof *p);
    if (!p)
        return jm_fail(err, JM_ENOMEM, "pre-tokenizer %s: out of memory", row->name);
    while (p->n_stages < MAX_STAGES && row->stages[p->n_stages]) {
        int code;
        PCRE2_SIZE at;
        pcre2_code *re = pcre2_compile((PCRE2_SPTR)row->stages[p->n_stages], PCRE2_ZERO_TERMINATED,
                                       PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);
        if (!re) {
            jm_fail(err, JM_EUNSUPPORTED,
                    "pre-tokenizer %s: PCRE2 refuses expression %zu at %zu (error %d); version "
                    "10.40 or later is needed",
                    row->name, p->n_stages + 1, (size_t)at, code);
            jm_pretok_close(p);
            return JM_EUNSUPPORTED;
        }
        /* Without a JIT the interpreter runs the same expressions, only slower. */
        (void)pcre2_jit_compile(re, PCRE2_JIT_COMPLETE);
        p->stages[p->n_stages++] = re;
    }
    *out = p;
    return JM_OK;
}

/* The next match at or after at: JM_OK with *found, or the error. */
static jm_status next_match(const struct split *s, size_t stage, const char *text, size_t n,
                            size_t at, size_t *start, size_t *end, bool *found, jm_err *err)
{
    const pcre2_code *re = s->p->stages[stage];
    int rc = pcre2_match(re, (PCRE2_SPTR)text, n, at, PCRE2_NO_UTF_CHECK, s->match, NULL);

    /* The JIT's stack is small and fixed; the interpreter takes its stack from the heap. */
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(re, (PCRE2_SPTR)text, n, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, s->match,
                         NULL);
    *found = rc >= 0;
    if (rc == PCRE2_ERROR_NOMATCH)
        return JM_OK;
    if (rc < 0)
        return jm_fail(err, rc == PCRE2_ERROR_NOMEMORY ? JM_ENOMEM : JM_EINPUT,
                       "pre-tokenizer: PCRE2 error %d in a text of %zu bytes; shorten the text", rc,
                       n);
    *start = pcre2_get_ovector_pointer(s->match)[0];
    *end = pcre2_get_ovector_pointer(s->match)[1];
    if (*end <= *start || *start < at || *end > n)
        return jm_fail(err, JM_EINPUT, "pre-tokenizer: empty match at byte %zu", at);
    return JM_OK;
}

/* Recursion goes no deeper than MAX_STAGES. */
static jm_status split_stage(const struct split *s, size_t stage, const char *text, size_t n,
                             jm_err *err)
{
    size_t at = 0;

    if (stage == s->p->n_stages)
        return s->emit(s->ctx, text, n, err);
    while (at < n) {
        size_t start = n, end = n;
        bool found;
        jm_status st = next_match(s, stage, text, n, at, &start, &end, &found, err);

        if (st == JM_OK && start > at)
            st = split_stage(s, stage + 1, text + at, start - at, err);
        if (st == JM_OK && found)
            st = s->emit(s->ctx, text + start, end - start, err);
        if (st != JM_OK)
            return st;
        at = end;
    }
    return JM_OK;
}

jm_status jm_pretok_split(const jm_pretok *p, const char *text, size_t n, jm_pretok_emit *emit,
                          void *ctx, jm_err *err)
{
    struct split s = { .p = p, .emit = emit, .ctx = ctx };
    jm_status st;

    if (n == 0)
        return JM_OK;
    s.match = pcre2_match_data_create(1, NULL);
    if (!s.match)
        return jm_fail(err, JM_ENOMEM, "pre-tokenizer: out of memory");
    st = split_stage(&s, 0, text, n, err);
    pcre2_match_data_free(s.match);
    return st;
}
