/* SPDX-License-Identifier: Apache-2.0 */
/* Dealing a batch out: each thread gets whole sequences or runs, and takes them through the whole
 * network without meeting the others. */
#ifndef JM_BACKENDS_CPU_DEAL_H
#define JM_BACKENDS_CPU_DEAL_H

#include <stddef.h>

#include "backends/backend.h"

/* The batch in its new order, sequences of one thread together, and whose rows are whose. */
struct jm_deal {
    uint32_t members;
    struct jm_batch batch;          /* over the arrays below */
    bool moved;                     /* rows are not where the caller has them */
    uint32_t region, gather_region; /* rows from a member's first to that of the next one */
    uint32_t *at, *gathered_at;     /* [members] first row, and first gathered row, of each one */
    uint32_t *rows, *gathered;      /* [members] how many each one has */
    uint32_t *row_at;               /* [max_rows] where row r of the caller's batch went */
    uint32_t *gather_at;            /* [max_rows] where gathered row i went */
    uint32_t *token, *slot, *pos, *pos_h, *pos_w, *gather; /* [max_rows] */
    struct jm_dealt *seq;                                  /* [max_rows] */
    uint64_t *load;                                        /* [members] cost of its part */
    uint32_t *seen, stamp; /* [max_slots] last batch in which a slot came up */
    uint32_t *owner;       /* [max_slots] 1 + who had it last, whose cache holds its keys */
};

/* What a row costs, by enum jm_rows, and how few rows a thread must have for it to pay. */
struct jm_deal_terms {
    const uint64_t *row_cost;
    uint32_t least_rows;
};

/* Gathered rows that there must be room for: one member may have all that a batch may gather, and
 * those of each begin at a fixed place. At most max_rows. */
uint32_t jm_deal_gathered_rows(uint32_t members, const struct jm_limits *lim);

/* Bytes for the arrays of a deal, to be put at `at` by jm_deal_place; 8-byte aligned, zeroed.
 * 0: too many. */
size_t jm_deal_bytes(uint32_t members, const struct jm_limits *lim);
void jm_deal_place(struct jm_deal *d, uint32_t members, const struct jm_limits *lim, void *at);

/* Deals `in` out so that all have about the same to do. A sequence stays with the member that had
 * it last; new ones go, the costliest first, each to whom has least so far (Graham 1969). Each
 * member's rows begin at a fixed place, so that none writes what lies in another's cache. Runs
 * stay where they are: each member gets whole ones that stand together. false: there are no
 * sequences or runs to deal, or too little or too uneven work to pay. */
bool jm_deal_out(struct jm_deal *d, const struct jm_batch *in, const struct jm_deal_terms *terms);

#endif
