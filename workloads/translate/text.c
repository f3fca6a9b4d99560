/* SPDX-License-Identifier: Apache-2.0 */
/* Code points, words and n-gram matching for BLEU and chrF. One open-addressing hash table serves
 * both the numbering of words and the matching of n-grams, so cost is linear in the text. */
#include "workloads/translate/text.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

bool jm_ids_push(jm_ids *ids, uint32_t value)
{
    if (ids->n == ids->room) {
        size_t room = ids->room ? ids->room : 32, bytes;
        if (!jm_mul_size(room, 2, &room) || !jm_mul_size(room, sizeof *ids->v, &bytes))
            return false;
        uint32_t *v = realloc(ids->v, bytes);
        if (!v)
            return false;
        ids->v = v;
        ids->room = room;
    }
    ids->v[ids->n++] = value;
    return true;
}

void jm_ids_free(jm_ids *ids)
{
    free(ids->v);
    *ids = (jm_ids){ .v = NULL };
}

size_t jm_utf8_next(const char *s, size_t left, uint32_t *code)
{
    static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
    const unsigned char *p = (const unsigned char *)s;
    size_t len;
    uint32_t c;

    if (left == 0)
        return 0;
    if (p[0] < 0x80) {
        *code = p[0];
        return 1;
    }
    if ((p[0] & 0xe0u) == 0xc0u) {
        len = 2;
        c = p[0] & 0x1fu;
    } else if ((p[0] & 0xf0u) == 0xe0u) {
        len = 3;
        c = p[0] & 0x0fu;
    } else if ((p[0] & 0xf8u) == 0xf0u) {
        len = 4;
        c = p[0] & 0x07u;
    } else {
        return 0;
    }
    if (left < len)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0u) != 0x80u)
            return 0;
        c = c << 6 | (p[i] & 0x3fu);
    }
    if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    *code = c;
    return len;
}

jm_status jm_text_decode(const char *s, jm_ids *out, jm_err *err)
{
    size_t bytes = strlen(s), at = 0;

    while (at < bytes) {
        uint32_t c;
        size_t len = jm_utf8_next(s + at, bytes - at, &c);
        if (len == 0)
            return jm_fail(err, JM_EINPUT, "text to be scored is not UTF-8 at byte %zu", at);
        if (!jm_ids_push(out, c))
            return jm_fail(err, JM_ENOMEM, "scoring a text of %zu bytes: out of memory", bytes);
        at += len;
    }
    return JM_OK;
}

bool jm_text_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

bool jm_words_push(jm_words *w, size_t start, size_t len)
{
    if (w->n == w->room) {
        size_t room = w->room ? w->room : 16, bytes;
        if (!jm_mul_size(room, 2, &room) || !jm_mul_size(room, sizeof *w->v, &bytes))
            return false;
        jm_word *v = realloc(w->v, bytes);
        if (!v)
            return false;
        w->v = v;
        w->room = room;
    }
    w->v[w->n++] = (jm_word){ .start = start, .len = len };
    return true;
}

void jm_words_free(jm_words *w)
{
    free(w->v);
    *w = (jm_words){ .v = NULL };
}

bool jm_words_split(const jm_ids *text, jm_words *out)
{
    size_t at = 0;

    for (;;) {
        while (at < text->n && jm_text_space(text->v[at]))
            at++;
        if (at == text->n)
            return true;
        size_t start = at;
        while (at < text->n && !jm_text_space(text->v[at]))
            at++;
        if (!jm_words_push(out, start, at - start))
            return false;
    }
}

void jm_ngram_table_free(jm_ngram_table *t)
{
    free(t->start);
    free(t->count);
    *t = (jm_ngram_table){ .start = NULL };
}

/* Empties the table and makes room for n entries at a load of at most one half. */
static bool table_reset(jm_ngram_table *t, size_t n)
{
    size_t need, room = 64, bytes;

    if (!jm_mul_size(n, 2, &need) || need > SIZE_MAX / 4)
        return false;
    while (room < need)
        room *= 2;
    if (room > t->cap) {
        jm_ngram_table_free(t);
        if (!jm_mul_size(room, sizeof *t->start, &bytes))
            return false;
        t->start = malloc(bytes);
        t->count = malloc(room * sizeof *t->count);
        if (!t->start || !t->count) {
            jm_ngram_table_free(t);
            return false;
        }
        t->cap = room;
    }
    t->room = room;
    memset(t->start, 0, t->room * sizeof *t->start);
    return true;
}

