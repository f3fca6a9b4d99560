/* SPDX-License-Identifier: Apache-2.0 */
/* See engine.h. Idea: iteration-level scheduling, Yu et al., "Orca", OSDI 2022; prompts are cut
 * into pieces where the batch has no room for all of them. */
#include "workloads/translate/engine.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/checked.h"

/* A sequence that owns a slot. */
struct seq {
    struct jm_engine_request r;
    uint32_t slot;
    uint32_t fed;   /* positions written to the cache, or enqueued in this step */
    uint32_t n_out; /* tokens reported */
    uint32_t max_out;
    uint32_t next; /* token to feed once the prompt is in */
};

struct jm_engine {
    struct jm_engine_config cfg;
    struct jm_engine_request *queue; /* [max_queue], ring */
    uint32_t q_head, q_len;
    struct seq *active; /* [max_slots], in order of admission */
    uint32_t n_active;
    uint32_t *free_slots; /* [max_slots], stack */
    uint32_t n_free;
    uint32_t *rows;   /* token, slot, pos [max_rows] each, then gather [max_slots] */
    uint32_t *owner;  /* [max_slots], active index of each gathered row */
    int32_t *next_id; /* [max_slots], what the plan answered */
    struct jm_batch batch;
    uint32_t *token, *slot, *pos, *gather; /* into rows */
};

static bool alloc_arrays(jm_engine *e)
{
    size_t slots = e->cfg.limits.max_slots, rows;
    if (!jm_mul_size(e->cfg.limits.max_rows, 3, &rows) || !jm_add_size(rows, slots, &rows))
        return false;
    e->queue = calloc(e->cfg.max_queue, sizeof *e->queue);
    e->active = calloc(slots, sizeof *e->active);
    e->free_slots = calloc(slots, sizeof *e->free_slots);
    e->owner = calloc(slots, sizeof *e->owner);
    e->next_id = calloc(slots, sizeof *e->next_id);
    e->rows = calloc(rows, sizeof *e->rows);
    return e->queue && e->active && e->free_slots && e->owner && e->next_id && e->rows;
}

jm_status jm_engine_open(const struct jm_engine_config *cfg, jm_engine **out, jm_err *err)
{
    const struct jm_limits *lim = &cfg->limits;
    *out = NULL;
    if (!lim->max_slots || !lim->max_context || lim->max_rows < lim->max_slots || !cfg->max_queue ||
        !cfg->vocab || cfg->n_stop > JM_ENGINE_MAX_STOP)
        return jm_fail(err, JM_EUSAGE,
                       "engine: %u rows, %u slots, %u positions and a queue of %u do not work "
                       "together",
                       lim->max_rows, lim->max_slots, lim->max_context, cfg->max_queue);
    jm_engine *e = calloc(1, sizeof *e);
    if (!e)
        return jm_fail(err, JM_ENOMEM, "engine: out of memory");
    e->cfg = *cfg;
    if (!alloc_arrays(e)) {
        jm_engine_close(e);
        return jm_fail(err, JM_ENOMEM, "engine: out of memory for %u rows and %u slots",
                       lim->max_rows, lim->max_slots);
    }
    e->token = e->rows;
    e->slot = e->token + lim->max_rows;
    e->pos = e->slot + lim->max_rows;
    e->gather = e->pos + lim->max_rows;
    jm_engine_clear(e);
    *out = e;
    return JM_OK;
}

void jm_engine_close(jm_engine *e)
{
    if (!e)
        return;
    free(e->queue);
    free(e->active);
    free(e->free_slots);
    free(e->owner);
    free(e->next_id);
    free(e->rows);
    free(e);
}

void jm_engine_clear(jm_engine *e)
{
    uint32_t n = e->cfg.limits.max_slots;
    e->q_head = e->q_len = e->n_active = 0;
    for (uint32_t i = 0; i < n; i++)
        e->free_slots[i] = n - 1 - i; /* slot 0 is handed out first */
    e->n_free = n;
}

