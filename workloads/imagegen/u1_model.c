/* SPDX-License-Identifier: Apache-2.0 */
/* See u1_model.h. */
#include "workloads/imagegen/u1_model.h"

#include "backends/loader.h"

static jm_status check_support(const jm_u1_model *m, const char *path, jm_err *err)
{
    const struct jm_node *n = jm_backend_missing(m->ops, m->device, m->graph);
    if (!n)
        return JM_OK;
    return jm_fail(err, JM_EUNSUPPORTED,
                   "%s: backend %s cannot run %s%s%s of this model; try another backend or a model "
                   "in another format",
                   path, m->ops->name, jm_op_name(n->op), n->w.name ? " with weight " : "",
                   n->w.name ? n->w.name : "");
}

jm_status jm_u1_from(const struct jm_neo_source *source, const struct jm_neo *params,
                     const struct jm_backend_ops *ops, jm_device *device, jm_u1_model *m,
                     jm_err *err)
{
    *m = (jm_u1_model){ .params = *params, .ops = ops, .device = device };
    jm_status st = jm_neo_build(source, &m->params, &m->graph, err);
    if (st == JM_OK)
        st = check_support(m, source->path, err);
    if (st != JM_OK)
        jm_u1_close(m);
    return st;
}

jm_status jm_u1_open(const char *path, const struct jm_backend_ops *ops, jm_device *device,
                     jm_u1_model *m, jm_err *err)
{
    struct jm_neo params;
    jm_gguf *file;
    *m = (jm_u1_model){ 0 };
    jm_status st = jm_gguf_open(path, &file, err);
    if (st != JM_OK)
        return st;
    st = jm_neo_read(file, &params, err);
    if (st == JM_OK) {
        struct jm_neo_source source = jm_neo_gguf(file);
        st = jm_u1_from(&source, &params, ops, device, m, err);
    }
    if (st != JM_OK) {
        jm_gguf_close(file);
        return st;
    }
    m->file = file;
    return JM_OK;
}

/* ROWS: enough to fill wide matrix kernels, few enough for the values of a batch to stay in cache.
 * CONTEXT: tokens of a prompt, longer than any caption. */
enum { ROWS = 512, CONTEXT = 512, MAX_PICTURES = 1 << 16 };

/* A picture is held by whoever wants it, as cells, and as two predictions of them. */
static uint64_t painter_bytes(const jm_u1_model *m, uint32_t pictures, const struct jm_sampling *s)
{
    uint64_t picture = 3 * sizeof(float) * (uint64_t)s->width * s->height;
    return 4 * pictures * picture +
           sizeof(float) * (uint64_t)m->limits.max_rows * jm_neo_cell_values(&m->params);
}

static jm_status compile_plan(jm_u1_model *m, uint32_t pictures, const struct jm_sampling *largest,
                              jm_err *err)
{
    jm_err why = { 0 };
    jm_status st = m->ops->compile(m->device, m->graph, &m->limits, &m->plan, &why);
    if (st != JM_ENOMEM)
        return st == JM_OK ? st : jm_fail(err, st, "%s", why.text);
    return jm_fail(err, st, "pictures of %ux%u, %u at once: %.300s; %s takes less", largest->width,
                   largest->height, pictures, why.text,
                   pictures > 1 ? "fewer at once (--batch, --n)" : "a smaller --size");
}

jm_status jm_u1_compile(jm_u1_model *m, uint32_t pictures, uint32_t context,
                        const struct jm_sampling *largest, jm_err *err)
{
    jm_status st = jm_sampling_check(&m->params, largest, err);
    if (st != JM_OK)
        return st;
    if (context == 0)
        context = m->params.context < CONTEXT ? m->params.context : CONTEXT;
    if (!m->graph || pictures == 0 || pictures > MAX_PICTURES || context > m->params.context)
        return jm_fail(err, JM_EUSAGE,
                       "%u pictures at once with prompts of %u tokens cannot be had; take 1 to %d "
                       "and up to %u",
                       pictures, context, MAX_PICTURES, m->params.context);
    uint32_t cell = jm_neo_cell(&m->params), cells = jm_sampling_cells(&m->params, largest);
    uint32_t across = largest->width / cell, down = largest->height / cell;
    uint64_t all = 2 * (uint64_t)pictures * cells; /* both branches */
    uint32_t rows = all < ROWS ? (uint32_t)all : ROWS;
    m->limits = (struct jm_limits){ .max_rows = rows > cells ? rows : cells,
                                    .max_slots = pictures + 1,
                                    .max_context = context,
                                    .max_side = across > down ? across : down,
                                    .kv_format = m->kv_format };
    m->limits.max_runs = 2 * pictures < m->limits.max_rows ? 2 * pictures : m->limits.max_rows;
    m->limits.max_bytes = m->max_bytes;
    m->limits.other_bytes = m->other_bytes = painter_bytes(m, pictures, largest);
    st = compile_plan(m, pictures, largest, err);
    if (st != JM_OK)
        return st;
    m->max_pictures = pictures;
    m->max_cells = cells;
    jm_graph_free(m->graph);
    m->graph = NULL;
    return JM_OK;
}

jm_status jm_u1_painter(const jm_u1_model *m, const uint32_t *uncond, uint32_t n_uncond,
                        uint32_t max_queue, const struct jm_painter_events *events,
                        jm_painter **out, jm_err *err)
{
    return jm_painter_open(&(struct jm_painter_config){ .ops = m->ops,
                                                        .plan = m->plan,
                                                        .limits = m->limits,
                                                        .model = m->params,
                                                        .max_pictures = m->max_pictures,
                                                        .max_cells = m->max_cells,
                                                        .max_queue = max_queue,
                                                        .uncond = uncond,
                                                        .n_uncond = n_uncond,
                                                        .events = *events },
                           out, err);
}

jm_status jm_u1_draw(const jm_u1_model *m, const struct jm_u1_prompts *prompts,
                     const struct jm_sampling *how, float *pixels, jm_err *err)
{
    jm_painter *e;
    struct jm_painter_events quiet = { 0 };
    jm_status st = jm_u1_painter(m, prompts->uncond, prompts->n_uncond, 1, &quiet, &e, err);
    if (st != JM_OK)
        return st;
    st = jm_painter_submit(e,
                           &(struct jm_painter_request){ .prompt = prompts->prompt,
                                                         .n_prompt = prompts->n_prompt,
                                                         .how = *how,
                                                         .pixels = pixels },
                           err);
    while (st == JM_OK && jm_painter_pending(e) > 0)
        st = jm_painter_step(e, err);
    jm_painter_close(e);
    return st;
}

void jm_u1_close(jm_u1_model *m)
{
    if (m->plan)
        m->ops->plan_close(m->plan);
    jm_graph_free(m->graph);
    jm_gguf_close(m->file); /* after the plan: weights point into it */
    *m = (jm_u1_model){ 0 };
}
