/* SPDX-License-Identifier: Apache-2.0 */
/* See engine.h. A step has two parts: prompts of new pictures fill their slots, then every active
 * picture has one run a branch, packed into as few batches as the plan's rows allow. The last slot
 * holds the unconditional prompt; runs of all pictures read it. */
#include "workloads/imagegen/engine.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

/* A picture that owns a slot and a place for its pixels. */
struct drawing {
    struct jm_painter_request r;
    uint32_t slot;  /* also numbers its place in z and in the predictions */
    uint32_t cells; /* rows of each of its runs */
    uint32_t fed;   /* prompt tokens in the cache */
    uint32_t step;  /* Euler steps done */
};

struct jm_painter {
    struct jm_painter_config cfg;
    struct jm_painter_request *queue; /* [max_queue], ring */
    uint32_t q_head, q_len;
    struct drawing *active; /* [max_pictures], in order of admission */
    uint32_t n_active;
    uint32_t *free_slots; /* [max_pictures], stack */
    uint32_t n_free;
    uint32_t uncond_fed;    /* tokens of the unconditional prompt in the cache */
    size_t place;           /* values of the largest picture */
    float *z;               /* [max_pictures, place] cells of each picture */
    float *pred;            /* [max_pictures, 2, place] cond and uncond */
    uint32_t *words;        /* what the five below point into */
    uint32_t *token, *slot; /* [max_rows] */
    uint32_t *pos, *h, *w;  /* [max_rows] */
    uint32_t *run;          /* [max_runs] */
    float **to;             /* [max_runs] where the prediction of a run goes */
    float *pixels;          /* [max_rows, cell values] */
    float *time, *noise;    /* [max_runs, features] */
    struct jm_batch batch;
};

static float *new_floats(size_t n, size_t m)
{
    size_t all;
    return jm_mul_size(n, m, &all) ? calloc(all ? all : 1, sizeof(float)) : NULL;
}

static bool alloc_arrays(jm_painter *e)
{
    const struct jm_painter_config *c = &e->cfg;
    size_t rows = c->limits.max_rows, runs = c->limits.max_runs, words, places;
    size_t values = jm_neo_cell_values(&c->model);
    if (!jm_mul_size(rows, 5, &words) || !jm_add_size(words, runs, &words) ||
        !jm_mul_size(c->max_cells, values, &e->place) || !jm_mul_size(c->max_pictures, 2, &places))
        return false;
    e->queue = calloc(c->max_queue, sizeof *e->queue);
    e->active = calloc(c->max_pictures, sizeof *e->active);
    e->free_slots = calloc(c->max_pictures, sizeof *e->free_slots);
    e->words = calloc(words, sizeof *e->words);
    e->to = calloc(runs, sizeof *e->to);
    e->z = new_floats(c->max_pictures, e->place);
    e->pred = new_floats(places, e->place);
    e->pixels = new_floats(rows, values);
    e->time = new_floats(runs, c->model.time_features);
    e->noise = new_floats(runs, c->model.noise_features);
    return e->queue && e->active && e->free_slots && e->words && e->to && e->z && e->pred &&
           e->pixels && e->time && e->noise;
}

static jm_status check_config(const struct jm_painter_config *c, jm_err *err)
{
    const struct jm_limits *lim = &c->limits;
    if (!c->max_pictures || c->max_pictures >= lim->max_slots || !c->max_cells ||
        c->max_cells > lim->max_rows || !lim->max_runs || !lim->max_side || !c->max_queue)
        return jm_fail(err, JM_EUSAGE,
                       "painter: %u pictures of %u cells do not fit %u slots and %u rows",
                       c->max_pictures, c->max_cells, lim->max_slots, lim->max_rows);
    if (!c->n_uncond || c->n_uncond > lim->max_context)
        return jm_fail(err, JM_EUSAGE,
                       "painter: the unconditional prompt has %u tokens, the context %u",
                       c->n_uncond, lim->max_context);
    for (uint32_t i = 0; i < c->n_uncond; i++) {
        if (c->uncond[i] >= c->model.vocab)
            return jm_fail(err, JM_EUSAGE,
                           "painter: the unconditional prompt has token %u of a vocabulary of %u",
                           c->uncond[i], c->model.vocab);
    }
    return JM_OK;
}

