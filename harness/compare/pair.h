/* SPDX-License-Identifier: Apache-2.0 */
/* Which runs may be compared: those alike in what ran, where and how. */
#ifndef JM_HARNESS_COMPARE_PAIR_H
#define JM_HARNESS_COMPARE_PAIR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "harness/record/columns.h"

enum { JM_PAIR_MAX_KEYS = 32, JM_PAIR_TEXT = 512 };

struct jm_runs {
    const struct jm_record **row; /* [n] in file order */
    size_t n;
};

/* One setting with its runs on both sides; a side may have none. Alternating: a.row[i] and b.row[i]
 * ran one after the other. */
struct jm_pair {
    struct jm_runs a, b;
    bool alternating;
};

struct jm_pairing {
    struct jm_pair *pair; /* [n] in order of first appearance */
    size_t n;
    const struct jm_column *key[JM_PAIR_MAX_KEYS]; /* alike within a pair */
    size_t n_keys;
    const struct jm_record **rows; /* storage */
};

/**
 * Pairs two sets of runs by the fields of what (workload, model, data, languages), where
 * (processor, backend, device, instruction set, threads) and how (scenario, batch), but for those
 * named in across (comma separated; NULL: none). Keeps pointers to the records; end with
 * jm_pairing_free. JM_EUSAGE: across names a field that is not among these. JM_ENOMEM.
 */
jm_status jm_pair_runs(const struct jm_runs *a, const struct jm_runs *b, const char *across,
                       struct jm_pairing *out, jm_err *err);

/* Pairs the two sides of runs that alternated, by session and number; both sides in order. Runs
 * whose partner is missing become pairs with one empty side. Runs that did not alternate are left
 * out; JM_EINPUT when none is left, or a session has a number twice. */
jm_status jm_pair_alternating(const struct jm_runs *all, struct jm_pairing *out, jm_err *err);

void jm_pairing_free(struct jm_pairing *p);

/* "workload model format scenario …": the fields of p's runs that tell it from the other pairs. */
void jm_pair_title(const struct jm_pairing *all, const struct jm_pair *p, char out[JM_PAIR_TEXT]);

/* The fields in which the sides of p differ though they may, "commit 1a -> 2b; suite x -> y";
 * "" when in none. */
void jm_pair_differences(const struct jm_pair *p, char out[JM_PAIR_TEXT]);

/* Why p has one side only: true: the fields in which the nearest run of the other side differs;
 * false: a sentence, for there is none to compare with. */
bool jm_pair_nearest(const struct jm_pairing *all, const struct jm_pair *p, char out[JM_PAIR_TEXT]);

#endif
