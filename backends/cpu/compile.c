/* SPDX-License-Identifier: Apache-2.0 */
/* Compiling: weights repacked, buffers and caches taken. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/picture.h"
#include "backends/cpu/plan.h"
#include "backends/cpu/profile.h"
#include "base/checked.h"
#include "base/memory.h"

enum { BLOCK = 32 };

void *jm_cpu_take(jm_plan *p, size_t n, size_t m, size_t each)
{
    size_t a, b;
    return jm_mul_size(n, m, &a) && jm_mul_size(a, each, &b) ? jm_arena_take(&p->memory, b) : NULL;
}

size_t jm_cpu_most_rows(const jm_plan *p, enum jm_rows rows)
{
    return rows == JM_ROWS_GATHERED ? p->lim.max_gather
           : rows == JM_ROWS_RUN    ? p->lim.max_runs
                                    : p->lim.max_rows;
}

/* What a buffer holds of a value, as bits. */
enum { VALUES = 1, ROUNDED = 2, SUMS = 4, ROUNDED16 = 8, TABLES = 16, COPIES = 32 };

/* What linears want besides the values themselves. */
static unsigned integers_of(const struct jm_step *s)
{
    return (s->quantise ? ROUNDED : 0u) | (s->k_sums ? SUMS : 0u) |
           (s->quantise16 ? ROUNDED16 : 0u) | (s->sums ? TABLES : 0u);
}

/* Buffers are reused: one whose last reader lies before the latest meeting is free. Threads that
 * meet nobody are safe too, since each keeps to its own rows; so a buffer holds rows of one kind
 * and one length. */
struct pool {
    struct {
        void *buffer;
        enum jm_rows rows;
        uint32_t cols;
        unsigned forms;      /* what it holds */
        uint32_t free_after; /* last node that touches it; UINT32_MAX: an output, never free */
    } * at;                  /* [n] */
    uint32_t n;
};

/* bytes: of a new one; NULL when there is no room. */
static void *pool_take(struct pool *b, jm_plan *p, const struct jm_step *s, unsigned forms,
                       size_t bytes, uint32_t last_meeting, uint32_t last_use)
{
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->at[i].cols == s->node.cols && b->at[i].rows == s->node.rows &&
            b->at[i].forms == forms && b->at[i].free_after < last_meeting) {
            b->at[i].free_after = last_use;
            return b->at[i].buffer;
        }
    }
    void *m = jm_arena_take(&p->memory, bytes);
    if (!m)
        return NULL;
    b->at[b->n].buffer = m;
    b->at[b->n].cols = s->node.cols;
    b->at[b->n].rows = s->node.rows;
    b->at[b->n].forms = forms;
    b->at[b->n++].free_after = last_use;
    return m;
}

static void find_last_uses(const jm_graph *g, uint32_t *last)
{
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        last[i] = i;
        for (uint32_t k = 0; k < g->nodes[i].n_in; k++)
            last[g->nodes[i].in[k]] = i;
    }
    for (uint32_t i = 0; i < g->n_outputs; i++)
        last[g->outputs[i]] = UINT32_MAX;
}

/* Whether no node but `reader`, the last one, reads value v: another thread might still do so. */
static bool only_reader(const jm_plan *p, uint32_t reader, jm_value v)
{
    for (uint32_t i = v + 1; i < reader; i++) {
        const struct jm_node *n = &p->steps[i].node;
        for (uint32_t k = 0; k < n->n_in; k++) {
            if (n->in[k] == v)
                return false;
        }
    }
    return true;
}

/* What changes heads or parts of them works in its input's own buffer when nobody else reads that:
 * the rest of each row need not be copied, and lines stay in the cache that has them. NULL: it may
 * not. */