jm_status jm_painter_open(const struct jm_painter_config *cfg, jm_painter **out, jm_err *err)
{
    *out = NULL;
    jm_status st = check_config(cfg, err);
    if (st != JM_OK)
        return st;
    jm_painter *e = calloc(1, sizeof *e);
    if (!e)
        return jm_fail(err, JM_ENOMEM, "painter: out of memory");
    e->cfg = *cfg;
    if (!alloc_arrays(e)) {
        jm_painter_close(e);
        return jm_fail(err, JM_ENOMEM, "painter: out of memory for %u pictures of %u cells",
                       cfg->max_pictures, cfg->max_cells);
    }
    size_t rows = cfg->limits.max_rows;
    e->token = e->words;
    e->slot = e->token + rows;
    e->pos = e->slot + rows;
    e->h = e->pos + rows;
    e->w = e->h + rows;
    e->run = e->w + rows;
    jm_painter_clear(e);
    *out = e;
    return JM_OK;
}

void jm_painter_close(jm_painter *e)
{
    if (!e)
        return;
    free(e->queue);
    free(e->active);
    free(e->free_slots);
    free(e->words);
    free(e->to);
    free(e->z);
    free(e->pred);
    free(e->pixels);
    free(e->time);
    free(e->noise);
    free(e);
}

void jm_painter_clear(jm_painter *e)
{
    uint32_t n = e->cfg.max_pictures;
    e->q_head = e->q_len = e->n_active = e->uncond_fed = 0;
    for (uint32_t i = 0; i < n; i++)
        e->free_slots[i] = n - 1 - i; /* slot 0 is handed out first */
    e->n_free = n;
}

uint32_t jm_painter_pending(const jm_painter *e)
{
    return e->q_len + e->n_active;
}

static jm_status check_request(const jm_painter *e, const struct jm_painter_request *r, jm_err *err)
{
    const struct jm_limits *lim = &e->cfg.limits;
    const struct jm_neo *p = &e->cfg.model;
    if (r->n_prompt == 0 || r->n_prompt > lim->max_context)
        return jm_fail(err, JM_EUSAGE, "request %u: the prompt has %u tokens; take 1 to %u", r->id,
                       r->n_prompt, lim->max_context);
    for (uint32_t i = 0; i < r->n_prompt; i++) {
        if (r->prompt[i] >= p->vocab)
            return jm_fail(err, JM_EUSAGE, "request %u: token %u of a vocabulary of %u", r->id,
                           r->prompt[i], p->vocab);
    }
    jm_status st = jm_sampling_check(p, &r->how, err);
    if (st != JM_OK)
        return st;
    uint32_t cell = jm_neo_cell(p);
    if (jm_sampling_cells(p, &r->how) > e->cfg.max_cells || r->how.width / cell > lim->max_side ||
        r->how.height / cell > lim->max_side)
        return jm_fail(err, JM_EUSAGE,
                       "request %u: %u x %u pixels are more than the %u cells, %u a side, planned",
                       r->id, r->how.width, r->how.height, e->cfg.max_cells, lim->max_side);
    return JM_OK;
}

jm_status jm_painter_submit(jm_painter *e, const struct jm_painter_request *r, jm_err *err)
{
    jm_status st = check_request(e, r, err);
    if (st != JM_OK)
        return st;
    if (e->q_len == e->cfg.max_queue)
        return jm_fail(err, JM_EUSAGE, "request %u: %u requests wait already", r->id, e->q_len);
    e->queue[((uint64_t)e->q_head + e->q_len) % e->cfg.max_queue] = *r;
    e->q_len++;
    return JM_OK;
}

static bool guided(const struct drawing *d)
{
    return d->r.how.cfg < 1.0f || d->r.how.cfg > 1.0f;
}

static float *z_of(const jm_painter *e, const struct drawing *d)
{
    return e->z + d->slot * e->place;
}

/* branch 0: conditional, 1: unconditional */
static float *prediction_of(const jm_painter *e, const struct drawing *d, uint32_t branch)
{
    return e->pred + (2 * (size_t)d->slot + branch) * e->place;
}

