/* SPDX-License-Identifier: Apache-2.0 */
/* See picture.h. Keys and values of a run are laid behind a copy of the prefix that its rows see,
 * in the caches' own layout, so that the kernel that attends text attends pictures too; every layer
 * uses the same work space. */
#include "backends/cpu/picture.h"

#include <math.h>
#include <string.h>

#include "backends/cpu/plan.h"
#include "backends/cpu/profile.h"
#include "base/checked.h"

enum {
    ATTEND_ROWS = 16, /* rows of a run in one task */
    PAD = 16,         /* a run has a multiple of this many positions, whole blocks of keys */
};

/* ---- compiling ---- */

static jm_status no_memory(jm_err *err, const char *what)
{
    return jm_fail(err, JM_ENOMEM, "plan: no memory for %s", what);
}

/* A norm's weight or a bias as f32: t itself, or a decoded copy owned by the plan. */
static jm_status decode_vector(jm_plan *p, struct jm_tensor *t, jm_err *err)
{
    if (t->format == JM_F32 && (uintptr_t)t->data % _Alignof(float) == 0)
        return JM_OK;
    float *v = jm_cpu_take(p, t->cols, sizeof *v, 1);
    if (!v)
        return no_memory(err, t->name);
    jm_format_decode(t->format, t->data, v, t->cols);
    t->format = JM_F32;
    t->data = v;
    return JM_OK;
}

/* How many positions a table holds. On axis T a run stands at the end of its prefix, which may be
 * the whole context. */
static bool rope_positions(const jm_plan *p, const struct jm_node *n, size_t *out)
{
    if (n->axis == JM_AXIS_T)
        return jm_add_size(p->lim.max_context, 1, out);
    return jm_mul_size(p->lim.max_side, n->grid ? n->grid : 1, out);
}

static bool same_rope(const struct jm_node *a, const struct jm_node *b)
{
    uint32_t ga = a->grid ? a->grid : 1, gb = b->grid ? b->grid : 1;
    return a->op == JM_OP_ROPE_PART && a->part == b->part && ga == gb &&
           (a->axis == JM_AXIS_T) == (b->axis == JM_AXIS_T) &&
           memcmp(&a->rope_base, &b->rope_base, sizeof a->rope_base) == 0;
}

/* cos and sin of position * base^(-2 i / part); one table for all nodes that are alike. */
static jm_status rope_table(jm_plan *p, uint32_t step, jm_err *err)
{
    const struct jm_node *n = &p->steps[step].node;
    size_t positions;
    for (uint32_t i = 0; i < step; i++) {
        if (same_rope(&p->steps[i].node, n)) {
            p->steps[step].rope = p->steps[i].rope;
            return JM_OK;
        }
    }
    float *t = NULL;
    if (rope_positions(p, n, &positions))
        t = jm_cpu_take(p, positions, n->part, sizeof *t);
    if (!t)
        return no_memory(err, "rope tables");
    for (size_t pos = 0; pos < positions; pos++) {
        for (uint32_t i = 0; i < n->part / 2; i++) {
            double angle = (double)pos * pow(n->rope_base, -2.0 * i / n->part);
            t[pos * n->part + i] = (float)cos(angle);
            t[pos * n->part + n->part / 2 + i] = (float)sin(angle);
        }
    }
    p->steps[step].rope = t;
    return JM_OK;
}

/* The caches of the attention that fills them, and work space for all runs of a batch. */
static jm_status prepare_attend(jm_plan *p, struct jm_step *s, jm_err *err)
{
    size_t width = (size_t)s->node.n_kv_heads * s->node.head_dim, rows;
    for (struct jm_step *f = p->steps; f < s; f++) {
        if (f->node.op == JM_OP_ATTENTION && f->node.cache == s->node.cache) {
            s->k_cache = f->k_cache;
            s->v_cache = f->v_cache;
            s->k_scale = f->k_scale;
            s->v_scale = f->v_scale;
        }
    }
    if (!p->lim.max_runs || p->lim.max_runs > p->lim.max_rows)
        return jm_fail(err, JM_EUSAGE, "plan: %u runs of %u rows; there must be 1 to as many",
                       p->lim.max_runs, p->lim.max_rows);
    if (width <= p->run_width)
        return JM_OK;
    if (!jm_mul_size(p->lim.max_runs, (size_t)p->lim.max_context + PAD - 1, &rows) ||
        !jm_add_size(rows, p->lim.max_rows, &rows))
        return no_memory(err, "runs");
    p->run_width = width;
    p->run_k = jm_cpu_take(p, rows, width, sizeof *p->run_k);
    p->run_v = jm_cpu_take(p, rows, width, sizeof *p->run_v);
    return p->run_k && p->run_v ? JM_OK : no_memory(err, "the keys and values of runs");
}

