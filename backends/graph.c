/* SPDX-License-Identifier: Apache-2.0 */
/* See graph.h. */
#include "backends/graph.h"

#include <stdlib.h>
#include <string.h>

static const char *const op_names[JM_OP_COUNT] = {
    [JM_OP_EMBED] = "embed",
    [JM_OP_LINEAR] = "linear",
    [JM_OP_RMS_NORM] = "rms_norm",
    [JM_OP_ROPE] = "rope",
    [JM_OP_ATTENTION] = "attention",
    [JM_OP_SWIGLU] = "swiglu",
    [JM_OP_ADD] = "add",
    [JM_OP_GATHER_ROWS] = "gather_rows",
    [JM_OP_ARGMAX] = "argmax",
    [JM_OP_INPUT] = "input",
    [JM_OP_NORM_PART] = "norm_part",
    [JM_OP_ROPE_PART] = "rope_part",
    [JM_OP_ATTEND_RUN] = "attend_run",
    [JM_OP_SILU] = "silu",
    [JM_OP_GELU] = "gelu",
    [JM_OP_ADD_RUN] = "add_run",
    [JM_OP_TRANSPOSE] = "transpose",
};

const char *jm_op_name(enum jm_op op)
{
    return (unsigned)op < JM_OP_COUNT ? op_names[op] : "unknown";
}

jm_graph *jm_graph_new(void)
{
    jm_graph *g = calloc(1, sizeof *g);
    if (g)
        g->n_entries = 1;
    return g;
}

void jm_graph_free(jm_graph *g)
{
    if (g)
        free(g->nodes);
    free(g);
}

jm_status jm_graph_check(const jm_graph *g, jm_err *err)
{
    if (g->err.status != JM_OK)
        return jm_fail(err, g->err.status, "%s", g->err.text);
    if (g->n_outputs == 0)
        return jm_fail(err, JM_EUSAGE, "graph: no output");
    return JM_OK;
}

/* Appends a node whose inputs exist; after an error does nothing. Returns its value. */
static jm_value push(jm_graph *g, struct jm_node n)
{
    if (g->err.status != JM_OK)
        return 0;
    for (uint32_t i = 0; i < n.n_in; i++) {
        if (n.in[i] >= g->n_nodes) {
            jm_fail(&g->err, JM_EUSAGE, "graph: %s: input %u does not exist", jm_op_name(n.op), i);
            return 0;
        }
        if (g->nodes[n.in[i]].entry != g->n_entries - 1) {
            jm_fail(&g->err, JM_EUSAGE, "graph: %s: input %u belongs to another entry",
                    jm_op_name(n.op), i);
            return 0;
        }
    }
    n.entry = g->n_entries - 1;
    if (g->n_nodes == g->cap_nodes) {
        uint32_t cap = g->cap_nodes ? g->cap_nodes * 2 : 64;
        struct jm_node *p = realloc(g->nodes, cap * sizeof *p);
        if (!p) {
            jm_fail(&g->err, JM_ENOMEM, "graph: out of memory");
            return 0;
        }
        g->nodes = p;
        g->cap_nodes = cap;
    }
    g->nodes[g->n_nodes] = n;
    return g->n_nodes++;
}

/* Columns of v, 0 when v does not exist; the row kind goes to *rows. */
static uint32_t cols_of(const jm_graph *g, jm_value v, enum jm_rows *rows)
{
    *rows = v < g->n_nodes ? g->nodes[v].rows : JM_ROWS_ALL;
    return v < g->n_nodes ? g->nodes[v].cols : 0;
}

static void want(jm_graph *g, bool ok, enum jm_op op, const char *what)
{
    if (!ok && g->err.status == JM_OK)
        jm_fail(&g->err, JM_EUSAGE, "graph: %s: %s", jm_op_name(op), what);
}

jm_value jm_embed(jm_graph *g, const struct jm_tensor *table)
{
    want(g, table->cols > 0 && table->rows > 0, JM_OP_EMBED, "empty table");
    return push(g, (struct jm_node){ .op = JM_OP_EMBED, .cols = table->cols, .w = *table });
}

