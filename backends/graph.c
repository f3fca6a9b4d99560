/* SPDX-License-Identifier: Apache-2.0 */
/* See graph.h. */
#include "backends/graph.h"

#include <stdlib.h>
#include <string.h>

static const char *const op_names[JM_OP_COUNT] = {
    [JM_OP_EMBED] = "embed", [JM_OP_LINEAR] = "linear",           [JM_OP_RMS_NORM] = "rms_norm",
    [JM_OP_ROPE] = "rope",   [JM_OP_ATTENTION] = "attention",     [JM_OP_SWIGLU] = "swiglu",
    [JM_OP_ADD] = "add",     [JM_OP_GATHER_ROWS] = "gather_rows", [JM_OP_ARGMAX] = "argmax",
};

const char *jm_op_name(enum jm_op op)
{
    return (unsigned)op < JM_OP_COUNT ? op_names[op] : "unknown";
}

jm_graph *jm_graph_new(void)
{
    return calloc(1, sizeof(jm_graph));
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
    }
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

/* Columns of v, 0 when v does not exist; the row kind goes to *gathered. */
static uint32_t cols_of(const jm_graph *g, jm_value v, bool *gathered)
{
    *gathered = v < g->n_nodes && g->nodes[v].gathered;
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
    bool gathered;
    want(g, cols_of(g, x, &gathered) == w->cols && w->rows > 0, JM_OP_LINEAR,
         "the weight's row length is not the input's");
    return push(g, (struct jm_node){ .op = JM_OP_LINEAR,
                                     .in = { x },
                                     .n_in = 1,
                                     .cols = w->rows,
                                     .gathered = gathered,
                                     .w = *w });
}

jm_value jm_rms_norm(jm_graph *g, jm_value x, const struct jm_tensor *w, float eps, uint32_t part)
{
    bool gathered;
    uint32_t cols = cols_of(g, x, &gathered);
    want(g, part > 0 && cols % part == 0 && w->cols == part && w->rows == 1, JM_OP_RMS_NORM,
         "the weight's length does not divide the input's");
    want(g, w->format == JM_F32, JM_OP_RMS_NORM, "the weight is not F32");
    return push(g, (struct jm_node){ .op = JM_OP_RMS_NORM,
                                     .in = { x },
                                     .n_in = 1,
                                     .cols = cols,
                                     .gathered = gathered,
                                     .w = *w,
                                     .eps = eps,
                                     .part = part });
}

jm_value jm_rope(jm_graph *g, jm_value x, uint32_t head_dim, float base)
{
    bool gathered;
    uint32_t cols = cols_of(g, x, &gathered);
    want(g, head_dim > 0 && head_dim % 2 == 0 && cols % head_dim == 0 && base > 0, JM_OP_ROPE,
         "the head size is odd, or does not divide the input");
    return push(g, (struct jm_node){ .op = JM_OP_ROPE,
                                     .in = { x },
                                     .n_in = 1,
                                     .cols = cols,
                                     .gathered = gathered,
                                     .rope_base = base,
                                     .head_dim = head_dim });
}

jm_value jm_attention(jm_graph *g, jm_value q, jm_value k, jm_value v, uint32_t n_heads,
                      uint32_t n_kv_heads, uint32_t head_dim, float scale)
{
    bool gq, gk, gv;
    uint32_t cq = cols_of(g, q, &gq), ck = cols_of(g, k, &gk), cv = cols_of(g, v, &gv);
    uint64_t hq = (uint64_t)n_heads * head_dim, hk = (uint64_t)n_kv_heads * head_dim;
    want(g,
         head_dim > 0 && n_kv_heads > 0 && n_heads % n_kv_heads == 0 && cq == hq && ck == hk &&
             cv == hk && !gk && !gv,
         JM_OP_ATTENTION, "heads and inputs do not fit together");
    return push(g, (struct jm_node){ .op = JM_OP_ATTENTION,
                                     .in = { q, k, v },
                                     .n_in = 3,
                                     .cols = cq,
                                     .gathered = gq,
                                     .head_dim = head_dim,
                                     .n_heads = n_heads,
                                     .n_kv_heads = n_kv_heads,
                                     .cache = g->n_caches++,
                                     .scale = scale });
}

static jm_value binary(jm_graph *g, enum jm_op op, jm_value a, jm_value b)
{
    bool ga, gb;
    uint32_t ca = cols_of(g, a, &ga), cb = cols_of(g, b, &gb);
    want(g, ca == cb && ga == gb, op, "the two inputs differ in shape");
    return push(
        g, (struct jm_node){ .op = op, .in = { a, b }, .n_in = 2, .cols = ca, .gathered = ga });
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
    bool gathered;
    uint32_t cols = cols_of(g, x, &gathered);
    want(g, !gathered, JM_OP_GATHER_ROWS, "the input is gathered already");
    return push(
        g, (struct jm_node){
               .op = JM_OP_GATHER_ROWS, .in = { x }, .n_in = 1, .cols = cols, .gathered = true });
}

jm_value jm_argmax(jm_graph *g, jm_value x)
{
    bool gathered;
    want(g, cols_of(g, x, &gathered) > 0, JM_OP_ARGMAX, "the input is empty");
    return push(g,
                (struct jm_node){
                    .op = JM_OP_ARGMAX, .in = { x }, .n_in = 1, .cols = 1, .gathered = gathered });
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