static float *take_over(struct pool *b, const jm_plan *p, uint32_t i, const uint32_t *last)
{
    const struct jm_step *s = &p->steps[i], *from = &p->steps[s->node.in[0]];
    const enum jm_op op = s->node.op;
    bool heads = op == JM_OP_NORM_PART || op == JM_OP_ROPE_PART || op == JM_OP_ROPE ||
                 (op == JM_OP_RMS_NORM && s->node.part < s->node.cols);
    if (!heads || last[s->node.in[0]] != i || !only_reader(p, i, s->node.in[0]))
        return NULL;
    for (uint32_t k = 0; k < b->n; k++) {
        if (b->at[k].buffer == from->out.f)
            b->at[k].free_after = last[i];
    }
    return from->out.f;
}

static void *cut(uint8_t *at, size_t *used, size_t bytes)
{
    void *piece = at ? at + *used : NULL;
    *used += (bytes + 63) & ~(size_t)63;
    return piece;
}

/* Lays some forms of n values, rows of so many columns, one behind the other from `at` on; returns
 * their bytes. at NULL: only that. */
static size_t lay_forms(unsigned forms, size_t n, uint32_t cols, uint8_t *at, struct jm_forms *out)
{
    const size_t blocks = n / BLOCK, halves = n / 16, few = (size_t)JM_TABLE_ROWS * cols;
    size_t used = 0;
    if (forms & VALUES)
        out->f = cut(at, &used, n * sizeof *out->f);
    if (forms & ROUNDED) {
        out->q = cut(at, &used, n);
        out->d = cut(at, &used, blocks * sizeof *out->d);
        out->sum = cut(at, &used, blocks * sizeof *out->sum);
    }
    if (forms & SUMS) {
        out->dsum = cut(at, &used, blocks * sizeof *out->dsum);
        out->sum16 = cut(at, &used, halves * sizeof *out->sum16);
    }
    if (forms & ROUNDED16) {
        out->q16 = cut(at, &used, n * sizeof *out->q16);
        out->d16 = cut(at, &used, blocks * sizeof *out->d16);
    }
    if (forms & TABLES)
        out->table = cut(at, &used, jm_table_bytes(n < few ? n : few));
    return used;
}

/* A row for each thread, with a cache line between two. */
static bool take_copies(jm_plan *p, struct jm_step *s, struct pool *pool, uint32_t last_meeting,
                        uint32_t last_use)
{
    const unsigned forms = integers_of(s) | (s->rounded ? 0u : VALUES);
    size_t bytes;
    s->copy_bytes = lay_forms(forms, s->node.cols, s->node.cols, NULL, &s->copy) + 64;
    if (!jm_mul_size(s->copy_bytes, jm_team_size(p->dev->team), &bytes))
        return false;
    uint8_t *at = pool_take(pool, p, s, forms | COPIES, bytes, last_meeting, last_use);
    return at && lay_forms(forms, s->node.cols, s->node.cols, at, &s->copy) > 0;
}

static jm_status take_step(jm_plan *p, uint32_t i, struct pool *pool, uint32_t last_meeting,
                           const uint32_t *last, jm_err *err)
{
    struct jm_step *s = &p->steps[i];
    const unsigned integers = integers_of(s);
    size_t cells, bytes,
        rows = s->node.rows == JM_ROWS_GATHERED
                   ? jm_deal_gathered_rows(jm_team_size(p->dev->team), &p->lim)
                   : jm_cpu_most_rows(p, s->node.rows);
    /* Forms of a value take less than two such buffers more: no sum of sizes overflows below. */
    bool ok = jm_mul_size(rows, s->node.cols, &cells) && cells <= SIZE_MAX / 64 &&
              jm_mul_size(cells, sizeof *s->out.f, &bytes);
    if (ok && !s->rounded && !(s->out.f = take_over(pool, p, i, last)))
        ok = (s->out.f = pool_take(pool, p, s, VALUES, bytes, last_meeting, last[i])) != NULL;
    if (ok && integers) {
        bytes = lay_forms(integers, cells, s->node.cols, NULL, &s->out);
        uint8_t *at = pool_take(pool, p, s, integers, bytes, last_meeting, last[i]);
        ok = at && lay_forms(integers, cells, s->node.cols, at, &s->out) > 0;
    }
    if (ok && s->copied)
        ok = take_copies(p, s, pool, last_meeting, last[i]);
    return ok ? JM_OK
              : jm_fail(err, JM_ENOMEM, "plan: no memory for %zu rows of %u values", rows,
                        s->node.cols);
}

