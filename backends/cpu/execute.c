/* SPDX-License-Identifier: Apache-2.0 */
/* Running a plan: every thread walks all steps and does its part of each. How a batch is cut is
 * decided once for each: by columns, where all threads meet between steps and each weight is read
 * once; or by rows, where each thread takes whole sequences or pictures through the whole network
 * and meets nobody, but reads all weights. */
#include <math.h>
#include <string.h>

#include "backends/cpu/picture.h"
#include "backends/cpu/plan.h"
#include "backends/cpu/profile.h"

enum {
    BLOCK = 32,
    PREFETCH_BYTES = 64 << 10, /* of keys: more would push out what is being worked on */
    HALVES = 128,              /* keys made F16 at a time */
};

/* Cutting by rows pays when the weights come from a cache fast enough, and each thread has rows
 * enough to use them on. */
enum { CACHED_BYTES = 32 << 20, CACHED_ROWS = 6, MEMORY_ROWS = 48 };
enum { AHEAD_BYTES = 128 << 10 };

struct share {
    uint32_t from, to;
};

/* Member m's part of n things; parts differ by one at most. */
static struct share share_of(uint32_t n, uint32_t m, uint32_t members)
{
    return (struct share){ .from = (uint32_t)((uint64_t)n * m / members),
                           .to = (uint32_t)((uint64_t)n * (m + 1) / members) };
}

/* What one thread does of a batch. */
struct part {
    uint32_t m;
    bool alone; /* its rows are whole sequences or runs, and it makes all columns of them */
    struct share share[3]; /* its rows, by enum jm_rows */
};

/* Row r of a step that has one for each gathered row: its row in the batch. */
static uint32_t batch_row(const jm_plan *p, const struct jm_step *s, uint32_t r)
{
    return s->node.rows == JM_ROWS_GATHERED ? p->batch->gather[r] : r;
}

static uint32_t rows_of(const struct jm_step *s, const struct jm_batch *b)
{
    return s->node.rows == JM_ROWS_GATHERED ? b->n_gather
           : s->node.rows == JM_ROWS_RUN    ? b->n_runs
                                            : b->n_rows;
}

/* The columns of a linear's result that a thread makes. */
static struct share columns_of(const jm_plan *p, uint32_t cols, const struct part *w)
{
    uint32_t members = w->alone ? 1 : jm_team_size(p->dev->team), m = w->alone ? 0 : w->m;
    return (struct share){ .from = jm_cpu_first_column(cols, m, members),
                           .to = jm_cpu_first_column(cols, m + 1, members) };
}

/* The groups of its outputs that a thread makes. */
static struct share groups_of(const jm_plan *p, const struct jm_step *s, const struct part *w)
{
    uint32_t members = w->alone ? 1 : jm_team_size(p->dev->team), m = w->alone ? 0 : w->m;
    return (struct share){ .from = jm_cpu_first_group(&s->w, m, members),
                           .to = jm_cpu_first_group(&s->w, m + 1, members) };
}

/* Where all meet before s, or on the way there: weights that come from memory are asked for while a
 * thread waits, as many as its own caches keep. */
static void meet(const jm_plan *p, const struct jm_step *s, const struct part *w)
{
    struct jm_ahead ahead = { 0 };
    if (w->alone)
        return;
    if (p->weight_bytes > CACHED_BYTES && s->next_linear < p->n_steps) {
        const struct jm_step *l = &p->steps[s->next_linear];
        struct share g = groups_of(p, l, w);
        size_t bytes = (g.to - g.from) * l->w.group_bytes;
        ahead = (struct jm_ahead){ .data = l->w.data + g.from * l->w.group_bytes,
                                   .bytes = bytes < AHEAD_BYTES ? bytes : AHEAD_BYTES };
    }
    jm_cpu_meet(p, w->m, ahead);
}

