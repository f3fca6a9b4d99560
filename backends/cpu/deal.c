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
    bool old; /* its keys lie with a member */
};

enum {
    ARRAYS = 8, /* of max_rows words */
    SLACK = 16, /* loads may differ by a share / 16: moving keys costs about as much */
};

/* Nobody has more gathered rows than rows, nor more than a batch may gather. */
static uint32_t gather_region(uint32_t members, const struct jm_limits *lim)
{
    uint32_t region = lim->max_rows / members;
    return region < lim->max_gather ? region : lim->max_gather;
}

uint32_t jm_deal_gathered_rows(uint32_t members, const struct jm_limits *lim)
{
    uint32_t dealt = members * gather_region(members, lim);
    return dealt > lim->max_gather ? dealt : lim->max_gather;
}

size_t jm_deal_bytes(uint32_t members, const struct jm_limits *lim)
{
    size_t words, rows, seq, own, bytes;
    if (!jm_mul_size(lim->max_slots, 2, &words) || !jm_mul_size(lim->max_rows, ARRAYS, &rows) ||
        !jm_add_size(words, rows, &words) || !jm_add_size(words, 4 * (size_t)members, &words) ||
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
    d->region = rows / members;
    d->gather_region = gather_region(members, lim);
    d->at = w;
    d->gathered_at = d->at + members;
    d->rows = d->gathered_at + members;
    d->gathered = d->rows + members;
    d->seen = d->gathered + members;
    d->owner = d->seen + lim->max_slots;
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

static uint32_t most_loaded(const struct jm_deal *d)
{
    uint32_t m = 0;
    for (uint32_t i = 1; i < d->members; i++)
        if (d->load[i] > d->load[m])
            m = i;
    return m;
}

static void give(struct jm_deal *d, struct jm_dealt *s, uint32_t m)
{
    s->member = m;
    d->load[m] += s->cost;
    d->rows[m] += s->n;
    d->gathered[m] += s->n_gather;
}

static void take_back(struct jm_deal *d, const struct jm_dealt *s)
{
    d->load[s->member] -= s->cost;
    d->rows[s->member] -= s->n;
    d->gathered[s->member] -= s->n_gather;
}

/* Moves sequences of the one with most to the one with least until they differ by little: the
 * keys of what moves have to follow it from one core's cache to the other's. */
static void even_out(struct jm_deal *d, uint32_t n, uint64_t share)
{
    for (uint32_t i = n; i > 0; i--) {
        uint32_t most = most_loaded(d), least = least_loaded(d);
        struct jm_dealt *s = &d->seq[i - 1];
        if (d->load[most] - d->load[least] <= share / SLACK)
            return;
        if (s->member != most || d->load[least] + s->cost >= d->load[most])
            continue;
        take_back(d, s);
        give(d, s, least);
    }
}

/* Gives each sequence a member: who had it last, or who has least to do if it is new. false: one
 * has much more than its share, or more than it has room for. */
static bool assign(struct jm_deal *d, const struct jm_batch *in, uint32_t n)
{
    uint64_t share = 0;
    memset(d->load, 0, d->members * sizeof *d->load);
    memset(d->rows, 0, d->members * sizeof *d->rows);
    memset(d->gathered, 0, d->members * sizeof *d->gathered);
    for (uint32_t i = 0; i < n; i++) {
        struct jm_dealt *s = &d->seq[i];
        uint32_t owner = in->pos[s->first] == 0 ? 0 : d->owner[in->slot[s->first]];
        s->old = owner > 0;
        if (s->old)
            give(d, s, owner - 1);
    }
    for (uint32_t i = 0; i < n; i++) {
        struct jm_dealt *s = &d->seq[i];
        if (!s->old)
            give(d, s, least_loaded(d));
    }
    for (uint32_t m = 0; m < d->members; m++)
        share += d->load[m];
    share /= d->members;
    even_out(d, n, share);
    for (uint32_t m = 0; m < d->members; m++)
        if (d->rows[m] > d->region)
            return false;
    return d->load[most_loaded(d)] <= share + share / 4;
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
    d->owner[in->slot[s->first]] = s->member + 1;
    for (uint32_t i = 0; i < s->n; i++)
        d->row_at[s->first + i] = at + i;
    for (uint32_t i = 0; i < s->n_gather; i++) {
        d->gather[gather + i] = in->gather[s->gather + i] - s->first + at;
        d->gather_at[s->gather + i] = gather + i;
    }
}

/* Runs stay where they are: each member gets whole ones that stand together. */
static bool deal_runs(struct jm_deal *d, const struct jm_batch *in)
{
    uint32_t m = 0, first = 0;
    uint64_t share = in->n_rows / d->members;
    if (in->n_gather > 0 || in->n_runs < d->members)
        return false;
    for (uint32_t i = 0; i < in->n_runs; i++) {
        uint32_t end = i + 1 < in->n_runs ? in->run[i + 1] : in->n_rows;
        bool last = i + 1 == in->n_runs;
        if (!last && (m + 1 == d->members || end < (uint64_t)in->n_rows * (m + 1) / d->members))
            continue;
        if (end - first > share + share / 4)
            return false;
        d->at[m] = first;
        d->rows[m] = end - first;
        d->gathered_at[m] = d->gathered[m] = 0;
        m++;
        first = end;
    }
    d->moved = false;
    d->batch = *in;
    return m == d->members;
}

bool jm_deal_out(struct jm_deal *d, const struct jm_batch *in, const struct jm_deal_terms *terms)
{
    if (in->n_rows / d->members < terms->least_rows)
        return false;
    if (in->n_runs > 0)
        return deal_runs(d, in);
    for (uint32_t i = 0; i < JM_MAX_INPUTS; i++)
        if (in->input[i])
            return false;
    uint32_t n = find_sequences(d, in, terms->row_cost);
    if (n < d->members || !assign(d, in, n))
        return false;
    for (uint32_t m = 0; m < d->members; m++) {
        uint32_t at = m * d->region, gather = m * d->gather_region;
        d->at[m] = at;
        d->gathered_at[m] = gather;
        for (uint32_t i = 0; i < n; i++) {
            const struct jm_dealt *s = &d->seq[i];
            if (s->member != m)
                continue;
            put(d, in, s, at, gather);
            at += s->n;
            gather += s->n_gather;
        }
    }
    d->moved = true;
    d->batch = *in;
    d->batch.token = in->token ? d->token : NULL;
    d->batch.slot = d->slot;
    d->batch.pos = d->pos;
    d->batch.pos_h = in->pos_h ? d->pos_h : NULL;
    d->batch.pos_w = in->pos_w ? d->pos_w : NULL;
    d->batch.gather = d->gather;
    return true;
}
