/* SPDX-License-Identifier: Apache-2.0 */
/* Running a plan: every thread walks all steps and does its share of each. */
#include <math.h>
#include <string.h>

#include "backends/cpu/picture.h"
#include "backends/cpu/plan.h"

enum { BLOCK = 32 };

struct share {
    uint32_t from, to;
};

/* Member m's part of n things; parts differ by one at most. */
static struct share share_of(uint32_t n, uint32_t m, uint32_t members)
{
    return (struct share){ .from = (uint32_t)((uint64_t)n * m / members),
                           .to = (uint32_t)((uint64_t)n * (m + 1) / members) };
}

/* Row r of a step that has one for each gathered row: its row in the batch. */
static uint32_t batch_row(const jm_plan *p, const struct jm_step *s, uint32_t r)
{
    return s->node.rows == JM_ROWS_GATHERED ? p->batch->gather[r] : r;
}

void jm_cpu_quantise_row(jm_plan *p, struct jm_step *s, uint32_t r)
{
    size_t cols = s->node.cols, blocks = cols / BLOCK;
    if (s->quantise)
        p->dev->kernels->quantise(s->out + r * cols, s->node.cols, s->q + r * cols,
                                  s->d + r * blocks, s->sum + r * blocks);
    if (s->quantise16)
        p->dev->kernels->quantise16(s->out + r * cols, s->node.cols, s->q16 + r * cols,
                                    s->d16 + r * blocks);
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
            jm_format_decode(n->w.format,
                             (const uint8_t *)n->w.data +
                                 p->batch->token[r] * jm_format_row_bytes(n->w.format, cols),
                             y, cols);
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
            for (size_t i = 0; i < cols; i++)
                y[i] = x[i] + x2[i];
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
        jm_cpu_quantise_row(p, s, r);
    }
}

static void run_linear(jm_plan *p, struct jm_step *s, uint32_t rows, uint32_t m)
{
    const struct jm_step *in = &p->steps[s->node.in[0]];
    struct share g = share_of(s->w.n_groups, m, jm_team_size(p->dev->team));
    struct jm_acts x = { .f = in->out,
                         .q = in->q,
                         .d = in->d,
                         .sum = in->sum,
                         .q16 = in->q16,
                         .d16 = in->d16,
                         .cols = s->node.w.cols };
    rows *= s->node.times; /* inputs that stand side by side in a row */
    if (g.from >= g.to || !rows)
        return;
    p->dev->kernels->linear(&s->w, &x, rows, s->out, s->node.w.rows, g.from, g.to, p->scratch[m]);
    jm_cpu_add_bias(s, rows, g.from * s->w.group, g.to * s->w.group);
}

/* One row's keys and values of one head go to its position; keys interleaved by blocks. */
static void append(const jm_plan *p, const struct jm_step *s, size_t head, uint32_t pos,
                   const float *k, const float *v)
{
    uint32_t dim = s->node.head_dim, block = p->dev->kernels->k_block;
    float *kc = s->k_cache + head * p->head_positions * dim;
    float *vc = s->v_cache + (head * p->head_positions + pos) * dim;
    kc += (size_t)(pos / block) * block * dim + pos % block;
    for (uint32_t i = 0; i < dim; i++)
        kc[(size_t)i * block] = k[i];
    memcpy(vc, v, dim * sizeof *v);
}

/* Keys and values go into the caches first, all of them, since a row attends to earlier rows of
 * its own batch. Then every (row, key/value head) is a task of its own. */
