/* SPDX-License-Identifier: Apache-2.0 */
/* What the quality metrics share: UTF-8 to code points, words to numbers, matching n-grams. */
#ifndef JM_WORKLOADS_TRANSLATE_TEXT_H
#define JM_WORKLOADS_TRANSLATE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* A growing list of numbers: code points or word ids. Zero-initialise; free with jm_ids_free. */
typedef struct jm_ids {
    uint32_t *v; /* [n] */
    size_t n, room;
} jm_ids;

bool jm_ids_push(jm_ids *ids, uint32_t value); /* false: out of memory */
void jm_ids_free(jm_ids *ids);

/**
 * Reads one code point of s, with `left` bytes remaining. Returns its length in bytes, or 0 where
 * the bytes are not UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF).
 */
size_t jm_utf8_next(const char *s, size_t left, uint32_t *code);

/* Appends the code points of a terminated string. JM_EINPUT: not UTF-8; JM_ENOMEM. */
jm_status jm_text_decode(const char *s, jm_ids *out, jm_err *err);

/* White space as Python's str.isspace and str.split see it (Unicode 15). */
bool jm_text_space(uint32_t code);

/* A word: code points [start, start + len) of some list. */
typedef struct jm_word {
    size_t start, len;
} jm_word;

typedef struct jm_words {
    jm_word *v; /* [n] */
    size_t n, room;
} jm_words;

bool jm_words_push(jm_words *w, size_t start, size_t len); /* false: out of memory */
void jm_words_free(jm_words *w);
/* Splits at white space, as Python's str.split() does. false: out of memory. */
bool jm_words_split(const jm_ids *text, jm_words *out);

/* Scratch of the hash tables below, reused from pair to pair. Zero-initialise. */
typedef struct jm_ngram_table {
    size_t *start;   /* [room] 1 + where the first such n-gram starts; 0: free cell */
    uint32_t *count; /* [room] how many are left to match */
    size_t room;     /* cells in use now, a power of two */
    size_t cap;      /* cells allocated */
} jm_ngram_table;

void jm_ngram_table_free(jm_ngram_table *t);

/**
 * Numbers words so that equal words, in either text, get the same number.
 *
 * a, b            words of text_a and text_b
 * ids_a, ids_b    appended: one number a word
 * JM_ENOMEM     also when there are 2^32 words or more
 */
jm_status jm_words_number(const jm_ids *text_a, const jm_words *a, const jm_ids *text_b,
                          const jm_words *b, jm_ngram_table *scratch, jm_ids *ids_a, jm_ids *ids_b,
                          jm_err *err);

/* How often n-grams agree: for one order, the counts in hypothesis and reference and the clipped
 * number of matches. Summed over segments they make the corpus scores. */
struct jm_ngram_stats {
    uint64_t hyp, ref, match;
};

/* Counts one order (>= 1) of one pair; linear in its length. Overwrites *out. JM_ENOMEM. */
jm_status jm_ngram_match(const jm_ids *hyp, const jm_ids *ref, size_t order,
                         jm_ngram_table *scratch, struct jm_ngram_stats *out, jm_err *err);

#endif
