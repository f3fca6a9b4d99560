/* SPDX-License-Identifier: Apache-2.0 */
/* chrF: precision and recall of character and word n-grams, averaged over orders, joined by an
 * F-score with beta = 2. */
#include "workloads/translate/chrf.h"

#include <stdbool.h>

#include "workloads/translate/text.h"

enum { MAX_ORDERS = JM_CHRF_CHAR_ORDER + JM_CHRF_WORD_ORDER_MAX };

/* One side of a pair, and the memory that is reused from pair to pair. */
struct side {
    jm_ids text;  /* all code points */
    jm_ids chars; /* without white space */
    jm_words words;
    jm_ids ids; /* of words */
};

static void side_free(struct side *s)
{
    jm_ids_free(&s->text);
    jm_ids_free(&s->chars);
    jm_words_free(&s->words);
    jm_ids_free(&s->ids);
}

/* Python's string.punctuation: the ASCII marks and symbols. */
static bool is_punct(uint32_t c)
{
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
}

/* Splits one mark off the end of each word, or else off its start. Words move up to make room, so
 * the parts are appended behind and the front is dropped afterwards. */
static bool split_marks(const jm_ids *text, jm_words *w)
{
    size_t n = w->n;

    for (size_t i = 0; i < n; i++) {
        jm_word x = w->v[i];
        bool ok;
        if (x.len > 1 && is_punct(text->v[x.start + x.len - 1]))
            ok = jm_words_push(w, x.start, x.len - 1) && jm_words_push(w, x.start + x.len - 1, 1);
        else if (x.len > 1 && is_punct(text->v[x.start]))
            ok = jm_words_push(w, x.start, 1) && jm_words_push(w, x.start + 1, x.len - 1);
        else
            ok = jm_words_push(w, x.start, x.len);
        if (!ok)
            return false;
    }
    for (size_t i = n; i < w->n; i++)
        w->v[i - n] = w->v[i];
    w->n -= n;
    return true;
}

static jm_status side_read(struct side *s, const char *utf8, bool words, jm_err *err)
{
    s->text.n = s->chars.n = s->words.n = s->ids.n = 0;
    jm_status st = jm_text_decode(utf8, &s->text, err);
    if (st != JM_OK)
        return st;
    for (size_t i = 0; i < s->text.n; i++)
        if (!jm_text_space(s->text.v[i]) && !jm_ids_push(&s->chars, s->text.v[i]))
            return jm_fail(err, JM_ENOMEM, "chrF: out of memory");
    if (words && !(jm_words_split(&s->text, &s->words) && split_marks(&s->text, &s->words)))
        return jm_fail(err, JM_ENOMEM, "chrF: out of memory");
    return JM_OK;
}

/* Counts of all orders: 6 of characters, then word_order of words. */
static jm_status pair_stats(struct side *h, struct side *r, unsigned word_order,
                            jm_ngram_table *table, struct jm_ngram_stats out[MAX_ORDERS],
                            jm_err *err)
{
    jm_status st = JM_OK;

    for (size_t i = 0; i < JM_CHRF_CHAR_ORDER && st == JM_OK; i++)
        st = jm_ngram_match(&h->chars, &r->chars, i + 1, table, &out[i], err);
    if (st == JM_OK && word_order > 0)
        st =
            jm_words_number(&h->text, &h->words, &r->text, &r->words, table, &h->ids, &r->ids, err);
    for (size_t i = 0; i < word_order && st == JM_OK; i++)
        st = jm_ngram_match(&h->ids, &r->ids, i + 1, table, &out[JM_CHRF_CHAR_ORDER + i], err);
    /* An order that the reference is too short for cannot be matched and does not count. */
    for (size_t i = 0; i < JM_CHRF_CHAR_ORDER + word_order && st == JM_OK; i++)
        if (out[i].ref == 0)
            out[i].hyp = 0;
    return st;
}

static double f_score(const struct jm_ngram_stats *s, size_t orders)
{
    const double factor = 4.0; /* beta * beta */
    double precision = 0.0, recall = 0.0;
    size_t effective = 0;

    for (size_t i = 0; i < orders; i++) {
        if (s[i].hyp == 0 || s[i].ref == 0)
            continue;
        precision += (double)s[i].match / (double)s[i].hyp;
        recall += (double)s[i].match / (double)s[i].ref;
        effective++;
    }
    if (effective == 0 || precision + recall <= 0.0)
        return 0.0;
    precision /= (double)effective;
    recall /= (double)effective;
    return 100.0 * (1.0 + factor) * precision * recall / (factor * precision + recall);
}

jm_status jm_chrf(const char *const *hyp, const char *const *ref, size_t n, unsigned word_order,
                  double *corpus, double *sentence, jm_err *err)
{
    size_t orders = JM_CHRF_CHAR_ORDER + word_order;
    struct jm_ngram_stats sum[MAX_ORDERS] = { { .hyp = 0 } };
    struct side h = { .text = { .v = NULL } }, r = { .text = { .v = NULL } };
    jm_ngram_table table = { .start = NULL };
    jm_status st = JM_OK;

    if (n == 0)
        return jm_fail(err, JM_EUSAGE, "chrF: there is nothing to score");
    if (word_order > JM_CHRF_WORD_ORDER_MAX)
        return jm_fail(err, JM_EUSAGE, "chrF: word order %u is above %d", word_order,
                       JM_CHRF_WORD_ORDER_MAX);
    for (size_t i = 0; i < n && st == JM_OK; i++) {
        struct jm_ngram_stats one[MAX_ORDERS] = { { .hyp = 0 } };
        st = side_read(&h, hyp[i], word_order > 0, err);
        if (st == JM_OK)
            st = side_read(&r, ref[i], word_order > 0, err);
        if (st == JM_OK)
            st = pair_stats(&h, &r, word_order, &table, one, err);
        if (st == JM_OK && sentence)
            sentence[i] = f_score(one, orders);
        for (size_t j = 0; j < orders; j++) {
            sum[j].hyp += one[j].hyp;
            sum[j].ref += one[j].ref;
            sum[j].match += one[j].match;
        }
    }
    if (st == JM_OK)
        *corpus = f_score(sum, orders);
    side_free(&h);
    side_free(&r);
    jm_ngram_table_free(&table);
    return st;
}
