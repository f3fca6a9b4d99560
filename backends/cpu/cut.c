/* SPDX-License-Identifier: Apache-2.0 */
/* How steps are cut among threads, and where these meet: where one reads what another has made.
 *
 * By columns, each thread makes some of all rows of a linear's result. What works on heads goes on
 * with them and meets nobody, where each thread has made whole ones; so does SwiGLU, and attention
 * where it has made the queries of its keys.
 *
 * By rows, each thread makes some whole ones. Of one row nothing could be shared, and all would
 * wait for the thread that has it: each makes a copy of its own instead, as soon as it can read
 * what the row is made of, and residuals go by columns. Of several rows they go by rows as the norm
 * behind them does: to write columns of rows that another core has read takes longer than to read
 * those that it has written.
 *
 * Steps that follow on each other and are cut alike are a stretch. It is cut once for all of them,
 * into units that each go through all of its steps, so that a thread may take any of them: see
 * units.h. A step reads what its own unit has made; what another stretch has made, it may read once
 * all have met. */
#include "backends/cpu/plan.h"

enum {
    BLOCK = 32,
    UNIT = 64,         /* columns of a linear that a unit has at least */
    UNITS = 32,        /* that a thread has at most */
    UNITS_OF_ROWS = 16 /* or of tasks of attention */
};

static bool is_output(const jm_plan *p, uint32_t i)
{
    for (uint32_t k = 0; k < p->n_outputs; k++) {
        if (p->outputs[k] == i)
            return true;
    }
    return false;
}

/* ---- by rows or by columns ---- */

/* Whether units have made columns of s, by jm_cpu_first_column. */
static bool makes_columns(const struct jm_step *s, bool one_row)
{
    return s->node.op == JM_OP_LINEAR ? s->node.times == 1 : s->cut[one_row].by_columns;
}

static bool is_by_rows(const struct jm_step *s, bool one_row)
{
    return s->node.op != JM_OP_LINEAR && s->node.op != JM_OP_ATTENTION &&
           s->node.op != JM_OP_ATTEND_RUN && !s->cut[one_row].by_columns;
}

/* Whether the columns of each of n units are whole heads. */
static bool in_heads(uint32_t cols, uint32_t head, uint32_t n)
{
    for (uint32_t u = 1; u < n; u++) {
        if (jm_cpu_first_column(cols, u, n) % head != 0)
            return false;
    }
    return true;
}

/* Whether each of n units has as many heads of keys, and the queries that go with them. */
static bool in_equal_heads(const struct jm_node *a, uint32_t n)
{
    return a->n_kv_heads % n == 0 && a->n_kv_heads / n * a->head_dim % JM_ROUNDED_TOGETHER == 0;
}

static bool goes_by_columns(const jm_plan *p, const struct jm_step *s, bool one_row)
{
    const struct jm_node *n = &s->node;
    const uint32_t members = jm_team_size(p->dev->team);
    bool has[3] = { false };
    for (uint32_t k = 0; k < n->n_in; k++)
        has[k] = makes_columns(&p->steps[n->in[k]], one_row);
    switch (n->op) {
    case JM_OP_SWIGLU:
        return has[0] || has[1];
    case JM_OP_ADD:
        return one_row && (has[0] || has[1]);
    case JM_OP_GATHER_ROWS:
        return one_row && has[0];
    case JM_OP_ROPE:
        return has[0] && in_heads(n->cols, n->head_dim, members);
    case JM_OP_RMS_NORM:
        return has[0] && n->part < n->cols && in_heads(n->cols, n->part, members);
    case JM_OP_ATTENTION:
        return has[0] && has[1] && has[2] && in_equal_heads(n, members);
    default:
        return false;
    }
}

/* ---- what is kept of a result ---- */

/* Whether s can read copies: what execute.c does by rows and by columns. */
static bool reads_copies(const struct jm_step *s)
{
    return s->node.op != JM_OP_ATTENTION && s->node.op < JM_OP_INPUT;
}

static void find_forms(jm_plan *p)
{
    for (uint32_t i = 0; i < p->n_steps; i++) {
        struct jm_step *s = &p->steps[i];
        bool norm = s->node.op == JM_OP_RMS_NORM, free = !is_output(p, i);
        s->copied = free && !s->cut[true].by_columns && (norm || s->node.op == JM_OP_EMBED);
        s->rounded = free && (s->quantise || s->quantise16) &&
                     (s->node.op == JM_OP_SWIGLU || (norm && s->node.part == s->node.cols));
        for (uint32_t k = 0; k < s->node.n_in; k++) {
            struct jm_step *from = &p->steps[s->node.in[k]];
            from->copied = from->copied && reads_copies(s);
            from->rounded =
                from->rounded && s->node.op == JM_OP_LINEAR && jm_cpu_takes_integers(&s->w);
        }
    }
}

/* ---- stretches and meetings ---- */

enum way { COLUMNS, COPIES, ALONE, ROWS };

/* How s is cut: by columns, by rows of one kind, as a copy for each, or as nothing else is. */
static uint32_t way_of(const struct jm_step *s, bool one_row)
{
    if (jm_cpu_meets_within(s, one_row))
        return ALONE;
    if (s->node.op == JM_OP_LINEAR || s->cut[one_row].by_columns)
        return COLUMNS;
    return one_row && s->copied ? COPIES : ROWS + s->node.rows;
}