static jm_status take_buffers(jm_plan *p, const jm_graph *g, jm_err *err)
{
    uint32_t n = g->n_nodes, last_meeting = 0;
    uint32_t *last = calloc(n, sizeof *last);
    struct pool pool = { .at = calloc(n, 3 * sizeof *pool.at) };
    jm_status st = JM_OK;
    if (!last || !pool.at)
        st = jm_fail(err, JM_ENOMEM, "plan: out of memory");
    if (st == JM_OK)
        find_last_uses(g, last);
    for (uint32_t i = 0; i < n && st == JM_OK; i++) {
        const struct jm_step *s = &p->steps[i];
        if ((s->cut[0].meet_before && s->cut[1].meet_before) || jm_cpu_starts_entry(p, i))
            last_meeting = i;
        st = take_step(p, i, &pool, last_meeting, last, err);
    }
    free(last);
    free(pool.at);
    return st;
}

/* Angle of pair i: position * base^(-2 i / head_dim). One table for every node that is alike. */
static const float *rope_table(jm_plan *p, uint32_t step)
{
    const struct jm_node *n = &p->steps[step].node;
    for (uint32_t i = 0; i < step; i++) {
        const struct jm_step *s = &p->steps[i];
        if (s->node.op == JM_OP_ROPE && s->node.head_dim == n->head_dim &&
            memcmp(&s->node.rope_base, &n->rope_base, sizeof n->rope_base) == 0)
            return s->rope;
    }
    float *t = jm_cpu_take(p, p->lim.max_context, n->head_dim, sizeof *t);
    for (size_t pos = 0; t && pos < p->lim.max_context; pos++) {
        for (uint32_t i = 0; i < n->head_dim / 2; i++) {
            double angle = (double)pos * pow(n->rope_base, -2.0 * i / n->head_dim);
            t[pos * n->head_dim + i] = (float)cos(angle);
            t[pos * n->head_dim + n->head_dim / 2 + i] = (float)sin(angle);
        }
    }
    return t;
}

static jm_status take_caches(jm_plan *p, struct jm_step *s, jm_err *err)
{
    uint32_t dim = s->node.head_dim;
    size_t n = (size_t)s->node.n_kv_heads * dim, width = n * jm_cpu_kv_bytes(p);
    bool scaled = p->lim.kv_format == JM_Q8_0;
    if (scaled && (dim % BLOCK != 0 || dim > JM_ATTEND8_DIM))
        return jm_fail(err, JM_EUNSUPPORTED,
                       "plan: keys and values in Q8_0 need heads of a multiple of 32 values, at "
                       "most %d, and this model's have %u; use F16",
                       JM_ATTEND8_DIM, dim);
    s->k_cache = jm_cpu_take(p, p->lim.max_slots, p->head_positions, width);
    s->v_cache = jm_cpu_take(p, p->lim.max_slots, p->head_positions, width);
    if (scaled) {
        width = n / BLOCK * sizeof *s->k_scale;
        s->k_scale = jm_cpu_take(p, p->lim.max_slots, p->head_positions, width);
        s->v_scale = jm_cpu_take(p, p->lim.max_slots, p->head_positions, width);
    }
    if (!s->k_cache || !s->v_cache || (scaled && (!s->k_scale || !s->v_scale)))
        return jm_fail(err, JM_ENOMEM,
                       "plan: no memory for %u caches of %u positions; use a smaller batch",
                       p->lim.max_slots, p->lim.max_context);
    return JM_OK;
}