void jm_cpu_quantise_part(jm_plan *p, struct jm_step *s, uint32_t r, uint32_t from, uint32_t to)
{
    size_t at = (size_t)r * s->node.cols + from, block = at / BLOCK;
    if (s->quantise)
        p->dev->kernels->quantise(s->out + at, to - from, s->q + at, s->d + block, s->sum + block);
    if (s->k_sums)
        jm_cpu_sums(s->q + at, s->d + block, s->sum + block, to - from, s->dsum + block,
                    s->sum16 + 2 * block);
    if (s->quantise16)
        p->dev->kernels->quantise16(s->out + at, to - from, s->q16 + at, s->d16 + block);
}

/* A token's row of the table. */
static void embed(const jm_plan *p, const struct jm_node *n, uint32_t token, float *y)
{
    const uint8_t *row =
        (const uint8_t *)n->w.data + token * jm_format_row_bytes(n->w.format, n->cols);
    if (n->w.format == JM_F16 && (uintptr_t)row % sizeof(uint16_t) == 0)
        p->dev->kernels->from_half((const uint16_t *)(const void *)row, y, n->cols);
    else
        jm_format_decode(n->w.format, row, y, n->cols);
}

/* Steps whose rows are independent: each thread has some rows. */
static void run_rows(jm_plan *p, struct jm_step *s, struct share rows)
{
    const struct jm_node *n = &s->node;
    const struct jm_cpu_kernels *k = p->dev->kernels;
    const struct jm_step *a = &p->steps[n->in[0]], *b = &p->steps[n->in[1]];
    size_t cols = n->cols, in_cols = a->node.cols;
    for (uint32_t r = rows.from; r < rows.to; r++) {
        const float *x = a->out + r * in_cols, *x2 = b->out + r * cols;
        float *y = s->out + r * cols;
        switch (n->op) {
        case JM_OP_EMBED:
            embed(p, n, p->batch->token[r], y);
            break;
        case JM_OP_RMS_NORM:
            for (uint32_t at = 0; at < n->cols; at += n->part)
                k->rms_norm(x + at, n->w.data, n->eps, y + at, n->part);
            break;
        case JM_OP_ROPE:
            for (uint32_t at = 0; at < n->cols; at += n->head_dim)
                k->rope(x + at, s->rope + (size_t)p->batch->pos[batch_row(p, s, r)] * n->head_dim,
                        n->head_dim, y + at);
            break;
        case JM_OP_SWIGLU:
            k->swiglu(x, x2, y, cols);
            break;
        case JM_OP_ADD:
            k->add(x, x2, y, cols);
            break;
        case JM_OP_GATHER_ROWS:
            memcpy(y, a->out + p->batch->gather[r] * cols, cols * sizeof *y);
            break;
        case JM_OP_ARGMAX:
            ((int32_t *)(void *)s->out)[r] = k->argmax(x, (uint32_t)in_cols);
            break;
        default:
            break;
        }
        jm_cpu_quantise_part(p, s, r, 0, n->cols);
    }
}

/* The rows for which a thread makes its columns. */
static struct share column_rows(const jm_plan *p, const struct jm_step *s, const struct part *w)
{
    return w->alone ? w->share[s->node.rows]
                    : (struct share){ .from = 0, .to = rows_of(s, p->batch) };
}

static void run_columns(jm_plan *p, struct jm_step *s, const struct part *w)
{
    const float *gate = p->steps[s->node.in[0]].out, *up = p->steps[s->node.in[1]].out;
    struct share c = columns_of(p, s->node.cols, w), rows = column_rows(p, s, w);
    for (uint32_t r = rows.from; r < rows.to && c.from < c.to; r++) {
        size_t at = (size_t)r * s->node.cols + c.from;
        p->dev->kernels->swiglu(gate + at, up + at, s->out + at, c.to - c.from);
        jm_cpu_quantise_part(p, s, r, c.from, c.to);
    }
}

