/* SPDX-License-Identifier: Apache-2.0 */
/* Byte-pair merges over token ids: which neighbours become one token, and the order of doing so. */
#ifndef JM_WORKLOADS_MODEL_BPE_H
#define JM_WORKLOADS_MODEL_BPE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct jm_bpe_merge {
    uint64_t pair; /* left id << 32 | right id */
    uint32_t rank; /* low merges first; JM_BPE_NONE: the slot is free */
    uint32_t id;   /* the token that both become */
};

#define JM_BPE_NONE UINT32_MAX

/* Open addressing, at most half full. Read-only once built. */
typedef struct jm_bpe {
    uint32_t byte_id[256]; /* the caller fills it: the token of each byte */
    struct jm_bpe_merge *slots;
    size_t mask; /* slots - 1 */
} jm_bpe;

/* One call's memory: zero it, encode any number of pieces, free it. */
struct jm_bpe_symbol {
    uint32_t id;
    uint32_t prev, next; /* positions, JM_BPE_NONE at the ends */
    uint32_t rank;       /* of merging with next; JM_BPE_NONE: no such merge */
    uint32_t merged;     /* the token of that merge */
};

typedef struct jm_bpe_work {
    struct jm_bpe_symbol *symbols;
    uint64_t *heap; /* rank << 32 | position */
    size_t cap;     /* piece bytes there is room for */
    uint32_t *ids;  /* the result so far; the caller may take it */
    size_t n_ids, cap_ids;
} jm_bpe_work;

/* Room for n merges. JM_ENOMEM. */
jm_status jm_bpe_init(jm_bpe *b, size_t n, jm_err *err);
void jm_bpe_free(jm_bpe *b);
/* At most n of init. The first merge of a pair counts. */
void jm_bpe_add(jm_bpe *b, uint32_t left, uint32_t right, uint32_t rank, uint32_t id);

/* Appends the ids of one piece, in O(n log n). JM_ENOMEM. */
jm_status jm_bpe_encode(const jm_bpe *b, const uint8_t *piece, size_t n, jm_bpe_work *w,
                        jm_err *err);
/* Appends one id. JM_ENOMEM. */
jm_status jm_bpe_push(jm_bpe_work *w, uint32_t id, jm_err *err);
void jm_bpe_work_free(jm_bpe_work *w);

#endif