static jm_status prepare_runs(jm_plan *p, jm_err *err)
{
    if (!p->run_of)
        p->run_of = jm_cpu_take(p, p->lim.max_rows, sizeof *p->run_of, 1);
    if (!p->run_at)
        p->run_at = jm_cpu_take(p, p->lim.max_rows, sizeof *p->run_at, 1);
    return p->run_of && p->run_at ? JM_OK : no_memory(err, "runs");
}

jm_status jm_cpu_picture_prepare(jm_plan *p, uint32_t step, jm_err *err)
{
    struct jm_step *s = &p->steps[step];
    switch (s->node.op) {
    case JM_OP_RMS_NORM:
    case JM_OP_NORM_PART:
        return decode_vector(p, &s->node.w, err);
    case JM_OP_LINEAR:
        return s->node.bias.data ? decode_vector(p, &s->node.bias, err) : JM_OK;
    case JM_OP_ROPE_PART:
        return rope_table(p, step, err);
    case JM_OP_ATTEND_RUN: {
        jm_status st = prepare_runs(p, err);
        return st == JM_OK ? prepare_attend(p, s, err) : st;
    }
    case JM_OP_ADD_RUN:
        return prepare_runs(p, err);
    default:
        return JM_OK;
    }
}

/* Scores of some heads over a prefix and a run, and the queries and results of a task. */
size_t jm_cpu_picture_scratch(const jm_plan *p)
{
    size_t most = 0,
           scores = JM_ATTEND_HEADS * ((size_t)p->lim.max_context + p->lim.max_rows + PAD);
    for (uint32_t i = 0; i < p->n_steps; i++) {
        const struct jm_node *n = &p->steps[i].node;
        size_t rows = 2 * (size_t)ATTEND_ROWS * (n->n_kv_heads ? n->cols / n->n_kv_heads : 0);
        if (n->op == JM_OP_ATTEND_RUN && scores + rows > most)
            most = scores + rows;
    }
    return most;
}

/* ---- checking a batch ---- */

static jm_status check_inputs(const jm_plan *p, const struct jm_batch *in, jm_err *err)
{
    for (uint32_t i = 0; i < p->n_steps; i++) {
        const struct jm_node *n = &p->steps[i].node;
        if (n->entry != in->entry)
            continue;
        if (n->op == JM_OP_INPUT && !in->input[n->number])
            return jm_fail(err, JM_EUSAGE, "batch: input %u is missing", n->number);
        if (n->op == JM_OP_EMBED && !in->token)
            return jm_fail(err, JM_EUSAGE, "batch: no tokens");
        if (n->op == JM_OP_ROPE_PART && n->axis != JM_AXIS_T &&
            !(n->axis == JM_AXIS_H ? in->pos_h : in->pos_w))
            return jm_fail(err, JM_EUSAGE, "batch: no positions on a picture's axis");
        if ((n->rows == JM_ROWS_RUN || n->op == JM_OP_ATTEND_RUN) && in->n_runs == 0)
            return jm_fail(err, JM_EUSAGE, "batch: no runs");
        if ((n->op == JM_OP_ATTENTION || n->op == JM_OP_ROPE) && in->n_runs > 0)
            return jm_fail(err, JM_EUSAGE, "batch: entry %u takes no runs", in->entry);
    }
    return JM_OK;
}

static jm_status check_sides(const jm_plan *p, const struct jm_batch *in, jm_err *err)
{
    for (uint32_t r = 0; r < in->n_rows; r++) {
        if ((in->pos_h && in->pos_h[r] >= p->lim.max_side) ||
            (in->pos_w && in->pos_w[r] >= p->lim.max_side))
            return jm_fail(err, JM_EUSAGE, "batch: row %u stands outside a picture of %u cells", r,
                           p->lim.max_side);
    }
    return JM_OK;
}