/* Row r and those behind it, as the weight wants them. */
static struct jm_acts acts_from(const struct jm_step *in, uint32_t cols, size_t r)
{
    size_t at = r * cols, block = at / BLOCK;
    return (struct jm_acts){ .f = in->out + at,
                             .q = in->q ? in->q + at : NULL,
                             .d = in->d ? in->d + block : NULL,
                             .sum = in->sum ? in->sum + block : NULL,
                             .dsum = in->dsum ? in->dsum + block : NULL,
                             .sum16 = in->sum16 ? in->sum16 + 2 * block : NULL,
                             .q16 = in->q16 ? in->q16 + at : NULL,
                             .d16 = in->d16 ? in->d16 + block : NULL,
                             .cols = cols };
}

static void run_linear(jm_plan *p, struct jm_step *s, const struct part *w)
{
    const struct jm_node *n = &s->node;
    struct share c = columns_of(p, n->w.rows, w), rows = column_rows(p, s, w);
    struct share g = groups_of(p, s, w);
    size_t first = (size_t)rows.from * n->times; /* inputs that stand side by side in a row */
    uint32_t many = (rows.to - rows.from) * n->times;
    struct jm_acts x = acts_from(&p->steps[n->in[0]], n->w.cols, first);
    float *y = s->out + first * n->w.rows;
    if (g.from >= g.to || many == 0)
        return;
    p->dev->kernels->linear(&s->w, &x, many, y, n->w.rows, g.from, g.to, p->scratch[w->m]);
    jm_cpu_add_bias(s, y, many, c.from, c.to);
}

/* n values, a multiple of 32 up to HALVES, as Q8_0. */
static void to_kv8(const struct jm_cpu_kernels *k, const float *x, uint32_t n, int8_t *levels,
                   uint16_t *scales)
{
    float d[HALVES / BLOCK];
    int32_t sum[HALVES / BLOCK];
    k->quantise(x, n, levels, d, sum);
    k->to_half(d, scales, n / BLOCK);
}

/* The same as append, into a cache of Q8_0 that begins `at` keys or values from its start. */
static void append8(const jm_plan *p, const struct jm_step *s, size_t at, uint32_t pos,
                    const float *k, const float *v)
{
    uint32_t dim = s->node.head_dim, block = p->dev->kernels->k_block;
    int8_t *kc = (int8_t *)s->k_cache + at, *vc = (int8_t *)s->v_cache + at, levels[HALVES];
    uint16_t *dk = s->k_scale + at / BLOCK, *dv = s->v_scale + at / BLOCK, scales[HALVES / BLOCK];
    for (uint32_t from = 0; from < dim; from += HALVES) {
        uint32_t n = dim - from < HALVES ? dim - from : HALVES;
        size_t v_at = (size_t)pos * dim + from;
        to_kv8(p->dev->kernels, k + from, n, levels, scales);
        for (uint32_t i = 0; i < n; i += 4)
            memcpy(kc + jm_kv8_level(pos, from + i, dim, block), levels + i, 4);
        for (uint32_t i = 0; i < n / BLOCK; i++)
            dk[jm_kv8_scale(pos, from / BLOCK + i, dim, block)] = scales[i];
        to_kv8(p->dev->kernels, v + from, n, vc + v_at, dv + v_at / BLOCK);
    }
}

/* One row's keys and values of one head go to its position; keys interleaved by blocks. */
static void append(const jm_plan *p, const struct jm_step *s, size_t head, uint32_t pos,
                   const float *k, const float *v)
{
    uint32_t dim = s->node.head_dim, block = p->dev->kernels->k_block;
    size_t at = head * p->head_positions * dim;
    size_t k_at = at + (size_t)(pos / block) * block * dim + pos % block;
    size_t v_at = at + (size_t)pos * dim;
    if (p->lim.kv_format == JM_Q8_0) {
        append8(p, s, at, pos, k, v);
        return;
    }
    if (p->lim.kv_format == JM_F16) {
        uint16_t *kc = (uint16_t *)s->k_cache + k_at, half[HALVES];
        for (uint32_t from = 0; from < dim; from += HALVES) {
            uint32_t n = dim - from < HALVES ? dim - from : HALVES;
            p->dev->kernels->to_half(k + from, half, n);
            for (uint32_t i = 0; i < n; i++)
                kc[(size_t)(from + i) * block] = half[i];
        }
        p->dev->kernels->to_half(v, (uint16_t *)s->v_cache + v_at, dim);
        return;
    }
    float *kc = (float *)s->k_cache + k_at;
    for (uint32_t i = 0; i < dim; i++)
        kc[(size_t)i * block] = k[i];
    memcpy((float *)s->v_cache + v_at, v, dim * sizeof *v);
}

