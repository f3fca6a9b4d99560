/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of a window as tokens. The data set comes round many times in a long window and a sample
 * is answered alike each time, so equal answers to one sample are kept once: memory grows with the
 * data set and not with the time. */
#ifndef JM_WORKLOADS_TRANSLATE_ANSWERS_H
#define JM_WORKLOADS_TRANSLATE_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* One answer; its tokens lie in a row, which may be shared. */
struct jm_answer {
    uint32_t index; /* of its sample */
    uint32_t row;   /* UINT32_MAX: none yet */
    uint32_t n;     /* tokens so far */
    bool pending;
};

struct jm_answers {
    uint32_t max_ids, n_samples, max_new;
    struct jm_answer *answer; /* [max_ids] */
    uint32_t *first;          /* [n_samples] the id whose answer is kept, UINT32_MAX: none */
    uint32_t *tokens;         /* [rows, max_new] */
    uint32_t *spare;          /* [rows] rows given back, n_spare of them */
    uint32_t rows, used, n_spare;
};

/**
 * max_ids    answers at most, 1 or more
 * n_samples  of the data set
 * max_new    tokens of an answer at most; more are dropped
 * active     answers that are being written at a time; more rows are made on demand
 *
 * Takes and touches the memory that equal answers need. JM_ENOMEM; *a is then empty.
 */
jm_status jm_answers_init(struct jm_answers *a, uint32_t max_ids, uint32_t n_samples,
                          uint32_t max_new, uint32_t active, jm_err *err);
void jm_answers_free(struct jm_answers *a); /* takes one set to zero */

/* id below max_ids, index below n_samples. */
void jm_answers_start(struct jm_answers *a, uint32_t id, uint32_t index);

/* False: no memory for one more row; the token is lost. */
bool jm_answers_push(struct jm_answers *a, uint32_t id, uint32_t token);

/* The answer is whole: where it is the one kept of its sample, its row becomes free. */
void jm_answers_finish(struct jm_answers *a, uint32_t id);

/* The tokens of an answer, [*n]; NULL when there are none. */
const uint32_t *jm_answers_tokens(const struct jm_answers *a, uint32_t id, uint32_t *n);

#endif
