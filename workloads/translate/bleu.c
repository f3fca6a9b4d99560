/* SPDX-License-Identifier: Apache-2.0 */
/* BLEU: tokenise, count matching n-grams of one to four words, geometric mean of the precisions
 * times a penalty for short output. */
#include "workloads/translate/bleu.h"

#include <math.h>
#include <string.h>

#include "workloads/translate/text.h"

/* What is reused from text to text. */
struct side {
    jm_ids text, swap; /* code points; a rule reads one and writes the other */
    jm_words words;
    jm_ids ids;
};

struct counts {
    struct jm_ngram_stats order[JM_BLEU_ORDER];
    uint64_t hyp_words, ref_words;
};

static void side_free(struct side *s)
{
    jm_ids_free(&s->text);
    jm_ids_free(&s->swap);
    jm_words_free(&s->words);
    jm_ids_free(&s->ids);
}

static bool is_digit(uint32_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_stop(uint32_t c)
{
    return c == '.' || c == ',';
}

/* Marks that 13a always sets apart: ASCII marks but apostrophe, comma, hyphen and full stop. The
 * blank is among them, which does no harm. */
static bool is_mark(uint32_t c)
{
    return (c >= ' ' && c <= '&') || (c >= '(' && c <= '+') || c == '/' || (c >= ':' && c <= '@') ||
           (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

/* What the zh tokeniser takes for a Chinese character. The range 2001..2A6D is no slip here: it is
 * what sacrebleu's two ranges meant for the supplementary planes amount to (their ends are written
 * as five-digit \u escapes, that is, as two characters each), and its scores depend on it. */
static bool is_chinese(uint32_t c)
{
    static const uint32_t range[][2] = {
        { 0x2001, 0x2a6d }, { 0x2e80, 0x2eff }, { 0x2f00, 0x2fdf }, { 0x2ff0, 0x303f },
        { 0x3100, 0x312f }, { 0x31a0, 0x31bf }, { 0x31c0, 0x31ef }, { 0x3200, 0x33ff },
        { 0x3400, 0x4db5 }, { 0x4e00, 0x9fbb }, { 0xf900, 0xfa2d }, { 0xfa30, 0xfa6a },
        { 0xfa70, 0xfad9 }, { 0xfe10, 0xfe1f }, { 0xfe30, 0xfe4f }, { 0xff00, 0xffef },
    };
    for (size_t i = 0; i < sizeof range / sizeof range[0]; i++)
        if (c >= range[i][0] && c <= range[i][1])
            return true;
    return false;
}

static bool push_apart(jm_ids *out, uint32_t c)
{
    return jm_ids_push(out, ' ') && jm_ids_push(out, c) && jm_ids_push(out, ' ');
}

static void swap_text(struct side *s)
{
    jm_ids t = s->text;
    s->text = s->swap;
    s->swap = t;
}

static bool has_word(const jm_ids *t, size_t at, const char *word)
{
    size_t len = strlen(word);

    if (t->n - at < len)
        return false;
    for (size_t i = 0; i < len; i++)
        if (t->v[at + i] != (unsigned char)word[i])
            return false;
    return true;
}

/* Replaces each occurrence of `from`, left to right. */
static bool replace(struct side *s, const char *from, const char *to)
{
    s->swap.n = 0;
    for (size_t i = 0; i < s->text.n;) {
        if (!has_word(&s->text, i, from)) {
            if (!jm_ids_push(&s->swap, s->text.v[i++]))
                return false;
            continue;
        }
        for (const char *p = to; *p; p++)
            if (!jm_ids_push(&s->swap, (unsigned char)*p))
                return false;
        i += strlen(from);
    }
    swap_text(s);
    return true;
}

/* 13a begins with the mteval rules for markup, one after the other as each sees the last's work;
 * then a blank goes around the whole. */
static bool clean_13a(struct side *s)
{
    if (!replace(s, "<skipped>", "") || !replace(s, "-\n", "") || !replace(s, "\n", " ") ||
        !replace(s, "&quot;", "\"") || !replace(s, "&amp;", "&") || !replace(s, "&lt;", "<") ||
        !replace(s, "&gt;", ">"))
        return false;
    s->swap.n = 0;
    if (!jm_ids_push(&s->swap, ' '))
        return false;
    for (size_t i = 0; i < s->text.n; i++)
        if (!jm_ids_push(&s->swap, s->text.v[i]))
            return false;
    if (!jm_ids_push(&s->swap, ' '))
        return false;
    swap_text(s);
    return true;
}

static bool split_chars(struct side *s, bool (*apart)(uint32_t))
{
    s->swap.n = 0;
    for (size_t i = 0; i < s->text.n; i++) {
        uint32_t c = s->text.v[i];
        if (!(apart(c) ? push_apart(&s->swap, c) : jm_ids_push(&s->swap, c)))
            return false;
    }
    swap_text(s);
    return true;
}

/* The three rules on pairs. A pair that matches is used up: its second half starts no other. */
enum pair_rule {
    STOP_AFTER_OTHER,  /* a stop after anything but a digit stands alone */
    STOP_BEFORE_OTHER, /* a stop before anything but a digit stands alone */
    DASH_AFTER_DIGIT,
};

static bool pair_matches(enum pair_rule rule, uint32_t a, uint32_t b)
{
    switch (rule) {
    case STOP_AFTER_OTHER:
        return !is_digit(a) && is_stop(b);
    case STOP_BEFORE_OTHER:
        return is_stop(a) && !is_digit(b);
    case DASH_AFTER_DIGIT:
        return is_digit(a) && b == '-';
    }
    return false;
}

static bool split_pairs(struct side *s, enum pair_rule rule)
{
    const jm_ids *t = &s->text;
    jm_ids *out = &s->swap;

    out->n = 0;
    for (size_t i = 0; i < t->n;) {
        bool ok;
        if (i + 1 == t->n || !pair_matches(rule, t->v[i], t->v[i + 1])) {
            ok = jm_ids_push(out, t->v[i++]);
        } else {
            uint32_t a = t->v[i], b = t->v[i + 1];
            if (rule == STOP_BEFORE_OTHER)
                ok = push_apart(out, a) && jm_ids_push(out, b);
            else
                ok = jm_ids_push(out, a) && push_apart(out, b);
            i += 2;
        }
        if (!ok)
            return false;
    }
    swap_text(s);
    return true;
}

/* Drops white space at the end, and at the start too if both. */
static void strip(jm_ids *t, bool both)
{
    size_t at = 0;

    while (t->n > 0 && jm_text_space(t->v[t->n - 1]))
        t->n--;
    while (both && at < t->n && jm_text_space(t->v[at]))
        at++;
    if (at > 0)
        memmove(t->v, t->v + at, (t->n - at) * sizeof *t->v);
    t->n -= at;
}

static jm_status side_read(struct side *s, const char *utf8, bool zh, jm_err *err)
{
    s->text.n = s->swap.n = s->words.n = s->ids.n = 0;
    jm_status st = jm_text_decode(utf8, &s->text, err);
    if (st != JM_OK)
        return st;
    strip(&s->text, zh);
    bool ok = zh ? split_chars(s, is_chinese) : clean_13a(s);
    ok = ok && split_chars(s, is_mark) && split_pairs(s, STOP_AFTER_OTHER) &&
         split_pairs(s, STOP_BEFORE_OTHER) && split_pairs(s, DASH_AFTER_DIGIT) &&
         jm_words_split(&s->text, &s->words);
    return ok ? JM_OK : jm_fail(err, JM_ENOMEM, "BLEU: out of memory");
}

static jm_status pair_counts(struct side *h, struct side *r, jm_ngram_table *table,
                             struct counts *out, jm_err *err)
{
    jm_status st =
        jm_words_number(&h->text, &h->words, &r->text, &r->words, table, &h->ids, &r->ids, err);

    for (size_t i = 0; i < JM_BLEU_ORDER && st == JM_OK; i++)
        st = jm_ngram_match(&h->ids, &r->ids, i + 1, table, &out->order[i], err);
    out->hyp_words = h->ids.n;
    out->ref_words = r->ids.n;
    return st;
}

/* Geometric mean of precisions times the brevity penalty. An order without a match counts as half,
 * then a quarter, … of a match. effective: average over the orders that the output is long enough
 * for; otherwise a missing order makes the whole zero. */
static double score(const struct counts *c, bool effective)
{
    double log_sum = 0.0, halves = 1.0, penalty = 1.0;
    size_t orders = 0;

    if (c->order[0].match == 0)
        return 0.0;
    for (; orders < JM_BLEU_ORDER && c->order[orders].hyp > 0; orders++) {
        const struct jm_ngram_stats *s = &c->order[orders];
        double match = (double)s->match;
        if (s->match == 0) {
            halves *= 2.0;
            match = 1.0 / halves;
        }
        log_sum += log(100.0 * match / (double)s->hyp);
    }
    if (orders < JM_BLEU_ORDER && !effective)
        return 0.0;
    if (c->hyp_words < c->ref_words)
        penalty = exp(1.0 - (double)c->ref_words / (double)c->hyp_words);
    return penalty * exp(log_sum / (double)orders);
}

jm_status jm_bleu(const char *const *hyp, const char *const *ref, size_t n, bool zh, double *corpus,
                  double *sentence, jm_err *err)
{
    struct counts sum = { .hyp_words = 0 };
    struct side h = { .text = { .v = NULL } }, r = { .text = { .v = NULL } };
    jm_ngram_table table = { .start = NULL };
    jm_status st = JM_OK;

    if (n == 0)
        return jm_fail(err, JM_EUSAGE, "BLEU: there is nothing to score");
    for (size_t i = 0; i < n && st == JM_OK; i++) {
        struct counts one = { .hyp_words = 0 };
        st = side_read(&h, hyp[i], zh, err);
        if (st == JM_OK)
            st = side_read(&r, ref[i], zh, err);
        if (st == JM_OK)
            st = pair_counts(&h, &r, &table, &one, err);
        if (st == JM_OK && sentence)
            sentence[i] = score(&one, true);
        for (size_t j = 0; j < JM_BLEU_ORDER; j++) {
            sum.order[j].hyp += one.order[j].hyp;
            sum.order[j].match += one.order[j].match;
        }
        sum.hyp_words += one.hyp_words;
        sum.ref_words += one.ref_words;
    }
    if (st == JM_OK)
        *corpus = score(&sum, false);
    side_free(&h);
    side_free(&r);
    jm_ngram_table_free(&table);
    return st;
}