/* Keys and values of a task to come, so that they arrive while another is worked on: those of many
 * sequences do not stay in the cache next to the core. */
static void prefetch(const void *k, const void *v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64) {
        __builtin_prefetch((const char *)k + i, 0, 2);
        __builtin_prefetch((const char *)v + i, 0, 2);
    }
}

/* Where the keys and values of a head begin in the caches: row r of the batch, head h. */
static size_t head_at(const jm_plan *p, const struct jm_node *n, uint32_t r, uint32_t h)
{
    return ((size_t)p->batch->slot[r] * n->n_kv_heads + h) * p->head_positions * n->head_dim;
}

static void prefetch_head(const jm_plan *p, const struct jm_step *s, size_t at, uint32_t seen)
{
    size_t each = jm_cpu_kv_bytes(p), n = (size_t)seen * s->node.head_dim;
    if (n * each > PREFETCH_BYTES)
        return;
    prefetch((const char *)s->k_cache + at * each, (const char *)s->v_cache + at * each, n * each);
    if (p->lim.kv_format == JM_Q8_0)
        prefetch(s->k_scale + at / BLOCK, s->v_scale + at / BLOCK, n / BLOCK * sizeof *s->k_scale);
}

/* The query heads of row r that share key/value head h. */
static void attend(const jm_plan *p, const struct jm_step *s, uint32_t r, uint32_t h,
                   const float *q, float *scratch, float *out)
{
    const struct jm_node *n = &s->node;
    const struct jm_cpu_kernels *kernels = p->dev->kernels;
    size_t at = head_at(p, n, r, h);
    const void *k = (const char *)s->k_cache + at * jm_cpu_kv_bytes(p);
    const void *v = (const char *)s->v_cache + at * jm_cpu_kv_bytes(p);
    uint32_t per_kv = n->n_heads / n->n_kv_heads, seen = p->batch->pos[r] + 1;
    if (p->lim.kv_format == JM_Q8_0) {
        struct jm_kv8 kv = jm_cpu_kv8(s, at);
        kernels->attend8(q, per_kv, &kv, n->head_dim, seen, n->scale, scratch, out);
    } else if (p->lim.kv_format == JM_F16)
        kernels->attend16(q, per_kv, k, v, n->head_dim, seen, n->scale, scratch, out);
    else
        kernels->attend(q, per_kv, k, v, n->head_dim, seen, n->scale, scratch, out);
}

/* Keys and values go into the caches first, all of them, since a row attends to earlier rows of
 * its own batch. Then every (row, key/value head) is a task of its own. */
