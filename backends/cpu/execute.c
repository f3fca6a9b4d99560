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
/* Dealing pays where each thread multiplies with so many weights between two meetings, rows times
 * weights: it costs a microsecond, and units slow a kernel by some more. */
enum { LEAST_COST = 1 << 20 };

struct share {
    uint32_t from, to;
};

/* What one thread does of a batch. */
struct part {
    uint32_t m;
    bool alone; /* its rows are whole sequences or runs, and it makes all columns of them */
    struct share share[3]; /* alone: its rows, by enum jm_rows */
    struct jm_span span;   /* of the stretch under way: what it does now */
};

static const struct jm_cut *cut_of(const jm_plan *p, const struct jm_step *s)
{
    return &s->cut[p->one_row];
}

/* Row r of a step that has one for each gathered row: its row in the batch. */
static uint32_t batch_row(const jm_plan *p, const struct jm_step *s, uint32_t r)
{
    return s->node.rows == JM_ROWS_GATHERED ? p->batch->gather[r] : r;
}

static uint32_t rows_of_kind(enum jm_rows kind, const struct jm_batch *b)
{
    return kind == JM_ROWS_GATHERED ? b->n_gather : kind == JM_ROWS_RUN ? b->n_runs : b->n_rows;
}

static uint32_t rows_of(const struct jm_step *s, const struct jm_batch *b)
{
    return rows_of_kind(s->node.rows, b);
}

/* What a thread does of a stretch that is not dealt, and begins with of one that is. */
static struct jm_span own_span(const jm_plan *p, uint32_t m, bool alone)
{
    return alone ? (struct jm_span){ .to = 1, .of = 1 }
                 : (struct jm_span){ .from = m, .to = m + 1, .of = jm_team_size(p->dev->team) };
}

/* That part of n things; parts differ by one at most. */
static struct share share_of(uint32_t n, struct jm_span s)
{
    return (struct share){ .from = (uint32_t)((uint64_t)n * s.from / s.of),
                           .to = (uint32_t)((uint64_t)n * s.to / s.of) };
}

/* Its columns of a linear's result. */
static struct share columns_of(uint32_t cols, struct jm_span s)
{
    return (struct share){ .from = jm_cpu_first_column(cols, s.from, s.of),
                           .to = jm_cpu_first_column(cols, s.to, s.of) };
}

/* The groups of these outputs. */
static struct share groups_of(const struct jm_packed *w, struct jm_span s)
{
    return (struct share){ .from = jm_cpu_first_group(w, s.from, s.of),
                           .to = jm_cpu_first_group(w, s.to, s.of) };
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
        struct share g = groups_of(&l->w, own_span(p, w->m, false));
        size_t bytes = (g.to - g.from) * l->w.group_bytes;
        ahead = (struct jm_ahead){ .data = l->w.data + g.from * l->w.group_bytes,
                                   .bytes = bytes < AHEAD_BYTES ? bytes : AHEAD_BYTES };
    }
    jm_cpu_meet(p, w->m, ahead);
}

/* The integers of n values that stand at y as f32. */
static void round_values(const struct jm_cpu_kernels *k, const struct jm_step *s,
                         const struct jm_forms *y, uint32_t n)
{
    if (y->q)
        (s->sums ? k->quantise64 : k->quantise)(y->f, n, y->q, y->d, y->sum);
    if (y->table)
        k->tables(y->q, n, y->table);
    if (y->dsum)
        jm_cpu_sums(y->q, y->d, y->sum, n, y->dsum, y->sum16);
    if (y->q16)
        k->quantise16(y->f, n, y->q16, y->d16);
}