jm_value jm_linear(jm_graph *g, jm_value x, const struct jm_tensor *w)
{
    return jm_linear_bias(g, x, w, NULL, 1);
}

/* One row of numbers that need no blocks. */
static bool is_vector(const struct jm_tensor *t)
{
    return t->rows == 1 && (t->format == JM_F32 || t->format == JM_F16 || t->format == JM_BF16);
}

jm_value jm_linear_bias(jm_graph *g, jm_value x, const struct jm_tensor *w,
                        const struct jm_tensor *bias, uint32_t times)
{
    enum jm_rows rows;
    uint32_t cols = cols_of(g, x, &rows);
    want(g, times > 0 && cols == (uint64_t)w->cols * times && w->rows > 0, JM_OP_LINEAR,
         "the weight's row length is not the input's");
    want(g, (uint64_t)w->rows * times <= UINT32_MAX, JM_OP_LINEAR, "too many outputs");
    want(g, !bias || (is_vector(bias) && bias->cols == w->rows), JM_OP_LINEAR,
         "the bias is not one F32, F16 or BF16 value an output");
    return push(g, (struct jm_node){ .op = JM_OP_LINEAR,
                                     .in = { x },
                                     .n_in = 1,
                                     .cols = w->rows * times,
                                     .rows = rows,
                                     .times = times,
                                     .bias = bias ? *bias : (struct jm_tensor){ 0 },
                                     .w = *w });
}

jm_value jm_rms_norm(jm_graph *g, jm_value x, const struct jm_tensor *w, float eps, uint32_t part)
{
    enum jm_rows rows;
    uint32_t cols = cols_of(g, x, &rows);
    want(g, part > 0 && cols % part == 0 && w->cols == part && w->rows == 1, JM_OP_RMS_NORM,
         "the weight's length does not divide the input's");
    want(g, is_vector(w), JM_OP_RMS_NORM, "the weight is not F32, F16 or BF16");
    return push(g, (struct jm_node){ .op = JM_OP_RMS_NORM,
                                     .in = { x },
                                     .n_in = 1,
                                     .cols = cols,
                                     .rows = rows,
                                     .w = *w,
                                     .eps = eps,
                                     .part = part });
}

jm_value jm_rope(jm_graph *g, jm_value x, uint32_t head_dim, float base)
{
    enum jm_rows rows;
    uint32_t cols = cols_of(g, x, &rows);
    want(g,
         head_dim > 0 && head_dim % 2 == 0 && cols % head_dim == 0 && rows != JM_ROWS_RUN &&
             base > 0,
         JM_OP_ROPE, "the head size is odd, or does not divide the input");
    return push(g, (struct jm_node){ .op = JM_OP_ROPE,
                                     .in = { x },
                                     .n_in = 1,
                                     .cols = cols,
                                     .rows = rows,
                                     .rope_base = base,
                                     .head_dim = head_dim });
}

jm_value jm_attention(jm_graph *g, jm_value q, jm_value k, jm_value v, uint32_t n_heads,
                      uint32_t n_kv_heads, uint32_t head_dim, float scale)
{
    enum jm_rows gq, gk, gv;
    uint32_t cq = cols_of(g, q, &gq), ck = cols_of(g, k, &gk), cv = cols_of(g, v, &gv);
    uint64_t hq = (uint64_t)n_heads * head_dim, hk = (uint64_t)n_kv_heads * head_dim;
    want(g,
         head_dim > 0 && n_kv_heads > 0 && n_heads % n_kv_heads == 0 && cq == hq && ck == hk &&
             cv == hk && gq != JM_ROWS_RUN && gk == JM_ROWS_ALL && gv == JM_ROWS_ALL,
         JM_OP_ATTENTION, "heads and inputs do not fit together");
    return push(g, (struct jm_node){ .op = JM_OP_ATTENTION,
                                     .in = { q, k, v },
                                     .n_in = 3,
                                     .cols = cq,
                                     .rows = gq,
                                     .head_dim = head_dim,
                                     .n_heads = n_heads,
                                     .n_kv_heads = n_kv_heads,
                                     .cache = g->n_caches++,
                                     .scale = scale });
}

