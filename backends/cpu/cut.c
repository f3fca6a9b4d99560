/* SPDX-License-Identifier: Apache-2.0 */
/* How steps are cut among threads, and where these meet: where one reads what another has made.
 *
 * By columns, each thread makes those of all rows that are its own of a linear's result. What works
 * on heads goes on with them and meets nobody, where each thread has made whole ones; so does
 * SwiGLU, and attention where it has made the queries of its keys.
 *
 * By rows, each thread makes some whole ones. Of one row nothing could be shared, and all would
 * wait for the thread that has it: each makes a copy of its own instead, as soon as it can read
 * what the row is made of, and residuals go by columns. Of several rows they go by rows as the norm
 * behind them does: to write columns of rows that another core has read takes longer than to read
 * those that it has written. */
#include "backends/cpu/plan.h"

enum { BLOCK = 32 };

static bool is_output(const jm_plan *p, uint32_t i)
{
    for (uint32_t k = 0; k < p->n_outputs; k++) {
        if (p->outputs[k] == i)
            return true;
    }
    return false;
}

/* ---- by rows or by columns ---- */

/* Whether each thread has made its own columns of s, by jm_cpu_first_column. */
static bool makes_columns(const struct jm_step *s, bool one_row)
{
    return s->node.op == JM_OP_LINEAR ? s->node.times == 1 : s->cut[one_row].by_columns;
}

static bool is_by_rows(const struct jm_step *s, bool one_row)
{
    return s->node.op != JM_OP_LINEAR && s->node.op != JM_OP_ATTENTION &&
           s->node.op != JM_OP_ATTEND_RUN && !s->cut[one_row].by_columns;
}

/* Whether the columns of each thread are whole heads. */
static bool in_heads(const jm_plan *p, uint32_t cols, uint32_t head)
{
    uint32_t members = jm_team_size(p->dev->team);
    for (uint32_t m = 1; m < members; m++) {
        if (jm_cpu_first_column(cols, m, members) % head != 0)
            return false;
    }
    return true;
}

/* Whether each thread has as many heads of keys, and the queries that go with them. */
static bool in_equal_heads(const jm_plan *p, const struct jm_node *n)
{
    uint32_t members = jm_team_size(p->dev->team);
    return n->n_kv_heads % members == 0 && n->n_kv_heads / members * n->head_dim % BLOCK == 0;
}

static bool goes_by_columns(const jm_plan *p, const struct jm_step *s, bool one_row)
{
    const struct jm_node *n = &s->node;
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
        return has[0] && in_heads(p, n->cols, n->head_dim);
    case JM_OP_RMS_NORM:
        return has[0] && n->part < n->cols && in_heads(p, n->cols, n->part);
    case JM_OP_ATTENTION:
        return has[0] && has[1] && has[2] && in_equal_heads(p, n);
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

/* ---- meetings ---- */

/* Whether input k of s, made since threads last met, can be read all the same: when the thread that
 * reads it is the one that made it. The queries of an attention are read after it has met. */
static bool is_own(const jm_plan *p, const struct jm_step *s, uint32_t k, bool one_row)
{
    const struct jm_step *from = &p->steps[s->node.in[k]];
    if (one_row && from->copied)
        return true;
    if (s->cut[one_row].by_columns)
        return makes_columns(from, one_row);
    switch (s->node.op) {
    case JM_OP_ATTENTION:
        return k == 0 || (is_by_rows(from, one_row) && from->node.rows == JM_ROWS_ALL);
    case JM_OP_ATTEND_RUN:
        return k == 0;
    case JM_OP_GATHER_ROWS:
        return false;
    default:
        return is_by_rows(s, one_row) && is_by_rows(from, one_row) &&
               from->node.rows == s->node.rows && !(one_row && s->copied);
    }
}

static bool meets_within(const struct jm_step *s, bool one_row)
{
    return (s->node.op == JM_OP_ATTENTION && !s->cut[one_row].by_columns) ||
           s->node.op == JM_OP_ATTEND_RUN;
}

static void place_meetings(jm_plan *p, bool one_row)
{
    uint32_t last = 0;
    for (uint32_t i = 0; i < p->n_steps; i++) {
        struct jm_step *s = &p->steps[i];
        bool meets = false;
        if (jm_cpu_starts_entry(p, i))
            last = i;
        for (uint32_t k = 0; k < s->node.n_in; k++)
            meets = meets || (s->node.in[k] >= last && !is_own(p, s, k, one_row));
        if (meets || meets_within(s, one_row))
            last = i;
        s->cut[one_row].meet_before = meets;
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
    place_meetings(p, false);
    place_meetings(p, true);
    find_linears(p);
}
