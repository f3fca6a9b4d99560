/* SPDX-License-Identifier: Apache-2.0 */
/* See mt_model.h. */
#include "workloads/translate/mt_model.h"

#include "backends/loader.h"

static jm_status check_support(const jm_mt_model *m, jm_err *err)
{
    const struct jm_node *n = jm_backend_missing(m->ops, m->device, m->graph);
    if (!n)
        return JM_OK;
    return jm_fail(err, JM_EUNSUPPORTED,
                   "backend %s cannot run %s%s%s of this model; try another backend or a model in "
                   "another format",
                   m->ops->name, jm_op_name(n->op), n->w.name ? " with weight " : "",
                   n->w.name ? n->w.name : "");
}

static jm_status load(const char *path, jm_mt_model *m, jm_err *err)
{
    jm_status st = jm_gguf_open(path, &m->file, err);
    if (st == JM_OK) /* first, so that a file of another kind is called by its name */
        st = jm_hunyuan_build(m->file, &m->graph, &m->params, err);
    if (st == JM_OK)
        st = jm_tokenizer_open(m->file, &m->tok, err);
    if (st == JM_OK)
        st = jm_prompt_open(m->file, m->tok, &m->prompt, err);
    if (st == JM_OK && jm_tokenizer_size(m->tok) > m->params.vocab)
        st = jm_fail(err, JM_EINPUT, "%s: the tokenizer has %u tokens, the embedding only %u rows",
                     path, jm_tokenizer_size(m->tok), m->params.vocab);
    return st == JM_OK ? check_support(m, err) : st;
}

jm_status jm_mt_open(const char *path, const struct jm_backend_ops *ops, jm_device *device,
                     jm_mt_model *m, jm_err *err)
{
    *m = (jm_mt_model){ .ops = ops, .device = device };
    jm_status st = load(path, m, err);
    if (st != JM_OK) {
        jm_mt_close(m);
        return st;
    }
    for (uint32_t i = 0; i < jm_tokenizer_size(m->tok); i++) {
        size_t n = jm_tokenizer_bytes(m->tok, i).n;
        if (n > m->longest_token)
            m->longest_token = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
    }
    return JM_OK;
}

/* Prompt rows a step, at least: enough to fill wide matrix kernels, few enough for decoding
 * sequences not to wait long for a newcomer's prompt. */
enum { MIN_ROWS = 256 };

jm_status jm_mt_compile(jm_mt_model *m, uint32_t slots, uint32_t context, jm_format kv, jm_err *err)
{
    if (!m->graph || slots == 0 || context == 0 || context > m->params.context)
        return jm_fail(err, JM_EUSAGE,
                       "%s: %u sequences of %u positions cannot be had; the "
                       "model's context is %u",
                       jm_gguf_path(m->file), slots, context, m->params.context);
    m->limits = (struct jm_limits){ .max_rows = slots > MIN_ROWS ? slots : MIN_ROWS,
                                    .max_slots = slots,
                                    .max_gather = slots,
                                    .max_context = context,
                                    .kv_format = kv,
                                    .max_bytes = m->max_bytes };
    jm_err why = { 0 };
    jm_status st = m->ops->compile(m->device, m->graph, &m->limits, &m->plan, &why);
    if (st == JM_ENOMEM && slots > 1)
        return jm_fail(err, st, "%s: %.300s; a --batch below %u takes less", jm_gguf_path(m->file),
                       why.text, slots);
    if (st == JM_ENOMEM)
        return jm_fail(err, st, "%s: %.300s; a model with fewer bits a weight takes less",
                       jm_gguf_path(m->file), why.text);
    if (st != JM_OK)
        return jm_fail(err, st, "%s", why.text);
    jm_graph_free(m->graph);
    m->graph = NULL;
    return JM_OK;
}

jm_status jm_mt_engine(const jm_mt_model *m, uint32_t max_queue,
                       const struct jm_engine_events *events, jm_engine **out, jm_err *err)
{
    struct jm_engine_config cfg = { .ops = m->ops,
                                    .plan = m->plan,
                                    .limits = m->limits,
                                    .vocab = m->params.vocab,
                                    .max_queue = max_queue,
                                    .events = *events };
    uint32_t eot;
    cfg.stop[cfg.n_stop++] = jm_prompt_eos(m->prompt);
    if (jm_gguf_u32(m->file, "tokenizer.ggml.eot_token_id", &eot) && eot < m->params.vocab)
        cfg.stop[cfg.n_stop++] = eot;
    return jm_engine_open(&cfg, out, err);
}

uint32_t jm_mt_max_new(uint32_t n_prompt)
{
    enum { MOST = 256 };
    return n_prompt >= (MOST - 32) / 3 ? MOST : 3 * n_prompt + 32;
}

void jm_mt_close(jm_mt_model *m)
{
    if (m->plan)
        m->ops->plan_close(m->plan);
    jm_graph_free(m->graph);
    jm_prompt_close(m->prompt);
    jm_tokenizer_close(m->tok);
    jm_gguf_close(m->file); /* after the plan: weights point into it */
    *m = (jm_mt_model){ 0 };
}