static jm_value binary(jm_graph *g, enum jm_op op, jm_value a, jm_value b)
{
    enum jm_rows ga, gb;
    uint32_t ca = cols_of(g, a, &ga), cb = cols_of(g, b, &gb);
    want(g, ca == cb && ga == gb, op, "the two inputs differ in shape");
    return push(g, (struct jm_node){ .op = op, .in = { a, b }, .n_in = 2, .cols = ca, .rows = ga });
}

jm_value jm_swiglu(jm_graph *g, jm_value gate, jm_value up)
{
    return binary(g, JM_OP_SWIGLU, gate, up);
}

jm_value jm_add(jm_graph *g, jm_value a, jm_value b)
{
    return binary(g, JM_OP_ADD, a, b);
}

jm_value jm_gather_rows(jm_graph *g, jm_value x)
{
    enum jm_rows rows;
    uint32_t cols = cols_of(g, x, &rows);
    want(g, rows == JM_ROWS_ALL, JM_OP_GATHER_ROWS, "the input is gathered or reduced already");
    return push(g, (struct jm_node){ .op = JM_OP_GATHER_ROWS,
                                     .in = { x },
                                     .n_in = 1,
                                     .cols = cols,
                                     .rows = JM_ROWS_GATHERED });
}

jm_value jm_argmax(jm_graph *g, jm_value x)
{
    enum jm_rows rows;
    want(g, cols_of(g, x, &rows) > 0, JM_OP_ARGMAX, "the input is empty");
    return push(
        g, (struct jm_node){ .op = JM_OP_ARGMAX, .in = { x }, .n_in = 1, .cols = 1, .rows = rows });
}

uint32_t jm_graph_entry(jm_graph *g)
{
    want(g, g->n_nodes > 0, JM_OP_COUNT, "the entry before is empty");
    return g->n_entries++;
}

jm_value jm_input(jm_graph *g, uint32_t cols, enum jm_rows rows)
{
    want(g, cols > 0 && rows != JM_ROWS_GATHERED, JM_OP_INPUT, "no columns, or gathered rows");
    want(g, g->n_inputs < JM_MAX_INPUTS, JM_OP_INPUT, "too many inputs");
    if (g->err.status != JM_OK)
        return 0;
    g->input_cols[g->n_inputs] = cols;
    g->input_rows[g->n_inputs] = rows;
    return push(g, (struct jm_node){
                       .op = JM_OP_INPUT, .cols = cols, .rows = rows, .number = g->n_inputs++ });
}

jm_value jm_norm_part(jm_graph *g, jm_value x, const struct jm_tensor *w, float eps,
                      uint32_t head_dim, uint32_t at)
{
    enum jm_rows rows;
    uint32_t cols = cols_of(g, x, &rows);
    want(g,
         head_dim > 0 && cols % head_dim == 0 && w->cols > 0 && at <= head_dim &&
             w->cols <= head_dim - at,
         JM_OP_NORM_PART, "the part lies outside the head, or heads do not divide the input");
    want(g, is_vector(w), JM_OP_NORM_PART, "the weight is not F32, F16 or BF16");
    return push(g, (struct jm_node){ .op = JM_OP_NORM_PART,
                                     .in = { x },
                                     .n_in = 1,
                                     .cols = cols,
                                     .rows = rows,
                                     .w = *w,
                                     .eps = eps,
                                     .part = w->cols,
                                     .at = at,
                                     .head_dim = head_dim });
}

jm_value jm_rope_part(jm_graph *g, jm_value x, const struct jm_rope *r)
{
    enum jm_rows rows;
    uint32_t cols = cols_of(g, x, &rows);
    want(g,
         r->head_dim > 0 && cols % r->head_dim == 0 && r->part > 0 && r->part % 2 == 0 &&
             r->at <= r->head_dim && r->part <= r->head_dim - r->at && rows == JM_ROWS_ALL &&
             r->base > 0,
         JM_OP_ROPE_PART, "the part is odd or outside the head, or heads do not divide the input");
    want(g,
         r->grid == 0 ||
             (r->axis != JM_AXIS_T && (uint64_t)r->grid * r->grid * r->head_dim == cols),
         JM_OP_ROPE_PART, "the input is not a grid of patches");
    return push(g, (struct jm_node){ .op = JM_OP_ROPE_PART,
                                     .in = { x },
                                     .n_in = 1,
                                     .cols = cols,
                                     .rope_base = r->base,
                                     .part = r->part,
                                     .at = r->at,
                                     .axis = r->axis,
                                     .interleaved = r->interleaved,
                                     .grid = r->grid,
                                     .head_dim = r->head_dim });
}