static void run_attention(jm_plan *p, struct jm_step *s, const struct part *w)
{
    const struct jm_batch *b = p->batch;
    const struct jm_node *n = &s->node;
    uint32_t kv = n->n_kv_heads, per_kv = n->n_heads / kv, dim = n->head_dim, wide = per_kv * dim;
    const float *q = p->steps[n->in[0]].out, *k = p->steps[n->in[1]].out;
    const float *v = p->steps[n->in[2]].out;
    struct share new = w->share[JM_ROWS_ALL], rows = w->share[n->rows];
    for (uint32_t t = new.from *kv; t < new.to *kv; t++) {
        uint32_t r = t / kv, h = t % kv;
        append(p, s, (size_t)b->slot[r] * kv + h, b->pos[r], k + (size_t)t * dim,
               v + (size_t)t * dim);
    }
    meet(p, s, w);
    struct share tasks = w->alone ? (struct share){ .from = rows.from * kv, .to = rows.to * kv }
                                  : share_of(rows_of(s, b) * kv, w->m, jm_team_size(p->dev->team));
    for (uint32_t t = tasks.from; t < tasks.to; t++) {
        uint32_t r = batch_row(p, s, t / kv), h = t % kv;
        if (t + 1 < tasks.to) {
            uint32_t r1 = batch_row(p, s, (t + 1) / kv);
            size_t next = head_at(p, n, r1, (t + 1) % kv);
            prefetch_head(p, s, next, b->pos[r1] + 1);
        }
        attend(p, s, r, h, q + (size_t)t * wide, p->scratch[w->m], s->out + (size_t)t * wide);
        if (wide % BLOCK == 0)
            jm_cpu_quantise_part(p, s, t / kv, h * wide, (h + 1) * wide);
    }
}

/* Results whose threads did not make whole blocks are quantised once all of it is there. */
static void quantise_late(jm_plan *p, struct jm_step *s, const struct part *w)
{
    const struct jm_node *n = &s->node;
    bool late = n->op == JM_OP_LINEAR || n->op == JM_OP_ATTEND_RUN ||
                (n->op == JM_OP_ATTENTION && n->n_heads / n->n_kv_heads * n->head_dim % BLOCK != 0);
    if (!late || !(s->quantise || s->quantise16))
        return;
    bool last = s == p->steps + p->n_steps - 1;
    meet(p, last ? s : s + 1, w);
    for (uint32_t r = w->share[n->rows].from; r < w->share[n->rows].to; r++)
        jm_cpu_quantise_part(p, s, r, 0, n->cols);
}

/* The runs that begin in some rows. */
static struct share runs_of(const struct jm_batch *b, struct share rows)
{
    struct share runs = { 0 };
    while (runs.from < b->n_runs && b->run[runs.from] < rows.from)
        runs.from++;
    for (runs.to = runs.from; runs.to < b->n_runs && b->run[runs.to] < rows.to;)
        runs.to++;
    return runs;
}

static struct part part_of(const jm_plan *p, uint32_t m)
{
    const struct jm_batch *b = p->batch;
    uint32_t members = jm_team_size(p->dev->team);
    struct part w = { .m = m, .alone = p->by_rows };
    w.share[JM_ROWS_ALL] = share_of(b->n_rows, m, members);
    w.share[JM_ROWS_GATHERED] = share_of(b->n_gather, m, members);
    w.share[JM_ROWS_RUN] = share_of(b->n_runs, m, members);
    if (p->by_rows) {
        uint32_t at = p->deal.at[m], gathered = p->deal.gathered_at[m];
        w.share[JM_ROWS_ALL] = (struct share){ .from = at, .to = at + p->deal.rows[m] };
        w.share[JM_ROWS_GATHERED] =
            (struct share){ .from = gathered, .to = gathered + p->deal.gathered[m] };
        w.share[JM_ROWS_RUN] = runs_of(b, w.share[JM_ROWS_ALL]);
    }
    return w;
}

/* The runs that a thread attends, or has a part in. */
static struct jm_cpu_runs runs_for(const struct part *w)
{
    return (struct jm_cpu_runs){ .from = w->share[JM_ROWS_RUN].from,
                                 .to = w->share[JM_ROWS_RUN].to,
                                 .alone = w->alone };
}

