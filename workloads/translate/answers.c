/* SPDX-License-Identifier: Apache-2.0 */
/* See answers.h. */
#include "workloads/translate/answers.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

static const uint32_t none = UINT32_MAX;

/* Room for so many rows, what is there kept. */
static bool resize(struct jm_answers *a, uint32_t rows)
{
    size_t n, bytes;

    if (!jm_mul_size(rows, a->max_new, &n) || !jm_mul_size(n, sizeof *a->tokens, &bytes))
        return false;
    uint32_t *tokens = realloc(a->tokens, bytes);
    a->tokens = tokens ? tokens : a->tokens;
    uint32_t *spare = realloc(a->spare, rows * sizeof *spare);
    a->spare = spare ? spare : a->spare;
    if (!tokens || !spare)
        return false;
    /* Touched now: no page faults while measuring. */
    memset(a->tokens + (size_t)a->rows * a->max_new, 0,
           bytes - (size_t)a->rows * a->max_new * sizeof *a->tokens);
    memset(a->spare + a->rows, 0, (rows - a->rows) * sizeof *spare);
    a->rows = rows;
    return true;
}

jm_status jm_answers_init(struct jm_answers *a, uint32_t max_ids, uint32_t n_samples,
                          uint32_t max_new, uint32_t active, jm_err *err)
{
    size_t rows;

    *a = (struct jm_answers){ .max_ids = max_ids, .n_samples = n_samples, .max_new = max_new };
    a->answer = calloc(max_ids, sizeof *a->answer);
    a->first = malloc(n_samples * sizeof *a->first);
    bool fits = a->answer && a->first && jm_add_size(n_samples, active, &rows);
    if (fits) {
        memset(a->answer, 0, max_ids * sizeof *a->answer);
        memset(a->first, 0xff, n_samples * sizeof *a->first);
        fits = resize(a, rows < max_ids ? (uint32_t)rows : max_ids);
    }
    if (fits)
        return JM_OK;
    jm_answers_free(a);
    return jm_fail(err, JM_ENOMEM, "translate: out of memory for %u answers", max_ids);
}

void jm_answers_free(struct jm_answers *a)
{
    free(a->answer);
    free(a->first);
    free(a->tokens);
    free(a->spare);
    *a = (struct jm_answers){ 0 };
}

void jm_answers_start(struct jm_answers *a, uint32_t id, uint32_t index)
{
    a->answer[id] = (struct jm_answer){ .index = index, .row = none, .pending = true };
}

static bool take_row(struct jm_answers *a, uint32_t *row)
{
    if (a->n_spare > 0) {
        *row = a->spare[--a->n_spare];
        return true;
    }
    if (a->used == a->rows) {
        uint32_t rows = a->rows < a->max_ids / 2 ? a->rows * 2 : a->max_ids;
        if (rows == a->rows || !resize(a, rows))
            return false;
    }
    *row = a->used++;
    return true;
}

bool jm_answers_push(struct jm_answers *a, uint32_t id, uint32_t token)
{
    struct jm_answer *w = &a->answer[id];

    if (w->row == none && !take_row(a, &w->row))
        return false;
    if (w->n < a->max_new)
        a->tokens[(size_t)w->row * a->max_new + w->n++] = token;
    return true;
}

void jm_answers_finish(struct jm_answers *a, uint32_t id)
{
    struct jm_answer *w = &a->answer[id];
    uint32_t kept = a->first[w->index];

    w->pending = false;
    if (kept == none || kept == id) {
        a->first[w->index] = id;
        return;
    }
    const struct jm_answer *k = &a->answer[kept];
    if (w->n == 0 || w->n != k->n ||
        memcmp(a->tokens + (size_t)w->row * a->max_new, a->tokens + (size_t)k->row * a->max_new,
               w->n * sizeof *a->tokens) != 0)
        return;
    a->spare[a->n_spare++] = w->row;
    w->row = k->row;
}

const uint32_t *jm_answers_tokens(const struct jm_answers *a, uint32_t id, uint32_t *n)
{
    *n = a->answer[id].n;
    return *n ? a->tokens + (size_t)a->answer[id].row * a->max_new : NULL;
}