static void run_attention(jm_plan *p, struct jm_step *s, uint32_t n_rows, uint32_t m)
{
    const struct jm_batch *b = p->batch;
    const struct jm_node *n = &s->node;
    uint32_t members = jm_team_size(p->dev->team), per_kv = n->n_heads / n->n_kv_heads;
    uint32_t dim = n->head_dim;
    const float *q = p->steps[n->in[0]].out, *k = p->steps[n->in[1]].out;
    const float *v = p->steps[n->in[2]].out;
    struct share new = share_of(b->n_rows * n->n_kv_heads, m, members);
    for (uint32_t t = new.from; t < new.to; t++) {
        uint32_t r = t / n->n_kv_heads, h = t % n->n_kv_heads;
        append(p, s, (size_t)b->slot[r] * n->n_kv_heads + h, b->pos[r], k + (size_t)t * dim,
               v + (size_t)t * dim);
    }
    jm_team_barrier(p->dev->team);
    struct share tasks = share_of(n_rows * n->n_kv_heads, m, members);
    for (uint32_t t = tasks.from; t < tasks.to; t++) {
        uint32_t r = batch_row(p, s, t / n->n_kv_heads), h = t % n->n_kv_heads;
        size_t at = ((size_t)b->slot[r] * n->n_kv_heads + h) * p->head_positions * dim;
        size_t head = (size_t)t * per_kv * dim;
        p->dev->kernels->attend(q + head, per_kv, s->k_cache + at, s->v_cache + at, dim,
                                b->pos[r] + 1, n->scale, p->scratch[m], s->out + head);
    }
}

/* The results of LINEAR and ATTENTION are quantised once all threads have made their part. */
static void quantise_rows(jm_plan *p, struct jm_step *s, struct share rows)
{
    jm_team_barrier(p->dev->team);
    for (uint32_t r = rows.from; r < rows.to; r++)
        jm_cpu_quantise_row(p, s, r);
}

static uint32_t rows_of(const struct jm_step *s, const struct jm_batch *b)
{
    return s->node.rows == JM_ROWS_GATHERED ? b->n_gather
           : s->node.rows == JM_ROWS_RUN    ? b->n_runs
                                            : b->n_rows;
}

static void run_member(void *arg, uint32_t m)
{
    jm_plan *p = arg;
    uint32_t members = jm_team_size(p->dev->team);
    for (uint32_t i = 0; i < p->n_steps; i++) {
        struct jm_step *s = &p->steps[i];
        if (s->node.entry != p->batch->entry)
            continue;
        uint32_t n = rows_of(s, p->batch);
        struct share rows = share_of(n, m, members);
        if (s->barrier_before)
            jm_team_barrier(p->dev->team);
        if (s->node.op == JM_OP_LINEAR)
            run_linear(p, s, n, m);
        else if (s->node.op == JM_OP_ATTENTION)
            run_attention(p, s, n, m);
        else if (jm_cpu_picture_runs(s))
            jm_cpu_picture_run(p, s, n, m);
        else
            run_rows(p, s, rows);
        if ((s->quantise || s->quantise16) &&
            (s->node.op == JM_OP_LINEAR || s->node.op == JM_OP_ATTENTION))
            quantise_rows(p, s, rows);
    }
}

static jm_status check_batch(const jm_plan *p, const struct jm_batch *in, jm_err *err)
{
    if (in->n_rows == 0 || in->n_rows > p->lim.max_rows || in->n_gather > in->n_rows)
        return jm_fail(err, JM_EUSAGE, "batch: %u rows, %u gathered; the plan takes 1 to %u",
                       in->n_rows, in->n_gather, p->lim.max_rows);
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
    jm_status st = check_batch(p, in, err);
    if (st != JM_OK)
        return st;
    p->batch = in;
    jm_cpu_picture_begin(p);
    jm_team_run(p->dev->team, run_member, p);
    return JM_OK;
}

jm_status jm_cpu_fetch(jm_plan *p, uint32_t out, uint32_t first, uint32_t n, void *dst, jm_err *err)
{
    if (out >= p->n_outputs)
        return jm_fail(err, JM_EUSAGE, "fetch: output %u does not exist", out);
    if (first > p->lim.max_rows || n > p->lim.max_rows - first)
        return jm_fail(err, JM_EUSAGE, "fetch: rows %u to %u do not exist", first, first + n);
    const struct jm_step *s = &p->steps[p->outputs[out]];
    size_t row = s->node.cols * sizeof(float); /* an i32 is as large */
    memcpy(dst, (const char *)s->out + first * row, n * row);
    return JM_OK;
}