static jm_status take_state(jm_plan *p, uint32_t i, jm_err *err)
{
    struct jm_step *s = &p->steps[i];
    jm_err why = { 0 };
    size_t bytes;
    p->row_cost[s->node.rows] += jm_cpu_row_cost(&s->node);
    switch (s->node.op) {
    case JM_OP_EMBED:
        if (p->vocab == 0 || s->node.w.rows < p->vocab)
            p->vocab = s->node.w.rows;
        return JM_OK;
    case JM_OP_LINEAR:
        if (jm_pack_size(&s->node.w, p->dev->kernels->pack, &s->w, &bytes, &why) != JM_OK)
            return jm_fail(err, why.status, "%s", why.text);
        if (!jm_add_size(p->weight_bytes, bytes, &p->weight_bytes))
            return jm_fail(err, JM_ENOMEM, "plan: the weights do not fit in memory");
        if (jm_packed_is_quantised(&s->w))
            p->steps[s->node.in[0]].quantise = true;
        if (s->w.kind >= JM_PACK_Q4K)
            p->steps[s->node.in[0]].k_sums = true;
        if (s->w.kind == JM_PACK_I16)
            p->steps[s->node.in[0]].quantise16 = true;
        if (s->w.kind == JM_PACK_STQ_SUMS)
            p->steps[s->node.in[0]].sums = true;
        return JM_OK;
    case JM_OP_ROPE:
        s->rope = rope_table(p, i);
        return s->rope ? JM_OK : jm_fail(err, JM_ENOMEM, "plan: no memory for rope tables");
    case JM_OP_ATTENTION:
        return take_caches(p, s, err);
    default:
        return JM_OK;
    }
}

/* For each thread: a row as wide as any, or the scores of a whole context for some heads. */
static jm_status take_scratch(jm_plan *p, jm_err *err)
{
    size_t n = (size_t)JM_ATTEND_HEADS * (p->lim.max_context + 15u),
           threads = jm_team_size(p->dev->team), pictures = jm_cpu_picture_scratch(p);
    n = pictures > n ? pictures : n;
    for (uint32_t i = 0; i < p->n_steps; i++) {
        const struct jm_node *d = &p->steps[i].node;
        size_t wide = d->op == JM_OP_LINEAR ? jm_linear_scratch(d->w.cols) : d->cols;
        n = wide > n ? wide : n;
    }
    p->scratch = jm_cpu_take(p, threads, 1, sizeof *p->scratch);
    for (size_t t = 0; p->scratch && t < threads; t++) {
        if (!(p->scratch[t] = jm_cpu_take(p, n, 1, sizeof(float))))
            p->scratch = NULL;
    }
    size_t deal_bytes = jm_deal_bytes((uint32_t)threads, &p->lim);
    void *deal = deal_bytes ? jm_cpu_take(p, deal_bytes, 1, 1) : NULL;
    p->units = jm_cpu_take(p, jm_units_bytes((uint32_t)threads), 1, 1);
    if (!p->scratch || !deal || !p->units)
        return jm_fail(err, JM_ENOMEM, "plan: no memory for work space");
    jm_deal_place(&p->deal, (uint32_t)threads, &p->lim, deal);
    return JM_OK;
}

/* One block for all weights. */
static jm_status take_weights(jm_plan *p, jm_err *err)
{
    uint8_t *at = NULL;
    if (p->weight_bytes > 0 && !(at = jm_arena_take_alone(&p->memory, p->weight_bytes)))
        return jm_fail(err, JM_ENOMEM, "plan: no memory for %zu MB of weights",
                       p->weight_bytes >> 20);
    for (uint32_t i = 0; i < p->n_steps; i++) {
        struct jm_packed *w = &p->steps[i].w;
        if (p->steps[i].node.op == JM_OP_LINEAR && w->kind != JM_PACK_NONE) {
            w->data = at;
            at += w->group_bytes * w->n_groups;
        }
    }
    return JM_OK;
}

static void touch_member(void *arg, uint32_t m)
{
    jm_plan *p = arg;
    jm_arena_touch(&p->memory, m, jm_team_size(p->dev->team));
}

/* Groups [from, to), in pieces whose pages of the file are given back at once: a file and its
 * packed copy are never in memory together. A page that comes brings others before and behind it
 * along, up to AROUND bytes where the page cache holds large ones: they go again too. */