uint32_t jm_engine_pending(const jm_engine *e)
{
    return e->q_len + e->n_active;
}

jm_status jm_engine_submit(jm_engine *e, const struct jm_engine_request *r, jm_err *err)
{
    uint32_t context = e->cfg.limits.max_context;
    if (r->n_prompt == 0)
        return jm_fail(err, JM_EUSAGE, "request %u: the prompt is empty", r->id);
    if (r->n_prompt > context)
        return jm_fail(err, JM_EUSAGE, "request %u: the prompt has %u tokens, the limit is %u",
                       r->id, r->n_prompt, context);
    for (uint32_t i = 0; i < r->n_prompt; i++)
        if (r->prompt[i] >= e->cfg.vocab)
            return jm_fail(err, JM_EUSAGE, "request %u: token %u is outside the vocabulary of %u",
                           r->id, r->prompt[i], e->cfg.vocab);
    if (e->q_len == e->cfg.max_queue)
        return jm_fail(err, JM_EUSAGE, "request %u: the queue of %u is full", r->id,
                       e->cfg.max_queue);
    uint64_t at = ((uint64_t)e->q_head + e->q_len) % e->cfg.max_queue;
    e->queue[at] = *r;
    e->q_len++;
    return JM_OK;
}

static struct jm_engine_request pop(jm_engine *e)
{
    struct jm_engine_request r = e->queue[e->q_head];
    e->q_head = (e->q_head + 1) % e->cfg.max_queue;
    e->q_len--;
    return r;
}

static void tell_done(const jm_engine *e, const struct jm_engine_request *r, uint32_t n_out,
                      jm_engine_end end)
{
    const struct jm_engine_events *ev = &e->cfg.events;
    if (ev->done)
        ev->done(ev->user, r->id, r->n_prompt, n_out, end);
}

/* Appends up to n rows of s to the batch; the row whose next token is wanted is gathered. */
static void add_rows(jm_engine *e, uint32_t index, uint32_t n)
{
    struct seq *s = &e->active[index];
    struct jm_batch *b = &e->batch;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t row = b->n_rows++;
        e->token[row] = s->fed < s->r.n_prompt ? s->r.prompt[s->fed] : s->next;
        e->slot[row] = s->slot;
        e->pos[row] = s->fed++;
    }
    if (n > 0 && s->fed >= s->r.n_prompt) {
        e->owner[b->n_gather] = index;
        e->gather[b->n_gather++] = b->n_rows - 1;
    }
}

/* The next waiting request that wants any output gets a slot. false: nobody does. */
static bool admit(jm_engine *e)
{
    while (e->q_len > 0 && e->n_free > 0) {
        struct jm_engine_request r = pop(e);
        if (r.max_new == 0) {
            tell_done(e, &r, 0, JM_ENGINE_LENGTH);
            continue;
        }
        /* The last token of an answer is never fed back, hence one more than positions left. */
        uint32_t room = e->cfg.limits.max_context - r.n_prompt + 1;
        e->active[e->n_active++] = (struct seq){
            .r = r,
            .slot = e->free_slots[--e->n_free],
            .max_out = r.max_new < room ? r.max_new : room,
        };
        return true;
    }
    return false;
}

/* Decoding sequences have one row each, whatever happens; prompts share the rest, oldest first. */
static void lay_out(jm_engine *e)
{
    uint32_t left = e->cfg.limits.max_rows;
    e->batch =
        (struct jm_batch){ .token = e->token, .slot = e->slot, .pos = e->pos, .gather = e->gather };
    for (uint32_t i = 0; i < e->n_active; i++)
        left -= e->active[i].fed >= e->active[i].r.n_prompt;
    for (uint32_t i = 0; i < e->n_active || (left > 0 && admit(e)); i++) {
        const struct seq *s = &e->active[i];
        uint32_t n = 1;
        if (s->fed < s->r.n_prompt) {
            n = s->r.n_prompt - s->fed;
            n = n < left ? n : left;
            left -= n;
        }
        add_rows(e, i, n);
    }
}