jm_status jm_cpu_picture_check(const jm_plan *p, const struct jm_batch *in, jm_err *err)
{
    if (in->entry >= p->n_entries)
        return jm_fail(err, JM_EUSAGE, "batch: entry %u does not exist", in->entry);
    jm_status st = check_inputs(p, in, err);
    if (st == JM_OK)
        st = check_sides(p, in, err);
    if (st != JM_OK || in->n_runs == 0)
        return st;
    if (in->n_runs > p->lim.max_runs || in->run[0] != 0)
        return jm_fail(err, JM_EUSAGE, "batch: %u runs from row %u; the plan takes 1 to %u from 0",
                       in->n_runs, in->run[0], p->lim.max_runs);
    for (uint32_t i = 0; i < in->n_runs; i++) {
        uint32_t from = in->run[i], to = i + 1 < in->n_runs ? in->run[i + 1] : in->n_rows;
        if (from >= to || to > in->n_rows)
            return jm_fail(err, JM_EUSAGE, "batch: run %u has rows %u to %u", i, from, to);
        for (uint32_t r = from; r < to; r++) {
            if (in->slot[r] != in->slot[from] || in->pos[r] != in->pos[from])
                return jm_fail(err, JM_EUSAGE, "batch: row %u is not like its run", r);
        }
    }
    return JM_OK;
}

void jm_cpu_picture_begin(jm_plan *p)
{
    const struct jm_batch *b = p->batch;
    size_t at = 0;
    for (uint32_t i = 0; p->run_of && i < b->n_runs; i++) {
        uint32_t from = b->run[i], to = i + 1 < b->n_runs ? b->run[i + 1] : b->n_rows;
        p->run_at[i] = at;
        at += ((size_t)b->pos[from] + (to - from) + PAD - 1) / PAD * PAD;
        for (uint32_t r = from; r < to; r++)
            p->run_of[r] = i;
    }
}

/* ---- running ---- */

/* x may be y: see take_over in compile.c. */
static void copy_row(const struct jm_node *n, const float *x, float *y)
{
    if (x != y)
        memcpy(y, x, n->cols * sizeof *y);
}

static void norm_part_row(const jm_plan *p, const struct jm_node *n, const float *x, float *y)
{
    copy_row(n, x, y);
    for (uint32_t at = n->at; at < n->cols; at += n->head_dim)
        p->dev->kernels->rms_norm(x + at, n->w.data, n->eps, y + at, n->part);
}

/* Pairs (2i, 2i + 1). turn: cos [part / 2], then sin [part / 2]. */
static void rope_interleaved(const float *x, const float *turn, uint32_t part, float *y)
{
    for (uint32_t i = 0; i < part / 2; i++) {
        float a = x[2 * i], b = x[2 * i + 1], c = turn[i], s = turn[part / 2 + i];
        y[2 * i] = a * c - b * s;
        y[2 * i + 1] = a * s + b * c;
    }
}

static void rope_part_row(const jm_plan *p, const struct jm_step *s, uint32_t r, const float *x,
                          float *y)
{
    const struct jm_node *n = &s->node;
    const uint32_t *axis = n->axis == JM_AXIS_T   ? p->batch->pos
                           : n->axis == JM_AXIS_H ? p->batch->pos_h
                                                  : p->batch->pos_w;
    copy_row(n, x, y);
    for (uint32_t j = 0; j < n->cols / n->head_dim; j++) {
        size_t at = (size_t)j * n->head_dim + n->at, pos = axis[r];
        if (n->grid)
            pos = pos * n->grid + (n->axis == JM_AXIS_H ? j / n->grid : j % n->grid);
        if (n->interleaved)
            rope_interleaved(x + at, s->rope + pos * n->part, n->part, y + at);
        else
            p->dev->kernels->rope(x + at, s->rope + pos * n->part, n->part, y + at);
    }
}

static void silu_row(const float *x, float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (float)(x[i] / (1.0 + exp(-(double)x[i])));
}

static void transpose_row(uint32_t cols, uint32_t inner, const float *x, float *y)
{
    uint32_t outer = cols / inner;
    for (uint32_t o = 0; o < outer; o++) {
        for (uint32_t i = 0; i < inner; i++)
            y[i * outer + o] = x[o * inner + i];
    }
}