static void pack_part(struct jm_packed *w, uint32_t from, uint32_t to, float *tmp)
{
    enum { PIECE = 1 << 20, AROUND = 2 << 20 };
    size_t row = jm_format_row_bytes(w->t.format, w->t.cols);
    size_t fit = PIECE / (row * w->group + 1);
    uint32_t step = fit > 0 ? (uint32_t)fit : 1;
    while (from < to) {
        uint32_t end = to - from > step ? from + step : to;
        uint32_t first = from * w->group, last = end < w->n_groups ? end * w->group : w->t.rows;
        const uint8_t *src = (const uint8_t *)w->t.data + first * row;
        if (w->t.mapped)
            jm_pages_want(src, (last - first) * row);
        jm_pack_groups(w, from, end, tmp);
        size_t before = first * row < AROUND ? first * row : AROUND;
        size_t behind = end < to ? 0 : (w->t.rows - last) * row;
        behind = behind < AROUND ? behind : AROUND;
        if (w->t.mapped)
            jm_pages_drop(src - before, before + (last - first) * row + behind);
        from = end;
    }
}

/* Repacks all weights, each thread the groups that it will compute, so that they lie in its own
 * memory where there are several. */
static void pack_member(void *arg, uint32_t m)
{
    jm_plan *p = arg;
    uint32_t members = jm_team_size(p->dev->team);
    for (uint32_t i = 0; i < p->n_steps; i++) {
        struct jm_packed *w = &p->steps[i].w;
        if (p->steps[i].node.op == JM_OP_LINEAR && w->kind != JM_PACK_NONE)
            pack_part(w, jm_cpu_first_group(w, m, members), jm_cpu_first_group(w, m + 1, members),
                      p->scratch[m]);
    }
}

/* A page of a file brings those around it along; what pieces have left goes now. */
static void drop_sources(const jm_plan *p)
{
    for (uint32_t i = 0; i < p->n_steps; i++) {
        const struct jm_packed *w = &p->steps[i].w;
        if (p->steps[i].node.op == JM_OP_LINEAR && w->kind != JM_PACK_NONE && w->t.mapped)
            jm_pages_drop(w->t.data, w->t.rows * jm_format_row_bytes(w->t.format, w->t.cols));
    }
}

static bool room_for(const struct jm_limits *lim, struct jm_memory_room *room)
{
    bool known = jm_memory_room("", room);
    if (lim->max_bytes > 0 && (!known || lim->max_bytes < room->bytes)) {
        *room = (struct jm_memory_room){ .bytes = lim->max_bytes, .limit = "the limit given" };
        known = true;
    }
    return known;
}

/* Refuses what there is no memory for, before any of it is touched. room: before laying out. */
static jm_status check_memory(const jm_plan *p, const struct jm_memory_room *room, jm_err *err)
{
    struct jm_plan_memory n = jm_cpu_plan_memory(p);
    uint64_t need;
    if (!jm_add_u64(p->memory.bytes, p->lim.other_bytes, &need))
        need = UINT64_MAX;
    if (need <= room->bytes)
        return JM_OK;
    return jm_fail(err, JM_ENOMEM,
                   "%.3f GB of memory are needed (weights %.3f, caches %.3f, work space %.3f, "
                   "answers %.3f), %.3f GB are available (%s)",
                   (double)need / 1e9, (double)n.weights / 1e9, (double)n.caches / 1e9,
                   (double)n.work / 1e9, (double)p->lim.other_bytes / 1e9,
                   (double)room->bytes / 1e9, room->limit);
}

static jm_status lay_out(jm_plan *p, const jm_graph *g, jm_err *err)
{
    jm_status st = JM_OK;
    for (uint32_t i = 0; i < p->n_steps && st == JM_OK; i++) {
        size_t before = p->memory.bytes;
        if ((st = take_state(p, i, err)) == JM_OK)
            st = jm_cpu_picture_prepare(p, i, err);
        if (p->steps[i].node.op == JM_OP_ATTENTION)
            p->cache_bytes += p->memory.bytes - before;
    }
    if (st == JM_OK) {
        jm_cpu_cut(p);
        st = take_buffers(p, g, err);
    }
    if (st == JM_OK)
        st = take_scratch(p, err);
    return st == JM_OK ? take_weights(p, err) : st;
}