void jm_cpu_quantise_part(jm_plan *p, struct jm_step *s, uint32_t r, uint32_t from, uint32_t to)
{
    struct jm_forms y = jm_cpu_forms_at(p, s, (size_t)r * s->node.cols + from);
    round_values(p->dev->kernels, s, &y, to - from);
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

static void *moved(void *p, size_t bytes)
{
    return p ? (char *)p + bytes : NULL;
}

/* Row r of a step's result from a column on, where member m makes it and finds it. */
static struct jm_forms row_at(const jm_plan *p, const struct jm_step *s, uint32_t m, size_t r,
                              size_t column)
{
    if (!p->one_row || !s->copied)
        return jm_cpu_forms_at(p, s, r * s->node.cols + column);
    const struct jm_forms *c = &s->copy;
    size_t at = m * s->copy_bytes;
    struct jm_forms own = { .f = moved(c->f, at),
                            .q = moved(c->q, at),
                            .d = moved(c->d, at),
                            .sum = moved(c->sum, at),
                            .dsum = moved(c->dsum, at),
                            .sum16 = moved(c->sum16, at),
                            .q16 = moved(c->q16, at),
                            .d16 = moved(c->d16, at),
                            .table = moved(c->table, at) };
    return jm_forms_at(&own, column);
}

/* n values of a norm or of SwiGLU of which only integers are read. row: this thread's, for a set
 * that makes them one after the other. */
static void make_rounded(const struct jm_cpu_kernels *k, const struct jm_step *s, const float *x,
                         const float *x2, struct jm_forms *y, uint32_t cols, float *row)
{
    const struct jm_node *n = &s->node;
    bool norm = n->op == JM_OP_RMS_NORM;
    if (norm && k->norm_round) {
        k->norm_round(x, n->w.data, n->eps, cols, y);
    } else if (!norm && k->swiglu_round) {
        k->swiglu_round(x, x2, cols, y);
    } else {
        y->f = row;
        if (norm)
            k->rms_norm(x, n->w.data, n->eps, row, cols);
        else
            k->swiglu(x, x2, row, cols);
        round_values(k, s, y, cols);
    }
}

/* Columns c of row r, of a step whose rows are independent. x, x2, y: from the first of them on. */
static void make_values(const jm_plan *p, const struct jm_step *s, uint32_t r, struct share c,
                        const float *x, const float *x2, float *y)
{
    const struct jm_node *n = &s->node;
    const struct jm_cpu_kernels *k = p->dev->kernels;
    const uint32_t cols = c.to - c.from;
    switch (n->op) {
    case JM_OP_EMBED:
        embed(p, n, p->batch->token[r], y);
        break;
    case JM_OP_RMS_NORM:
        for (uint32_t at = 0; at < cols; at += n->part)
            k->rms_norm(x + at, n->w.data, n->eps, y + at, n->part);
        break;
    case JM_OP_ROPE:
        for (uint32_t at = 0; at < cols; at += n->head_dim)
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
        memcpy(y, x, cols * sizeof *y);
        break;
    case JM_OP_ARGMAX:
        *(int32_t *)(void *)y = k->argmax(x, p->steps[n->in[0]].node.cols);
        break;
    default:
        break;
    }
}

static void make_row(jm_plan *p, struct jm_step *s, const struct part *w, uint32_t r,
                     struct share c)
{
    const struct jm_node *n = &s->node;
    const float *x[2] = { NULL };
    uint32_t from = n->op == JM_OP_GATHER_ROWS ? p->batch->gather[r] : r;
    for (uint32_t k = 0; k < n->n_in; k++)
        x[k] = row_at(p, &p->steps[n->in[k]], w->m, from, c.from).f;
    struct jm_forms y = row_at(p, s, w->m, r, c.from);
    if (s->rounded) {
        make_rounded(p->dev->kernels, s, x[0], x[1], &y, c.to - c.from, p->scratch[w->m]);
    } else {
        make_values(p, s, r, c, x[0], x[1], y.f);
        round_values(p->dev->kernels, s, &y, c.to - c.from);
    }
}

/* The rows of a step by rows that a thread makes. */
static struct share rows_for(const jm_plan *p, const struct jm_step *s, const struct part *w)
{
    return w->alone ? w->share[s->node.rows] : share_of(rows_of(s, p->batch), w->span);
}

/* All rows of which a thread makes some columns. */
static struct share column_rows(const jm_plan *p, const struct jm_step *s, const struct part *w)
{
    return w->alone ? w->share[s->node.rows]
                    : (struct share){ .from = 0, .to = rows_of(s, p->batch) };
}

/* A thread's part of a step whose rows are independent. */
static void run_rows(jm_plan *p, struct jm_step *s, const struct part *w)
{
    bool whole = !cut_of(p, s)->by_columns;
    struct share c =
        whole ? (struct share){ .to = s->node.cols } : columns_of(s->node.cols, w->span);
    struct share rows =
        whole && !(p->one_row && s->copied) ? rows_for(p, s, w) : column_rows(p, s, w);
    for (uint32_t r = rows.from; r < rows.to && c.from < c.to; r++)
        make_row(p, s, w, r, c);
}

static void run_linear(jm_plan *p, struct jm_step *s, const struct part *w)
{
    const struct jm_node *n = &s->node;
    struct share c = columns_of(n->w.rows, w->span), rows = column_rows(p, s, w);
    struct share g = groups_of(&s->w, w->span);
    uint32_t many = (rows.to - rows.from) * n->times; /* inputs stand side by side in a row */
    const struct jm_forms in = row_at(p, &p->steps[n->in[0]], w->m, rows.from, 0);
    const struct jm_acts x = { .f = in.f,
                               .q = in.q,
                               .d = in.d,
                               .sum = in.sum,
                               .dsum = in.dsum,
                               .sum16 = in.sum16,
                               .q16 = in.q16,
                               .d16 = in.d16,
                               .table = in.table,
                               .cols = n->w.cols };
    float *y = s->out.f + (size_t)rows.from * n->times * n->w.rows;
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

/* Compilers leave out calls of a function that does nothing else: to them it has no effect. */
static void prefetch(const void *at, size_t bytes)
{
    __asm__ volatile("" ::: "memory");
    for (size_t i = 0; i < bytes; i += 64)
        __builtin_prefetch((const char *)at + i);
}

/* Where the keys and values of a head begin in the caches: row r of the batch, head h. */
static size_t head_at(const jm_plan *p, const struct jm_node *n, uint32_t r, uint32_t h)
{
    return ((size_t)p->batch->slot[r] * n->n_kv_heads + h) * p->head_positions * n->head_dim;
}

/* Keys and values of a task to come, so that they arrive while another is worked on: those of many
 * sequences do not stay in the cache next to the core. Keys of a block lie among each other. */
static void prefetch_head(const jm_plan *p, const struct jm_step *s, size_t at, uint32_t seen)
{
    size_t each = jm_cpu_kv_bytes(p), block = p->dev->kernels->k_block,
           v = (size_t)seen * s->node.head_dim,
           k = (seen + block - 1) / block * block * s->node.head_dim;
    if (v * each > PREFETCH_BYTES)
        return;
    prefetch((const char *)s->k_cache + at * each, k * each);
    prefetch((const char *)s->v_cache + at * each, v * each);
    if (p->lim.kv_format == JM_Q8_0) {
        prefetch(s->k_scale + at / BLOCK, k / BLOCK * sizeof *s->k_scale);
        prefetch(s->v_scale + at / BLOCK, v / BLOCK * sizeof *s->v_scale);
    }
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

/* Keys and values of some rows, of some heads. */
static void append_rows(const jm_plan *p, const struct jm_step *s, struct share rows,
                        struct share h)
{
    const struct jm_node *n = &s->node;
    const struct jm_batch *b = p->batch;
    const float *k = p->steps[n->in[1]].out.f, *v = p->steps[n->in[2]].out.f;
    for (uint32_t r = rows.from; r < rows.to; r++) {
        for (uint32_t i = h.from; i < h.to; i++) {
            size_t at = ((size_t)r * n->n_kv_heads + i) * n->head_dim;
            append(p, s, (size_t)b->slot[r] * n->n_kv_heads + i, b->pos[r], k + at, v + at);
        }
    }
}

/* Whether a thread attends with no keys and values but those that it appends itself. */
static bool attends_own(const jm_plan *p, const struct jm_step *s, const struct part *w)
{
    return w->alone || cut_of(p, s)->by_columns;
}

/* Asks for what the next task, (row, head), reads, unless the one before it has. */
static void prefetch_task(const jm_plan *p, const struct jm_step *s, uint32_t row, uint32_t head,
                          uint32_t row_before, uint32_t head_before)
{
    const struct jm_batch *b = p->batch;
    if (head != head_before || b->slot[row] != b->slot[row_before])
        prefetch_head(p, s, head_at(p, &s->node, row, head), b->pos[row] + 1);
}

/* Every (key/value head, row) is a task of its own. Who attends their own append a row's keys and
 * values just before, while what they join is at hand: a row sees none of a later one. Else all
 * threads have met since. */
static void run_attention(jm_plan *p, struct jm_step *s, const struct part *w)
{
    const struct jm_node *n = &s->node;
    const uint32_t kv = n->n_kv_heads, wide = n->n_heads / kv * n->head_dim;
    const struct share rows = column_rows(p, s, w), none = { 0 },
                       all = w->alone ? w->share[JM_ROWS_ALL]
                                      : (struct share){ .to = p->batch->n_rows },
                       own = attends_own(p, s, w) ? all : none;
    const uint32_t many = rows.to - rows.from;
    const struct share tasks = share_of(many * kv, w->span);
    struct share left = own; /* of the head under way */
    if (many == 0)
        append_rows(p, s, own, share_of(kv, w->span));
    for (uint32_t t = tasks.from; t < tasks.to; t++) {
        const uint32_t r = rows.from + t % many, h = t / many, row = batch_row(p, s, r);
        const size_t at = ((size_t)r * kv + h) * wide;
        const bool last = (t + 1) % many == 0; /* of its head */
        if (t + 1 < tasks.to)
            prefetch_task(p, s, batch_row(p, s, rows.from + (t + 1) % many), (t + 1) / many, row,
                          h);
        if (last || (left.from <= row && row < left.to)) {
            const struct share now = { .from = left.from, .to = last ? left.to : row + 1 };
            append_rows(p, s, now, (struct share){ .from = h, .to = h + 1 });
            left.from = last ? own.from : now.to;
        }
        attend(p, s, row, h, p->steps[n->in[0]].out.f + at, p->scratch[w->m], s->out.f + at);
        if (wide % JM_ROUNDED_TOGETHER == 0)
            jm_cpu_quantise_part(p, s, r, h * wide, (h + 1) * wide);
    }
}

/* Results whose threads did not make whole blocks are quantised once all of it is there. */
static void quantise_late(jm_plan *p, struct jm_step *s, const struct part *w)
{
    bool last = s == p->steps + p->n_steps - 1;
    if (!jm_cpu_quantises_late(s))
        return;
    meet(p, last ? s : s + 1, w);
    struct share rows = rows_for(p, s, w);
    for (uint32_t r = rows.from; r < rows.to; r++)
        jm_cpu_quantise_part(p, s, r, 0, s->node.cols);
    if (p->profile)
        jm_cpu_profile_step(p, (uint32_t)(s - p->steps), w->m);
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
    struct part w = { .m = m, .alone = p->by_rows, .span = own_span(p, m, p->by_rows) };
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

/* Steps [first, end), as much of them as a thread does now. */
static void run_span(jm_plan *p, uint32_t first, uint32_t end, const struct part *w)
{
    for (uint32_t i = first; i < end; i++) {
        struct jm_step *s = &p->steps[i];
        if (s->node.op == JM_OP_LINEAR) {
            run_linear(p, s, w);
        } else if (s->node.op == JM_OP_ATTENTION) {
            run_attention(p, s, w);
        } else if (jm_cpu_picture_runs(s)) {
            struct share rows = rows_for(p, s, w);
            jm_cpu_picture_run(p, s, rows.from, rows.to, runs_for(w), w->m);
        } else {
            run_rows(p, s, w);
        }
        if (p->profile)
            jm_cpu_profile_step(p, i, w->m);
    }
}

/* The stretch that begins with step s, and meetings before and within it. */
static void run_stretch(jm_plan *p, struct jm_step *s, struct part *w)
{
    const struct jm_cut *c = cut_of(p, s);
    const uint32_t first = (uint32_t)(s - p->steps), members = jm_team_size(p->dev->team);
    const uint64_t cost = c->cost * rows_of(s, p->batch);
    if (c->meet_before)
        meet(p, s, w);
    if (s->node.op == JM_OP_ATTENTION && !attends_own(p, s, w)) {
        append_rows(p, s, share_of(p->batch->n_rows, w->span),
                    (struct share){ .to = s->node.n_kv_heads });
        meet(p, s, w);
    }
    if (w->alone || c->each == 1 || cost / members < LEAST_COST) {
        run_span(p, first, c->end, w);
    } else {
        while (jm_units_take(p->units, p->work + first, w->m, members, c->each, &w->span))
            run_span(p, first, c->end, w);
        w->span = own_span(p, w->m, w->alone);
    }
    quantise_late(p, &p->steps[c->end - 1], w);
}

static void run_member(void *arg, uint32_t m)
{
    jm_plan *p = arg;
    struct part w = part_of(p, m);
    if (p->profile)
        jm_cpu_profile_begin(p, m);
    for (uint32_t i = 0; i < p->n_steps; i = cut_of(p, &p->steps[i])->end) {
        if (p->steps[i].node.entry == p->batch->entry)
            run_stretch(p, &p->steps[i], &w);
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
    p->one_row = !p->by_rows && in->n_rows == 1;
    p->work += p->n_steps;
    p->given = in;
    p->batch = p->by_rows ? &p->deal.batch : in;
    for (enum jm_rows kind = JM_ROWS_ALL; kind <= JM_ROWS_RUN; kind++)
        p->few[kind] = !p->by_rows && rows_of_kind(kind, in) <= JM_TABLE_ROWS;
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
        memcpy((char *)dst + r * row, (const char *)s->out.f + from * row, row);
    }
    return JM_OK;
}