static void run_row(const jm_plan *p, const struct jm_step *s, uint32_t r)
{
    const struct jm_node *n = &s->node;
    size_t cols = n->cols;
    float *y = s->out.f + r * cols;
    const float *x = n->op == JM_OP_INPUT ? p->batch->input[n->number] + r * cols
                                          : p->steps[n->in[0]].out.f + r * cols;
    switch (n->op) {
    case JM_OP_INPUT:
        memcpy(y, x, cols * sizeof *y);
        break;
    case JM_OP_NORM_PART:
        norm_part_row(p, n, x, y);
        break;
    case JM_OP_ROPE_PART:
        rope_part_row(p, s, r, x, y);
        break;
    case JM_OP_SILU:
        silu_row(x, y, cols);
        break;
    case JM_OP_GELU:
        p->dev->kernels->gelu(x, y, cols);
        break;
    case JM_OP_ADD_RUN: {
        const float *each = p->steps[n->in[1]].out.f + p->run_of[r] * cols;
        p->dev->kernels->add(x, each, y, cols);
        break;
    }
    default:
        transpose_row(n->cols, n->part, x, y);
        break;
    }
}

/* Where run i's rows begin and end. */
static uint32_t run_end(const struct jm_batch *b, uint32_t i)
{
    return i + 1 < b->n_runs ? b->run[i + 1] : b->n_rows;
}

/* A run's keys and values in the work space. */
struct run {
    uint32_t first, rows, prefix, slot; /* of the batch; positions of the slot it sees */
    size_t at;                          /* where it begins, in floats */
    size_t head;                        /* floats a head */
};

static struct run run_at(const jm_plan *p, const struct jm_node *n, uint32_t i)
{
    const struct jm_batch *b = p->batch;
    struct run u = { .first = b->run[i], .rows = run_end(b, i) - b->run[i] };
    u.prefix = b->pos[u.first];
    u.slot = b->slot[u.first];
    u.at = p->run_at[i] * n->n_kv_heads * n->head_dim;
    u.head = ((size_t)u.prefix + u.rows + PAD - 1) / PAD * PAD * n->head_dim;
    return u;
}

/* The first positions of a head in a Q8_0 cache, as f32: keys as those of F32 lie, and values. */
static void decode8(const struct jm_kv8 *c, uint32_t positions, uint32_t dim, uint32_t block,
                    float *k, float *v)
{
    for (uint32_t pos = 0; pos < positions; pos++) {
        float *kp = k + (size_t)(pos / block) * block * dim + pos % block;
        float *vp = v + (size_t)pos * dim;
        const int8_t *levels = c->v + (size_t)pos * dim;
        const uint16_t *scales = c->dv + (size_t)pos * (dim / 32);
        for (uint32_t i = 0; i < dim; i++) {
            float dk = jm_f16_to_f32(c->dk[jm_kv8_scale(pos, i / 32, dim, block)]);
            kp[(size_t)i * block] = dk * (float)c->k[jm_kv8_level(pos, i, dim, block)];
            vp[i] = jm_f16_to_f32(scales[i / 32]) * (float)levels[i];
        }
    }
}

/* n keys or values of a cache from number `at` on, as f32. */
static void copy_cache(const jm_plan *p, const void *cache, size_t at, float *to, size_t n)
{
    if (p->lim.kv_format == JM_F16)
        p->dev->kernels->from_half((const uint16_t *)cache + at, to, (uint32_t)n);
    else
        memcpy(to, (const float *)cache + at, n * sizeof *to);
}

/* One head: the prefix is copied in whole blocks of keys; rows overwrite what is too much. */
static void lay_out_head(const jm_plan *p, const struct jm_step *s, const struct run *u, uint32_t h)
{
    const struct jm_node *n = &s->node;
    uint32_t dim = n->head_dim, block = p->dev->kernels->k_block;
    size_t from = ((size_t)u->slot * n->n_kv_heads + h) * p->head_positions * dim;
    size_t width = (size_t)n->n_kv_heads * dim, blocks = ((size_t)u->prefix + block - 1) / block;
    float *kr = p->run_k + u->at + h * u->head, *vr = p->run_v + u->at + h * u->head;
    const float *k = p->steps[n->in[1]].out.f + u->first * width + (size_t)h * dim;
    const float *v = p->steps[n->in[2]].out.f + u->first * width + (size_t)h * dim;
    if (p->lim.kv_format == JM_Q8_0) {
        struct jm_kv8 c = jm_cpu_kv8(s, from);
        decode8(&c, u->prefix, dim, block, kr, vr);
    } else {
        copy_cache(p, s->k_cache, from, kr, blocks * block * dim);
        copy_cache(p, s->v_cache, from, vr, (size_t)u->prefix * dim);
    }
    for (uint32_t r = 0; r < u->rows; r++) {
        size_t pos = (size_t)u->prefix + r;
        float *kp = kr + pos / block * block * dim + pos % block;
        for (uint32_t i = 0; i < dim; i++)
            kp[(size_t)i * block] = k[r * width + i];
        memcpy(vr + pos * dim, v + r * width, dim * sizeof *vr);
    }
}