/* Lays the plan out and fills it, unless there is too little memory. */
static jm_status fill(jm_plan *p, const jm_graph *g, jm_err *err)
{
    struct jm_memory_room room;
    bool known = room_for(&p->lim, &room);
    jm_err why = { 0 };
    jm_status st = lay_out(p, g, &why);
    if (st == JM_ENOMEM && known && p->memory.wanted > 0)
        return jm_fail(err, st, "at least %.3f GB of memory are needed, %.3f GB are available (%s)",
                       (double)p->memory.wanted / 1e9, (double)room.bytes / 1e9, room.limit);
    if (st != JM_OK)
        return jm_fail(err, st, "%s", why.text);
    if (known && (st = check_memory(p, &room, err)) != JM_OK)
        return st;
    jm_team_run(p->dev->team, touch_member, p);
    jm_team_run(p->dev->team, pack_member, p);
    drop_sources(p);
    return JM_OK;
}

/* A whole number of blocks, and an odd one: with a power of two the caches of all sequences would
 * fall into the same few sets of the processor's caches. */
static size_t head_positions(size_t context, size_t block)
{
    size_t step = block < 16 ? 16 : block;
    return ((context + step - 1) / step | 1) * step;
}

jm_status jm_cpu_compile(jm_device *dev, const jm_graph *g, const struct jm_limits *lim,
                         jm_plan **out, jm_err *err)
{
    *out = NULL;
    jm_status st = jm_graph_check(g, err);
    if (st != JM_OK)
        return st;
    if (!lim->max_rows || !lim->max_slots || !lim->max_context)
        return jm_fail(err, JM_EUSAGE, "plan: a limit is zero");
    if (lim->kv_format != JM_F32 && lim->kv_format != JM_F16 && lim->kv_format != JM_Q8_0)
        return jm_fail(err, JM_EUNSUPPORTED,
                       "plan: keys and values are kept in F32, F16 or Q8_0, not %s",
                       lim->kv_format < JM_FORMAT_COUNT ? jm_format_info(lim->kv_format)->name
                                                        : "an unknown format");
    jm_plan *p = calloc(1, sizeof *p);
    if (!p)
        return jm_fail(err, JM_ENOMEM, "plan: out of memory");
    *p = (jm_plan){ .dev = dev, .lim = *lim, .n_outputs = g->n_outputs, .n_entries = g->n_entries };
    if (p->lim.max_gather == 0 || p->lim.max_gather > p->lim.max_rows)
        p->lim.max_gather = p->lim.max_rows;
    memcpy(p->outputs, g->outputs, sizeof p->outputs);
    p->head_positions = head_positions(lim->max_context, dev->kernels->k_block);
    p->steps = calloc(g->n_nodes, sizeof *p->steps);
    if (!p->steps)
        st = jm_fail(err, JM_ENOMEM, "plan: out of memory");
    else
        p->n_steps = g->n_nodes;
    for (uint32_t i = 0; i < p->n_steps && st == JM_OK; i++)
        p->steps[i].node = g->nodes[i];
    if (st == JM_OK)
        st = fill(p, g, err);
    if (st != JM_OK) {
        jm_cpu_plan_close(p);
        return st;
    }
    *out = p;
    return JM_OK;
}

struct jm_plan_memory jm_cpu_plan_memory(const jm_plan *p)
{
    return (struct jm_plan_memory){ .weights = p->weight_bytes,
                                    .caches = p->cache_bytes,
                                    .work = p->memory.bytes - p->weight_bytes - p->cache_bytes };
}

void jm_cpu_plan_close(jm_plan *p)
{
    if (!p)
        return;
    jm_cpu_profile_close(p);
    jm_arena_free(&p->memory);
    free(p->steps);
    free(p);
}
