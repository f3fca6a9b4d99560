/* SPDX-License-Identifier: Apache-2.0 */
/* See work.h. */
#include "backends/cpu/work.h"

enum { BLOCK = 32 };

static void add_text(struct jm_tally *t, const struct jm_batch *b)
{
    uint32_t g = 0;
    for (uint32_t r = 0; r < b->n_rows; r++) {
        uint64_t seen = (uint64_t)b->pos[r] + 1;
        t->seen[JM_ROWS_ALL] += seen;
        if (g < b->n_gather && b->gather[g] == r) {
            t->seen[JM_ROWS_GATHERED] += seen;
            g++;
        }
        if (r + 1 == b->n_rows || b->slot[r + 1] != b->slot[r])
            t->positions += seen;
    }
}

static void add_runs(struct jm_tally *t, const struct jm_batch *b)
{
    for (uint32_t i = 0; i < b->n_runs; i++) {
        uint32_t from = b->run[i], to = i + 1 < b->n_runs ? b->run[i + 1] : b->n_rows;
        uint64_t rows = to - from, seen = b->pos[from] + rows;
        t->run_seen += rows * seen;
        t->run_positions += seen;
    }
}

void jm_tally_add(struct jm_tally *t, const struct jm_batch *b, uint32_t readers)
{
    t->batches++;
    t->rows[JM_ROWS_ALL] += b->n_rows;
    t->rows[JM_ROWS_GATHERED] += b->n_gather;
    t->rows[JM_ROWS_RUN] += b->n_runs;
    t->weight_reads += readers;
    if (b->n_runs > 0)
        add_runs(t, b);
    else
        add_text(t, b);
}

static double weight_bytes(const struct jm_packed *w)
{
    if (w->kind == JM_PACK_NONE)
        return (double)jm_format_row_bytes(w->t.format, w->t.cols) * w->t.rows;
    return (double)w->group_bytes * w->n_groups;
}

/* A row of a step's result as its readers take it: f32, and rounded to integers, or either. Copies
 * that threads make of one row count once: they are work that the layout needs, not the step. */
static double row_bytes(const struct jm_step *s)
{
    double cols = s->node.cols, blocks = cols / BLOCK;
    double bytes = s->rounded ? 0 : cols * sizeof *s->out.f;
    if (s->quantise)
        bytes += cols * sizeof *s->out.q + blocks * (sizeof *s->out.d + sizeof *s->out.sum);
    if (s->k_sums)
        bytes += blocks * (double)(sizeof *s->out.dsum + 2 * sizeof *s->out.sum16);
    if (s->quantise16)
        bytes += cols * sizeof *s->out.q16 + blocks * sizeof *s->out.d16;
    return bytes;
}

/* A row of inputs as the weight takes it. */
static double input_bytes(const struct jm_packed *w, double cols)
{
    double blocks = cols / BLOCK;
    if (w->kind == JM_PACK_I16)
        return cols * sizeof(int16_t) + blocks * sizeof(float);
    if (!jm_packed_is_quantised(w))
        return cols * sizeof(float);
    return cols + blocks * (w->kind == JM_PACK_Q6K ? 12 : 8); /* d, and one sum or two */
}

static const char *kernel_name(enum jm_pack_kind kind)
{
    static const char *const name[] = {
        [JM_PACK_NONE] = "F64", [JM_PACK_F32] = "F32", [JM_PACK_F16] = "F16",
        [JM_PACK_I16] = "I16",  [JM_PACK_Q8] = "Q8",   [JM_PACK_Q4] = "Q4",
        [JM_PACK_Q2] = "Q2",    [JM_PACK_STQ] = "STQ", [JM_PACK_STQ_SUMS] = "STQ",
        [JM_PACK_Q4K] = "Q4K",  [JM_PACK_Q6K] = "Q6K",
    };
    return (size_t)kind < sizeof name / sizeof *name && name[kind] ? name[kind] : "other";
}

static void linear_work(const struct jm_step *s, const struct jm_tally *t, struct jm_work *out)
{
    const struct jm_node *n = &s->node;
    double rows = (double)t->rows[n->rows] * n->times, inputs = n->w.cols, outputs = n->w.rows;
    out->operations = rows * outputs * (2 * inputs + (n->bias.data != NULL));
    out->bytes = weight_bytes(&s->w) * (double)t->weight_reads +
                 rows * (input_bytes(&s->w, inputs) + outputs * sizeof *s->out.f);
    out->kernel = kernel_name(s->w.kind);
    out->kind = s->w.kind == JM_PACK_I16        ? JM_ROOF_I16
                : jm_packed_is_quantised(&s->w) ? JM_ROOF_I8
                                                : JM_ROOF_F32;
}

/* One position's keys and values of all heads of a node, in the caches. */
static double kv_bytes(const jm_plan *p, const struct jm_node *n)
{
    return 2 * (double)jm_format_row_bytes(p->lim.kv_format, (size_t)n->n_kv_heads * n->head_dim);
}