/* Up to ATTEND_ROWS rows of a run and the heads that share one of keys and values, laid side by
 * side so that the kernel has many heads for each key it reads. Rows are counted from the run's
 * first, so that its result does not depend on its neighbours. */
static void attend_task(jm_plan *p, struct jm_step *s, const struct run *u, uint32_t row,
                        uint32_t h, uint32_t m)
{
    const struct jm_node *n = &s->node;
    uint32_t rows = u->rows - row < ATTEND_ROWS ? u->rows - row : ATTEND_ROWS;
    uint32_t per_kv = n->n_heads / n->n_kv_heads, dim = n->head_dim, seen = u->prefix + u->rows;
    size_t wide = (size_t)per_kv * dim, at = (size_t)(u->first + row) * n->cols + h * wide;
    float *q = p->scratch[m], *out = q + ATTEND_ROWS * wide, *scores = out + ATTEND_ROWS * wide;
    for (uint32_t r = 0; r < rows; r++)
        memcpy(q + r * wide, p->steps[n->in[0]].out.f + at + (size_t)r * n->cols, wide * sizeof *q);
    p->dev->kernels->attend(q, rows * per_kv, p->run_k + u->at + h * u->head,
                            p->run_v + u->at + h * u->head, dim, seen, n->scale, scores, out);
    for (uint32_t r = 0; r < rows; r++)
        memcpy(s->out.f + at + (size_t)r * n->cols, out + r * wide, wide * sizeof *q);
}

/* Whether a thread does the next task of those that all share, or of its own. */
static bool takes(const jm_plan *p, struct jm_cpu_runs runs, uint32_t *task, uint32_t m)
{
    return runs.alone || (*task)++ % jm_team_size(p->dev->team) == m;
}

static void run_attend(jm_plan *p, struct jm_step *s, struct jm_cpu_runs runs, uint32_t m)
{
    const struct jm_node *n = &s->node;
    uint32_t task = 0;
    if (!runs.alone)
        runs = (struct jm_cpu_runs){ .to = p->batch->n_runs };
    for (uint32_t i = runs.from; i < runs.to; i++) {
        const struct run u = run_at(p, n, i);
        for (uint32_t h = 0; h < n->n_kv_heads; h++) {
            if (takes(p, runs, &task, m))
                lay_out_head(p, s, &u, h);
        }
    }
    if (!runs.alone)
        jm_cpu_meet(p, m, (struct jm_ahead){ 0 });
    task = 0;
    for (uint32_t i = runs.from; i < runs.to; i++) {
        const struct run u = run_at(p, n, i);
        for (uint32_t h = 0; h < n->n_kv_heads; h++) {
            for (uint32_t row = 0; row < u.rows; row += ATTEND_ROWS) {
                if (takes(p, runs, &task, m))
                    attend_task(p, s, &u, row, h, m);
            }
        }
    }
}

bool jm_cpu_picture_runs(const struct jm_step *s)
{
    return s->node.op >= JM_OP_INPUT;
}

void jm_cpu_picture_run(jm_plan *p, struct jm_step *s, uint32_t from, uint32_t to,
                        struct jm_cpu_runs runs, uint32_t m)
{
    if (s->node.op == JM_OP_ATTEND_RUN) {
        run_attend(p, s, runs, m);
        return;
    }
    for (uint32_t r = from; r < to; r++) {
        run_row(p, s, r);
        jm_cpu_quantise_part(p, s, r, 0, s->node.cols);
    }
}

void jm_cpu_add_bias(const struct jm_step *s, float *y, uint32_t rows, uint32_t from, uint32_t to)
{
    const float *bias = s->node.bias.data;
    uint32_t n = s->node.w.rows;
    for (uint32_t r = 0; bias && r < rows; r++, y += n) {
        for (uint32_t o = from; o < to; o++)
            y[o] += bias[o];
    }
}