static bool is_stop(const jm_engine *e, uint32_t token)
{
    for (uint32_t i = 0; i < e->cfg.n_stop; i++)
        if (e->cfg.stop[i] == token)
            return true;
    return false;
}

/* Takes one answer of the plan; true when the sequence has ended. */
static bool advance(jm_engine *e, struct seq *s, uint32_t token)
{
    const struct jm_engine_events *ev = &e->cfg.events;
    if (s->n_out == 0 && ev->first)
        ev->first(ev->user, s->r.id);
    if (is_stop(e, token)) {
        tell_done(e, &s->r, s->n_out, JM_ENGINE_STOP);
        return true;
    }
    s->next = token;
    s->n_out++;
    if (ev->token)
        ev->token(ev->user, s->r.id, token);
    if (s->n_out < s->max_out)
        return false;
    tell_done(e, &s->r, s->n_out, JM_ENGINE_LENGTH);
    return true;
}

/* Takes the sequences marked with slot == UINT32_MAX out, the order of the rest stays. */
static void compact(jm_engine *e)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->n_active; i++)
        if (e->active[i].slot != UINT32_MAX)
            e->active[n++] = e->active[i];
    e->n_active = n;
}

static void release(jm_engine *e, struct seq *s)
{
    e->free_slots[e->n_free++] = s->slot;
    s->slot = UINT32_MAX;
}

jm_status jm_engine_step(jm_engine *e, jm_err *err)
{
    const struct jm_backend_ops *ops = e->cfg.ops;
    lay_out(e);
    if (e->batch.n_rows == 0)
        return JM_OK;
    jm_status st = ops->execute(e->cfg.plan, &e->batch, err);
    if (st == JM_OK)
        st = ops->wait(e->cfg.plan, err);
    if (st == JM_OK && e->batch.n_gather > 0)
        st = ops->fetch(e->cfg.plan, 0, 0, e->batch.n_gather, e->next_id, err);
    if (st != JM_OK)
        return st;
    for (uint32_t i = 0; i < e->batch.n_gather; i++) {
        struct seq *s = &e->active[e->owner[i]];
        if (e->next_id[i] < 0 || (uint32_t)e->next_id[i] >= e->cfg.vocab)
            return jm_fail(err, JM_EDEVICE, "backend %s answered token %d, the vocabulary has %u",
                           ops->name, e->next_id[i], e->cfg.vocab);
        if (advance(e, s, (uint32_t)e->next_id[i]))
            release(e, s);
    }
    compact(e);
    return JM_OK;
}

static bool cancel_queued(jm_engine *e, uint32_t id)
{
    uint32_t cap = e->cfg.max_queue;
    for (uint32_t i = 0; i < e->q_len; i++) {
        struct jm_engine_request r = e->queue[((uint64_t)e->q_head + i) % cap];
        if (r.id != id)
            continue;
        for (uint32_t k = i + 1; k < e->q_len; k++)
            e->queue[((uint64_t)e->q_head + k - 1) % cap] =
                e->queue[((uint64_t)e->q_head + k) % cap];
        e->q_len--;
        tell_done(e, &r, 0, JM_ENGINE_CANCELLED);
        return true;
    }
    return false;
}

jm_status jm_engine_cancel(jm_engine *e, uint32_t id, jm_err *err)
{
    for (uint32_t i = 0; i < e->n_active; i++) {
        struct seq s = e->active[i];
        if (s.r.id != id)
            continue;
        release(e, &e->active[i]);
        compact(e);
        tell_done(e, &s.r, s.n_out, JM_ENGINE_CANCELLED);
        return JM_OK;
    }
    if (cancel_queued(e, id))
        return JM_OK;
    return jm_fail(err, JM_ENOTFOUND, "request %u is not pending", id);
}