/* The attention that fills a cache, when it lies in an earlier entry; else NULL. */
static const struct jm_node *filler_of(const jm_graph *g, uint32_t cache)
{
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const struct jm_node *n = &g->nodes[i];
        if (n->op == JM_OP_ATTENTION && n->cache == cache && n->entry < g->n_entries - 1)
            return n;
    }
    return NULL;
}

jm_value jm_attend_run(jm_graph *g, jm_value q, jm_value k, jm_value v, uint32_t n_heads,
                       uint32_t n_kv_heads, uint32_t head_dim, float scale, uint32_t cache)
{
    enum jm_rows rq, rk, rv;
    uint32_t cq = cols_of(g, q, &rq), ck = cols_of(g, k, &rk), cv = cols_of(g, v, &rv);
    uint64_t hq = (uint64_t)n_heads * head_dim, hk = (uint64_t)n_kv_heads * head_dim;
    const struct jm_node *f = filler_of(g, cache);
    want(g,
         head_dim > 0 && n_kv_heads > 0 && n_heads % n_kv_heads == 0 && cq == hq && ck == hk &&
             cv == hk && rq == JM_ROWS_ALL && rk == JM_ROWS_ALL && rv == JM_ROWS_ALL,
         JM_OP_ATTEND_RUN, "heads and inputs do not fit together");
    want(g, f && f->n_kv_heads == n_kv_heads && f->head_dim == head_dim, JM_OP_ATTEND_RUN,
         "no earlier entry fills such a cache");
    return push(g, (struct jm_node){ .op = JM_OP_ATTEND_RUN,
                                     .in = { q, k, v },
                                     .n_in = 3,
                                     .cols = cq,
                                     .head_dim = head_dim,
                                     .n_heads = n_heads,
                                     .n_kv_heads = n_kv_heads,
                                     .cache = cache,
                                     .scale = scale });
}

static jm_value unary(jm_graph *g, enum jm_op op, jm_value x, uint32_t part)
{
    enum jm_rows rows;
    uint32_t cols = cols_of(g, x, &rows);
    want(g, cols > 0, op, "the input is empty");
    want(g, op != JM_OP_TRANSPOSE || (part > 0 && cols % part == 0), op,
         "the inner dimension does not divide the input");
    return push(g,
                (struct jm_node){
                    .op = op, .in = { x }, .n_in = 1, .cols = cols, .rows = rows, .part = part });
}

jm_value jm_silu(jm_graph *g, jm_value x)
{
    return unary(g, JM_OP_SILU, x, 0);
}

jm_value jm_gelu(jm_graph *g, jm_value x)
{
    return unary(g, JM_OP_GELU, x, 0);
}

jm_value jm_transpose(jm_graph *g, jm_value x, uint32_t inner)
{
    return unary(g, JM_OP_TRANSPOSE, x, inner);
}

jm_value jm_add_run(jm_graph *g, jm_value x, jm_value each)
{
    enum jm_rows rx, re;
    uint32_t cx = cols_of(g, x, &rx), ce = cols_of(g, each, &re);
    want(g, cx == ce && rx == JM_ROWS_ALL && re == JM_ROWS_RUN, JM_OP_ADD_RUN,
         "the inputs are not one row each and one row a run of the same width");
    return push(g,
                (struct jm_node){ .op = JM_OP_ADD_RUN, .in = { x, each }, .n_in = 2, .cols = cx });
}

uint32_t jm_graph_output(jm_graph *g, jm_value v)
{
    want(g, v < g->n_nodes, JM_OP_COUNT, "an output that does not exist");
    want(g, g->n_outputs < JM_MAX_OUTPUTS, JM_OP_COUNT, "too many outputs");
    if (g->err.status != JM_OK)
        return 0;
    g->outputs[g->n_outputs] = v;
    return g->n_outputs++;
}