/* Whether step i is cut like the one before it. */
static bool goes_on(const jm_plan *p, uint32_t i, bool one_row)
{
    const struct jm_step *s = &p->steps[i];
    return !jm_cpu_starts_entry(p, i) && way_of(s, one_row) == way_of(s - 1, one_row) &&
           way_of(s, one_row) != ALONE && !jm_cpu_quantises_late(s - 1);
}

/* Whether input k of s, made since threads last met, can be read all the same: when the unit that
 * reads it has made it, in the stretch that begins with step `first`; or it is a copy. The queries
 * of an attention are read after it has met. */
static bool is_own(const jm_plan *p, const struct jm_step *s, uint32_t k, uint32_t first,
                   bool one_row)
{
    const struct jm_step *from = &p->steps[s->node.in[k]];
    if (one_row && from->copied)
        return true;
    if (jm_cpu_meets_within(s, one_row))
        return k == 0;
    if (s->node.in[k] < first)
        return false;
    if (s->cut[one_row].by_columns)
        return makes_columns(from, one_row);
    return is_by_rows(s, one_row) && is_by_rows(from, one_row) && s->node.op != JM_OP_GATHER_ROWS &&
           !(one_row && s->copied);
}

static void place_meetings(jm_plan *p, bool one_row)
{
    uint32_t met = 0, first = 0;
    for (uint32_t i = 0; i < p->n_steps; i++) {
        struct jm_step *s = &p->steps[i];
        bool meets = false;
        if (!goes_on(p, i, one_row))
            first = i;
        if (jm_cpu_starts_entry(p, i))
            met = i;
        for (uint32_t k = 0; k < s->node.n_in; k++)
            meets = meets || (s->node.in[k] >= met && !is_own(p, s, k, first, one_row));
        if (meets)
            first = i;
        if (meets || jm_cpu_meets_within(s, one_row))
            met = i;
        s->cut[one_row].meet_before = meets;
        p->steps[first].cut[one_row].end = i + 1;
    }
}

/* ---- units ---- */

/* Whether step s can be cut into n units: panels of weights (avx512/panel.h) stay whole where they
 * are when each thread has one unit. */
static bool fits(const struct jm_step *s, uint32_t n, uint32_t members)
{
    const uint32_t cols = s->node.w.rows;
    switch (s->node.op) {
    case JM_OP_LINEAR:
        return cols / n >= UNIT && (cols % (UNIT * members) != 0 || cols % (UNIT * n) == 0);
    case JM_OP_ROPE:
        return in_heads(s->node.cols, s->node.head_dim, n);
    case JM_OP_RMS_NORM:
        return in_heads(s->node.cols, s->node.part, n);
    case JM_OP_ATTENTION:
        return in_equal_heads(&s->node, n);
    default:
        return true;
    }
}

/* Units a thread has of steps [from, to) by columns: as many as all of them allow. */
static uint32_t units_of_columns(const jm_plan *p, uint32_t from, uint32_t to)
{
    const uint32_t members = jm_team_size(p->dev->team);
    for (uint32_t each = 2; each <= UNITS; each *= 2) {
        for (uint32_t i = from; i < to; i++) {
            if (!fits(&p->steps[i], members * each, members))
                return each / 2;
        }
    }
    return UNITS;
}

/* Threads must have met since a stretch was last dealt, or nobody knows whose units are whose. One
 * thread has nobody to share with, and reads weights faster from end to end than in units. */
static void cut_stretches(jm_plan *p, bool one_row)
{
    const uint32_t members = jm_team_size(p->dev->team);
    bool met = false;
    for (uint32_t i = 0, end; i < p->n_steps; i = end) {
        const struct jm_step *s = &p->steps[i];
        struct jm_cut *c = &p->steps[i].cut[one_row];
        const uint32_t way = way_of(s, one_row);
        end = c->end;
        for (uint32_t k = i; k < end; k++)
            c->cost += jm_cpu_row_cost(&p->steps[k].node);
        met = met || c->meet_before || jm_cpu_starts_entry(p, i) || jm_cpu_meets_within(s, one_row);
        c->each = members == 1 || !met || way == COPIES || s->node.op == JM_OP_ATTEND_RUN ? 1
                  : way == COLUMNS ? units_of_columns(p, i, end)
                                   : UNITS_OF_ROWS;
        met = met && c->each == 1;
    }
}

/* For the weights that a thread asks for while it waits. */
static void find_linears(jm_plan *p)
{
    for (uint32_t i = p->n_steps; i-- > 0;) {
        struct jm_step *s = &p->steps[i];
        bool last = i + 1 == p->n_steps || jm_cpu_starts_entry(p, i + 1);
        s->next_linear = s->node.op == JM_OP_LINEAR ? i : last ? p->n_steps : s[1].next_linear;
    }
}

void jm_cpu_cut(jm_plan *p)
{
    for (uint32_t i = 0; i < p->n_steps; i++) {
        struct jm_step *s = &p->steps[i];
        for (int one_row = 0; one_row < 2; one_row++)
            s->cut[one_row].by_columns = goes_by_columns(p, s, one_row);
    }
    find_forms(p);
    for (int one_row = 0; one_row < 2; one_row++) {
        place_meetings(p, one_row);
        cut_stretches(p, one_row);
    }
    find_linears(p);
}