static void run_member(void *arg, uint32_t m)
{
    jm_plan *p = arg;
    const struct part w = part_of(p, m);
    if (p->profile)
        jm_cpu_profile_begin(p, m);
    for (uint32_t i = 0; i < p->n_steps; i++) {
        struct jm_step *s = &p->steps[i];
        struct share rows = w.share[s->node.rows];
        if (s->node.entry != p->batch->entry)
            continue;
        if (s->barrier_before)
            meet(p, s, &w);
        if (s->node.op == JM_OP_LINEAR)
            run_linear(p, s, &w);
        else if (s->node.op == JM_OP_ATTENTION)
            run_attention(p, s, &w);
        else if (s->by_columns)
            run_columns(p, s, &w);
        else if (jm_cpu_picture_runs(s))
            jm_cpu_picture_run(p, s, rows.from, rows.to, runs_for(&w), m);
        else
            run_rows(p, s, rows);
        quantise_late(p, s, &w);
        if (p->profile)
            jm_cpu_profile_step(p, i, m);
    }
}

static jm_status check_batch(const jm_plan *p, const struct jm_batch *in, jm_err *err)
{
    if (in->n_rows == 0 || in->n_rows > p->lim.max_rows || in->n_gather > in->n_rows ||
        in->n_gather > p->lim.max_gather)
        return jm_fail(err, JM_EUSAGE,
                       "batch: %u rows, %u gathered; the plan takes 1 to %u, and %u gathered",
                       in->n_rows, in->n_gather, p->lim.max_rows, p->lim.max_gather);
    for (uint32_t r = 0; r < in->n_rows; r++) {
        if (p->vocab && in->token && in->token[r] >= p->vocab)
            return jm_fail(err, JM_EUSAGE, "batch: row %u: token %u of a vocabulary of %u", r,
                           in->token[r], p->vocab);
        if (in->slot[r] >= p->lim.max_slots || in->pos[r] >= p->lim.max_context + (in->n_runs > 0))
            return jm_fail(err, JM_EUSAGE, "batch: row %u: slot %u or position %u out of range", r,
                           in->slot[r], in->pos[r]);
    }
    for (uint32_t i = 0; i < in->n_gather; i++) {
        if (in->gather[i] >= in->n_rows)
            return jm_fail(err, JM_EUSAGE, "batch: gathered row %u does not exist", in->gather[i]);
    }
    return jm_cpu_picture_check(p, in, err);
}

jm_status jm_cpu_execute(jm_plan *p, const struct jm_batch *in, jm_err *err)
{
    if (p->profile)
        jm_cpu_profile_enter(p);
    jm_status st = check_batch(p, in, err);
    if (st != JM_OK)
        return st;
    p->by_rows =
        jm_deal_out(&p->deal, in,
                    &(struct jm_deal_terms){
                        .row_cost = p->row_cost,
                        .least_rows = p->weight_bytes <= CACHED_BYTES ? CACHED_ROWS : MEMORY_ROWS,
                    });
    p->given = in;
    p->batch = p->by_rows ? &p->deal.batch : in;
    jm_cpu_picture_begin(p);
    jm_team_run(p->dev->team, run_member, p);
    if (p->profile)
        jm_cpu_profile_leave(p);
    return JM_OK;
}

jm_status jm_cpu_fetch(jm_plan *p, uint32_t out, uint32_t first, uint32_t n, void *dst, jm_err *err)
{
    if (out >= p->n_outputs)
        return jm_fail(err, JM_EUSAGE, "fetch: output %u does not exist", out);
    const struct jm_step *s = &p->steps[p->outputs[out]];
    size_t most = jm_cpu_most_rows(p, s->node.rows);
    if (first > most || n > most - first)
        return jm_fail(err, JM_EUSAGE, "fetch: rows %u to %u do not exist", first, first + n);
    size_t row = s->node.cols * sizeof(float); /* an i32 is as large */
    const uint32_t *at = s->node.rows == JM_ROWS_ALL ? p->deal.row_at : p->deal.gather_at;
    for (uint32_t r = 0; r < n; r++) {
        size_t from = p->by_rows && p->deal.moved && first + r < rows_of(s, p->batch)
                          ? at[first + r]
                          : first + r;
        memcpy((char *)dst + r * row, (const char *)s->out + from * row, row);
    }
    return JM_OK;
}