/* SplitMix64's finaliser, once a number. */
static uint64_t hash_ids(const uint32_t *v, size_t n)
{
    uint64_t h = n;
    for (size_t i = 0; i < n; i++) {
        h = (h ^ v[i]) * UINT64_C(0xbf58476d1ce4e5b9);
        h ^= h >> 31;
    }
    h *= UINT64_C(0x94d049bb133111eb);
    return h ^ (h >> 29);
}

/* Numbers the words of one text, looking them up among those already in the table. A cell's start
 * is 1 + an index into all[], its count the word's number. */
struct word_ref {
    const uint32_t *v;
    size_t len;
};

static bool number_words(const jm_ids *text, const jm_words *w, struct word_ref *all, size_t *used,
                         jm_ngram_table *t, jm_ids *ids)
{
    for (size_t i = 0; i < w->n; i++) {
        const uint32_t *v = text->v + w->v[i].start;
        size_t len = w->v[i].len, cell = (size_t)hash_ids(v, len) & (t->room - 1);
        while (t->start[cell]) {
            const struct word_ref *r = &all[t->start[cell] - 1];
            if (r->len == len && memcmp(r->v, v, len * sizeof *v) == 0)
                break;
            cell = (cell + 1) & (t->room - 1);
        }
        if (!t->start[cell]) {
            all[*used] = (struct word_ref){ .v = v, .len = len };
            t->count[cell] = (uint32_t)*used;
            t->start[cell] = ++*used;
        }
        if (!jm_ids_push(ids, t->count[cell]))
            return false;
    }
    return true;
}

jm_status jm_words_number(const jm_ids *text_a, const jm_words *a, const jm_ids *text_b,
                          const jm_words *b, jm_ngram_table *scratch, jm_ids *ids_a, jm_ids *ids_b,
                          jm_err *err)
{
    size_t n, bytes, used = 0;
    struct word_ref *all = NULL;
    bool ok = jm_add_size(a->n, b->n, &n) && n < UINT32_MAX &&
              jm_mul_size(n + 1, sizeof *all, &bytes) && table_reset(scratch, n);

    if (ok)
        all = malloc(bytes);
    ok = ok && all && number_words(text_a, a, all, &used, scratch, ids_a) &&
         number_words(text_b, b, all, &used, scratch, ids_b);
    free(all);
    if (!ok)
        return jm_fail(err, JM_ENOMEM, "numbering words to be scored: out of memory");
    return JM_OK;
}

/* The cell of the n-gram v, or the free cell where it belongs. */
static size_t find_cell(const jm_ngram_table *t, const uint32_t *base, const uint32_t *v, size_t n)
{
    size_t cell = (size_t)hash_ids(v, n) & (t->room - 1);

    while (t->start[cell] && memcmp(base + (t->start[cell] - 1), v, n * sizeof *v) != 0)
        cell = (cell + 1) & (t->room - 1);
    return cell;
}

jm_status jm_ngram_match(const jm_ids *hyp, const jm_ids *ref, size_t order,
                         jm_ngram_table *scratch, struct jm_ngram_stats *out, jm_err *err)
{
    *out = (struct jm_ngram_stats){ .hyp = hyp->n >= order ? hyp->n - order + 1 : 0,
                                    .ref = ref->n >= order ? ref->n - order + 1 : 0 };
    if (out->hyp == 0 || out->ref == 0)
        return JM_OK;
    if (ref->n >= UINT32_MAX || !table_reset(scratch, ref->n))
        return jm_fail(err, JM_ENOMEM, "counting n-grams of %zu items: out of memory", ref->n);

    for (size_t i = 0; i < out->ref; i++) {
        size_t cell = find_cell(scratch, ref->v, ref->v + i, order);
        if (!scratch->start[cell]) {
            scratch->start[cell] = i + 1;
            scratch->count[cell] = 0;
        }
        scratch->count[cell]++;
    }
    /* Taking one away at each match clips the number of matches to the count in the reference. */
    for (size_t i = 0; i < out->hyp; i++) {
        size_t cell = find_cell(scratch, ref->v, hyp->v + i, order);
        if (scratch->start[cell] && scratch->count[cell] > 0) {
            scratch->count[cell]--;
            out->match++;
        }
    }
    return JM_OK;
}