static void admit(jm_painter *e)
{
    while (e->q_len > 0 && e->n_free > 0) {
        struct drawing *d = &e->active[e->n_active++];
        *d = (struct drawing){ .r = e->queue[e->q_head], .slot = e->free_slots[--e->n_free] };
        e->q_head = (e->q_head + 1) % e->cfg.max_queue;
        e->q_len--;
        d->cells = jm_sampling_cells(&e->cfg.model, &d->r.how);
        jm_cells_from_picture(&e->cfg.model, &d->r.how,
                              jm_sampling_noise_scale(&e->cfg.model, &d->r.how), d->r.pixels,
                              z_of(e, d));
    }
}

/* An empty batch over the painter's arrays. */
static void begin_batch(jm_painter *e, uint32_t entry)
{
    e->batch = (struct jm_batch){ .entry = entry, .slot = e->slot, .pos = e->pos };
    if (entry == JM_NEO_TEXT) {
        e->batch.token = e->token;
        return;
    }
    e->batch.pos_h = e->h;
    e->batch.pos_w = e->w;
    e->batch.run = e->run;
    e->batch.input[JM_NEO_PIXELS] = e->pixels;
    e->batch.input[JM_NEO_TIME] = e->time;
    e->batch.input[JM_NEO_NOISE] = e->cfg.model.noise_features ? e->noise : NULL;
}

static jm_status run_batch(jm_painter *e, jm_err *err)
{
    const struct jm_backend_ops *ops = e->cfg.ops;
    jm_status st = ops->execute(e->cfg.plan, &e->batch, err);
    return st == JM_OK ? ops->wait(e->cfg.plan, err) : st;
}

/* ---- text ---- */

/* As much of a prompt as the batch has room for. */
static void add_text(jm_painter *e, uint32_t slot, const uint32_t *prompt, uint32_t n,
                     uint32_t *fed)
{
    struct jm_batch *b = &e->batch;
    while (*fed < n && b->n_rows < e->cfg.limits.max_rows) {
        uint32_t row = b->n_rows++;
        e->token[row] = prompt[*fed];
        e->slot[row] = slot;
        e->pos[row] = (*fed)++;
    }
}

/* Reads all prompts that are not in the caches yet. */
static jm_status read_prompts(jm_painter *e, jm_err *err)
{
    for (;;) {
        bool any_guided = false;
        begin_batch(e, JM_NEO_TEXT);
        for (uint32_t i = 0; i < e->n_active; i++) {
            struct drawing *d = &e->active[i];
            any_guided = any_guided || guided(d);
            add_text(e, d->slot, d->r.prompt, d->r.n_prompt, &d->fed);
        }
        if (any_guided)
            add_text(e, e->cfg.max_pictures, e->cfg.uncond, e->cfg.n_uncond, &e->uncond_fed);
        if (e->batch.n_rows == 0)
            return JM_OK;
        jm_status st = run_batch(e, err);
        if (st != JM_OK)
            return st;
    }
}

/* ---- pictures ---- */

/* Runs what the batch holds and puts each run's prediction in its place. */
static jm_status flush(jm_painter *e, jm_err *err)
{
    const struct jm_batch *b = &e->batch;
    if (b->n_runs == 0)
        return JM_OK;
    jm_status st = run_batch(e, err);
    for (uint32_t i = 0; i < b->n_runs && st == JM_OK; i++) {
        uint32_t end = i + 1 < b->n_runs ? b->run[i + 1] : b->n_rows;
        st = e->cfg.ops->fetch(e->cfg.plan, JM_NEO_X_PRED, b->run[i], end - b->run[i], e->to[i],
                               err);
    }
    begin_batch(e, JM_NEO_PICTURE);
    return st;
}

/* One branch of a picture as the batch's next run; what is in the batch goes first where there is
 * no room. */
