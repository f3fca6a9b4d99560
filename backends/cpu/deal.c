/* SPDX-License-Identifier: Apache-2.0 */
/* See deal.h. */
#include "backends/cpu/deal.h"

#include <string.h>

#include "base/checked.h"

/* A sequence of the batch under way. */
struct jm_dealt {
    uint64_t cost;
    uint32_t first, n; /* rows of the caller's batch */
    uint32_t gather, n_gather;
    uint32_t member;
};

enum { ARRAYS = 8 }; /* of max_rows words */

size_t jm_deal_bytes(uint32_t members, const struct jm_limits *lim)
{
    size_t words = lim->max_slots, rows, seq, own, bytes;
    if (!jm_mul_size(lim->max_rows, ARRAYS, &rows) || !jm_add_size(words, rows, &words) ||
        !jm_add_size(words, 2 * ((size_t)members + 1) + 1, &words) ||
        !jm_mul_size(words, sizeof(uint32_t), &bytes) ||
        !jm_mul_size(lim->max_rows, sizeof(struct jm_dealt), &seq) ||
        !jm_mul_size(members, sizeof(uint64_t), &own) || !jm_add_size(bytes, seq, &bytes) ||
        !jm_add_size(bytes, own, &bytes))
        return 0;
    return bytes;
}

void jm_deal_place(struct jm_deal *d, uint32_t members, const struct jm_limits *lim, void *at)
{
    uint32_t rows = lim->max_rows;
    *d = (struct jm_deal){ .members = members, .seq = at };
    d->load = (uint64_t *)(void *)(d->seq + rows);
    uint32_t *w = (uint32_t *)(void *)(d->load + members);
    uint32_t **arrays[ARRAYS] = { &d->row_at, &d->gather_at, &d->token, &d->slot,
                                  &d->pos,    &d->pos_h,     &d->pos_w, &d->gather };
    for (int i = 0; i < ARRAYS; i++, w += rows)
        *arrays[i] = w;
    d->cut = w;
    d->gather_cut = w + members + 1;
    d->seen = d->gather_cut + members + 1;
}

/* Finds the sequences, costliest first; 0 when a slot comes up twice, since all rows of a sequence
 * must be one thread's. */
static uint32_t find_sequences(struct jm_deal *d, const struct jm_batch *in, const uint64_t *cost)
{
    uint32_t n = 0, g = 0;
    d->stamp++;
    for (uint32_t r = 0; r < in->n_rows; n++) {
        struct jm_dealt s = { .first = r, .gather = g };
        if (d->seen[in->slot[r]] == d->stamp)
            return 0;
        d->seen[in->slot[r]] = d->stamp;
        while (r < in->n_rows && in->slot[r] == in->slot[s.first])
            r++;
        while (g < in->n_gather && in->gather[g] < r)
            g++;
        s.n = r - s.first;
        s.n_gather = g - s.gather;
        s.cost = s.n * cost[JM_ROWS_ALL] + s.n_gather * cost[JM_ROWS_GATHERED];
        uint32_t at = n;
        for (; at > 0 && d->seq[at - 1].cost < s.cost; at--)
            d->seq[at] = d->seq[at - 1];
        d->seq[at] = s;
    }
    return n;
}

static uint32_t least_loaded(const struct jm_deal *d)
{
    uint32_t m = 0;
    for (uint32_t i = 1; i < d->members; i++)
        if (d->load[i] < d->load[m])
            m = i;
    return m;
}

/* Gives each sequence a member; cut[m + 1] and gather_cut[m + 1] count what m has. false: one has
 * much more than its share. */
static bool assign(struct jm_deal *d, uint32_t n)
{
    uint64_t total = 0, most = 0;
    memset(d->load, 0, d->members * sizeof *d->load);
    memset(d->cut, 0, 2 * (d->members + 1) * sizeof *d->cut);
    for (uint32_t i = 0; i < n; i++) {
        struct jm_dealt *s = &d->seq[i];
        s->member = least_loaded(d);
        d->load[s->member] += s->cost;
        d->cut[s->member + 1] += s->n;
        d->gather_cut[s->member + 1] += s->n_gather;
        total += s->cost;
        most = d->load[s->member] > most ? d->load[s->member] : most;
    }
    for (uint32_t m = 0; m < d->members; m++) {
        d->cut[m + 1] += d->cut[m];
        d->gather_cut[m + 1] += d->gather_cut[m];
    }
    return most <= total / d->members + total / (d->members * 4);
}

static void copy(uint32_t *to, const uint32_t *from, uint32_t at, const struct jm_dealt *s)
{
    if (from)
        memcpy(to + at, from + s->first, s->n * sizeof *to);
}

/* Sequence s to row `at` on, its gathered rows to `gather` on. */
static void put(struct jm_deal *d, const struct jm_batch *in, const struct jm_dealt *s, uint32_t at,
                uint32_t gather)
{
    copy(d->token, in->token, at, s);
    copy(d->slot, in->slot, at, s);
    copy(d->pos, in->pos, at, s);
    copy(d->pos_h, in->pos_h, at, s);
    copy(d->pos_w, in->pos_w, at, s);
    for (uint32_t i = 0; i < s->n; i++)
        d->row_at[s->first + i] = at + i;
    for (uint32_t i = 0; i < s->n_gather; i++) {
        d->gather[gather + i] = in->gather[s->gather + i] - s->first + at;
        d->gather_at[s->gather + i] = gather + i;
    }
}

bool jm_deal_out(struct jm_deal *d, const struct jm_batch *in, const struct jm_deal_terms *terms)
{
    if (in->n_runs > 0 || in->n_rows / d->members < terms->least_rows)
        return false;
    for (uint32_t i = 0; i < JM_MAX_INPUTS; i++)
        if (in->input[i])
            return false;
    uint32_t n = find_sequences(d, in, terms->row_cost);
    if (n < d->members || !assign(d, n))
        return false;
    for (uint32_t m = 0; m < d->members; m++) {
        uint32_t at = d->cut[m], gather = d->gather_cut[m];
        for (uint32_t i = 0; i < n; i++) {
            const struct jm_dealt *s = &d->seq[i];
            if (s->member != m)
                continue;
            put(d, in, s, at, gather);
            at += s->n;
            gather += s->n_gather;
        }
    }
    d->batch = *in;
    d->batch.token = in->token ? d->token : NULL;
    d->batch.slot = d->slot;
    d->batch.pos = d->pos;
    d->batch.pos_h = in->pos_h ? d->pos_h : NULL;
    d->batch.pos_w = in->pos_w ? d->pos_w : NULL;
    d->batch.gather = d->gather;
    return true;
}