/* A score: dim multiplications and additions for q.k and as many for its share of v; largest,
 * difference, exponential and sum. Keys and values are read once for each batch, those of new rows
 * written. */
static void attention_work(const jm_plan *p, const struct jm_step *s, const struct jm_tally *t,
                           struct jm_work *out)
{
    const struct jm_node *n = &s->node;
    double width = (double)n->n_kv_heads * n->head_dim;
    double rows = (double)t->rows[n->rows];
    out->operations = (double)t->seen[n->rows] * n->n_heads * 4 * (n->head_dim + 1.0);
    out->bytes = kv_bytes(p, n) * (double)(t->positions + t->rows[JM_ROWS_ALL]) +
                 (double)t->rows[JM_ROWS_ALL] * 2 * width * sizeof *s->out.f + rows * row_bytes(s) +
                 rows * n->cols * sizeof *s->out.f;
}

/* The same, but that prefix and rows are read, laid out, and read again. */
static void attend_run_work(const jm_plan *p, const struct jm_step *s, const struct jm_tally *t,
                            struct jm_work *out)
{
    const struct jm_node *n = &s->node;
    double width = (double)n->n_kv_heads * n->head_dim, rows = (double)t->rows[JM_ROWS_ALL];
    out->operations = (double)t->run_seen * n->n_heads * 4 * (n->head_dim + 1.0);
    out->bytes = (double)t->run_positions * (kv_bytes(p, n) + 2 * width * 2 * sizeof(float)) +
                 rows * row_bytes(s) + rows * n->cols * sizeof *s->out.f;
}

/* Operations a value of a step that does the same with each. */
static double value_operations(const struct jm_step *s)
{
    const struct jm_node *n = &s->node;
    switch (n->op) {
    case JM_OP_RMS_NORM:
        return 4; /* square, sum, scale, weight */
    case JM_OP_NORM_PART:
        return 4.0 * n->part / n->head_dim;
    case JM_OP_ROPE:
        return 3; /* six a pair */
    case JM_OP_ROPE_PART:
        return 3.0 * n->part / n->head_dim;
    case JM_OP_SWIGLU:
        return 4; /* exponential, sum, division, product */
    case JM_OP_SILU:
        return 3;
    case JM_OP_GELU:
        return 5; /* erf as one */
    case JM_OP_ADD:
    case JM_OP_ADD_RUN:
        return 1;
    default:
        return 0; /* moves */
    }
}

static void row_work(const jm_plan *p, const struct jm_step *s, const struct jm_tally *t,
                     struct jm_work *out)
{
    const struct jm_node *n = &s->node;
    double rows = (double)t->rows[n->rows], in = 0;
    for (uint32_t k = 0; k < n->n_in; k++)
        in += (double)p->steps[n->in[k]].node.cols * sizeof(float);
    if (n->op == JM_OP_EMBED)
        in = (double)jm_format_row_bytes(n->w.format, n->cols);
    else if (n->op == JM_OP_INPUT)
        in = (double)n->cols * sizeof(float);
    out->operations = rows * n->cols * value_operations(s);
    if (n->op == JM_OP_ARGMAX)
        out->operations = rows * p->steps[n->in[0]].node.cols;
    out->bytes = rows * (in + row_bytes(s));
}

/* What a batch walks through between two uses of the same weight or key: all weights of the entry,
 * and all keys and values that it reads. */
static double walked_bytes(const jm_plan *p, uint32_t entry, const struct jm_tally *t)
{
    double bytes = 0, batches = (double)t->batches;
    for (uint32_t i = 0; i < p->n_steps; i++) {
        const struct jm_step *s = &p->steps[i];
        double kv = kv_bytes(p, &s->node);
        if (s->node.entry != entry)
            continue;
        if (s->node.op == JM_OP_LINEAR)
            bytes += weight_bytes(&s->w) * (double)t->weight_reads / batches;
        else if (s->node.op == JM_OP_ATTENTION)
            bytes += kv * (double)t->positions / batches;
        else if (s->node.op == JM_OP_ATTEND_RUN)
            bytes += kv * (double)t->run_positions / batches;
    }
    return bytes;
}

void jm_cpu_work(const jm_plan *p, uint32_t step, const struct jm_tally *t, struct jm_work *out)
{
    const struct jm_step *s = &p->steps[step];
    *out = (struct jm_work){ .kind = JM_ROOF_F32, .kernel = "" };
    if (t->batches == 0)
        return;
    switch (s->node.op) {
    case JM_OP_LINEAR:
        linear_work(s, t, out);
        out->set_bytes = walked_bytes(p, s->node.entry, t);
        return;
    case JM_OP_ATTENTION:
        attention_work(p, s, t, out);
        out->set_bytes = walked_bytes(p, s->node.entry, t);
        return;
    case JM_OP_ATTEND_RUN: /* what is laid out is read at once */
        attend_run_work(p, s, t, out);
        break;
    default:
        row_work(p, s, t, out);
        break;
    }
    out->set_bytes = out->bytes / (double)t->batches;
}