static jm_status add_run(jm_painter *e, const struct drawing *d, uint32_t branch, jm_err *err)
{
    const struct jm_neo *p = &e->cfg.model;
    struct jm_batch *b = &e->batch;
    if (b->n_runs == e->cfg.limits.max_runs || d->cells > e->cfg.limits.max_rows - b->n_rows) {
        jm_status st = flush(e, err);
        if (st != JM_OK)
            return st;
    }
    uint32_t run = b->n_runs++, across = d->r.how.width / jm_neo_cell(p);
    size_t values = jm_neo_cell_values(p);
    e->run[run] = b->n_rows;
    e->to[run] = prediction_of(e, d, branch);
    jm_neo_features(jm_sampling_time(&d->r.how, d->step), p->time_features,
                    e->time + (size_t)run * p->time_features);
    jm_neo_features(jm_sampling_noise_scale(p, &d->r.how) / p->noise_max, p->noise_features,
                    e->noise + (size_t)run * p->noise_features);
    memcpy(e->pixels + b->n_rows * values, z_of(e, d), d->cells * values * sizeof *e->pixels);
    for (uint32_t i = 0; i < d->cells; i++) {
        uint32_t row = b->n_rows++;
        e->slot[row] = branch ? e->cfg.max_pictures : d->slot;
        e->pos[row] = branch ? e->cfg.n_uncond : d->r.n_prompt;
        e->h[row] = i / across;
        e->w[row] = i % across;
    }
    return JM_OK;
}

static jm_status predict(jm_painter *e, jm_err *err)
{
    jm_status st = JM_OK;
    begin_batch(e, JM_NEO_PICTURE);
    for (uint32_t i = 0; i < e->n_active && st == JM_OK; i++) {
        const struct drawing *d = &e->active[i];
        st = add_run(e, d, 0, err);
        if (st == JM_OK && guided(d))
            st = add_run(e, d, 1, err);
    }
    return st == JM_OK ? flush(e, err) : st;
}

static void release(jm_painter *e, struct drawing *d)
{
    e->free_slots[e->n_free++] = d->slot;
    d->slot = UINT32_MAX;
}

/* Takes the pictures that were released out, the order of the rest stays. */
static void compact(jm_painter *e)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->n_active; i++) {
        if (e->active[i].slot != UINT32_MAX)
            e->active[n++] = e->active[i];
    }
    e->n_active = n;
}

static void advance(jm_painter *e, struct drawing *d)
{
    const struct jm_painter_events *ev = &e->cfg.events;
    jm_sampling_step(&e->cfg.model, &d->r.how, d->step, z_of(e, d), prediction_of(e, d, 0),
                     guided(d) ? prediction_of(e, d, 1) : NULL);
    d->step++;
    if (ev->step)
        ev->step(ev->user, d->r.id, d->step);
    if (d->step < d->r.how.steps)
        return;
    jm_cells_to_picture(&e->cfg.model, &d->r.how, z_of(e, d), d->r.pixels);
    release(e, d);
    if (ev->done)
        ev->done(ev->user, d->r.id, false);
}

jm_status jm_painter_step(jm_painter *e, jm_err *err)
{
    admit(e);
    if (e->n_active == 0)
        return JM_OK;
    jm_status st = read_prompts(e, err);
    if (st == JM_OK)
        st = predict(e, err);
    for (uint32_t i = 0; i < e->n_active && st == JM_OK; i++)
        advance(e, &e->active[i]);
    compact(e);
    return st;
}

static void tell_cancelled(const jm_painter *e, uint32_t id)
{
    if (e->cfg.events.done)
        e->cfg.events.done(e->cfg.events.user, id, true);
}

jm_status jm_painter_cancel(jm_painter *e, uint32_t id, jm_err *err)
{
    for (uint32_t i = 0; i < e->n_active; i++) {
        if (e->active[i].r.id != id)
            continue;
        release(e, &e->active[i]);
        compact(e);
        tell_cancelled(e, id);
        return JM_OK;
    }
    uint32_t cap = e->cfg.max_queue;
    for (uint32_t i = 0; i < e->q_len; i++) {
        if (e->queue[((uint64_t)e->q_head + i) % cap].id != id)
            continue;
        for (uint32_t k = i + 1; k < e->q_len; k++)
            e->queue[((uint64_t)e->q_head + k - 1) % cap] =
                e->queue[((uint64_t)e->q_head + k) % cap];
        e->q_len--;
        tell_cancelled(e, id);
        return JM_OK;
    }
    return jm_fail(err, JM_ENOTFOUND, "request %u is not pending", id);
}
