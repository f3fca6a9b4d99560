/* SPDX-License-Identifier: Apache-2.0 */
/* See profile.h. Times are kept in ticks, of the processor's own counter where there is one that
 * reads in some nanoseconds, and become nanoseconds when they are asked for. Each thread writes its
 * own sums; what steps do is counted a batch, not a step. */
#include "backends/cpu/profile.h"

#include <stdio.h>
#include <stdlib.h>

#include "backends/cpu/work.h"
#include "base/checked.h"
#include "base/clock.h"

static const uint32_t class_from[] = { 1, 2, 8, 32, 128 };
enum { CLASSES = sizeof class_from / sizeof *class_from };

/* One thread's. */
struct lane {
    _Alignas(64) int64_t last; /* when its current stretch of work began */
    int64_t begun;             /* in this batch */
    int64_t pending;           /* work of the current step before its latest wait */
    int64_t wait;              /* in this batch */
    int64_t *busy;             /* [CLASSES, n_steps] */
    int64_t *row;              /* of the class under way */
};

struct class_sums {
    int64_t execute, between, wait, start;
    uint64_t batches, rows;
};

struct jm_cpu_profile {
    int64_t entered; /* execute */
    int64_t left;    /* the execute before; 0: there was none */
    int64_t tick0;   /* when it was switched on */
    int64_t ns0;
    int64_t *busy; /* [threads, CLASSES, n_steps] the lanes' */
    struct class_sums sum[CLASSES];
    struct jm_tally *tally; /* [CLASSES, n_entries] */
    uint32_t threads;
    struct lane lane[]; /* [threads] */
};

static inline int64_t ticks(void)
{
#if defined(__x86_64__)
    return (int64_t)__builtin_ia32_rdtsc();
#else
    return jm_now_ns();
#endif
}

/* Nanoseconds a tick, by both clocks since it was switched on. */
static double tick_ns(const struct jm_cpu_profile *f)
{
    int64_t passed = ticks() - f->tick0, ns = jm_now_ns() - f->ns0;
    return passed > 0 && ns > 0 ? (double)ns / (double)passed : 1.0;
}

void jm_cpu_profile_close(jm_plan *p)
{
    if (!p->profile)
        return;
    free(p->profile->busy);
    free(p->profile->tally);
    free(p->profile);
    p->profile = NULL;
}

jm_status jm_cpu_profile(jm_plan *p, bool on, jm_err *err)
{
    size_t threads = jm_team_size(p->dev->team), n, bytes;
    jm_cpu_profile_close(p);
    if (!on)
        return JM_OK;
    struct jm_cpu_profile *f = NULL;
    /* A line between the sums of two threads: neither waits for the other's stores. */
    size_t apart = (size_t)CLASSES * p->n_steps + 64 / sizeof *f->busy;
    if (jm_mul_size(threads, sizeof *f->lane, &bytes) && jm_add_size(bytes, sizeof *f, &bytes) &&
        jm_mul_size(threads, apart, &n))
        f = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!f)
        return jm_fail(err, JM_ENOMEM, "profile: out of memory for %zu threads", threads);
    *f = (struct jm_cpu_profile){ .threads = (uint32_t)threads,
                                  .busy = calloc(n, sizeof *f->busy),
                                  .tally =
                                      calloc((size_t)CLASSES * p->n_entries, sizeof *f->tally) };
    p->profile = f;
    if (!f->busy || !f->tally) {
        jm_cpu_profile_close(p);
        return jm_fail(err, JM_ENOMEM, "profile: out of memory for %u operations", p->n_steps);
    }
    for (size_t t = 0; t < threads; t++)
        f->lane[t] = (struct lane){ .busy = f->busy + t * apart };
    f->ns0 = jm_now_ns();
    f->tick0 = ticks();
    return JM_OK;
}

static uint32_t class_of(uint32_t rows)
{
    uint32_t c = 0;
    while (c + 1 < CLASSES && rows >= class_from[c + 1])
        c++;
    return c;
}

void jm_cpu_profile_enter(jm_plan *p)
{
    p->profile->entered = ticks();
}

void jm_cpu_profile_begin(jm_plan *p, uint32_t m)
{
    struct lane *l = &p->profile->lane[m];
    l->row = l->busy + (size_t)class_of(p->batch->n_rows) * p->n_steps;
    l->wait = l->pending = 0;
    l->begun = l->last = ticks();
}

void jm_cpu_profile_step(jm_plan *p, uint32_t step, uint32_t m)
{
    struct lane *l = &p->profile->lane[m];
    int64_t now = ticks();
    l->row[step] += l->pending + now - l->last;
    l->pending = 0;
    l->last = now;
}

void jm_cpu_profile_meet(const jm_plan *p, uint32_t m, struct jm_ahead ahead)
{
    struct lane *l = &p->profile->lane[m];
    int64_t came = ticks();
    jm_team_barrier(p->dev->team, m, ahead);
    int64_t left = ticks();
    l->pending += came - l->last;
    l->wait += left - came;
    l->last = left;
}

/* Threads that read all weights of a batch. */
static uint32_t readers(const jm_plan *p)
{
    uint32_t n = 0;
    for (uint32_t t = 0; p->by_rows && t < p->profile->threads; t++)
        n += p->deal.rows[t] > 0;
    return p->by_rows ? n : 1;
}

void jm_cpu_profile_leave(jm_plan *p)
{
    struct jm_cpu_profile *f = p->profile;
    const struct jm_batch *b = p->given;
    uint32_t c = class_of(b->n_rows);
    struct class_sums *s = &f->sum[c];
    int64_t now = ticks();
    s->batches++;
    s->rows += b->n_rows;
    s->execute += now - f->entered;
    s->between += f->left ? f->entered - f->left : 0;
    for (uint32_t t = 0; t < f->threads; t++) {
        s->wait += f->lane[t].wait + now - f->lane[t].last;
        s->start += f->lane[t].begun - f->entered;
    }
    jm_tally_add(&f->tally[c * p->n_entries + b->entry], b, readers(p));
    f->left = ticks();
}

/* Of all threads, in ticks. */
static double busy_ticks(const jm_plan *p, uint32_t class, uint32_t step)
{
    double busy = 0;
    for (uint32_t t = 0; t < p->profile->threads; t++)
        busy += (double)p->profile->lane[t].busy[(size_t) class * p->n_steps + step];
    return busy;
}

bool jm_cpu_profile_batches(const jm_plan *p, uint32_t class, struct jm_profile_batches *out)
{
    const struct jm_cpu_profile *f = p->profile;
    if (!f || class >= CLASSES)
        return false;
    const struct class_sums *s = &f->sum[class];
    double ns = tick_ns(f), busy = 0;
    for (uint32_t i = 0; i < p->n_steps; i++)
        busy += busy_ticks(p, class, i);
    *out = (struct jm_profile_batches){
        .rows_from = class_from[class],
        .rows_to = class + 1 < CLASSES ? class_from[class + 1] - 1 : UINT32_MAX,
        .threads = f->threads,
        .batches = s->batches,
        .rows = s->rows,
        .execute_ns = (double)s->execute * ns,
        .between_ns = (double)s->between * ns,
        .busy_ns = busy * ns,
        .wait_ns = (double)s->wait * ns,
        .start_ns = (double)s->start * ns,
    };
    return true;
}

bool jm_cpu_profile_op(const jm_plan *p, uint32_t class, uint32_t node, struct jm_profile_op *out)
{
    const struct jm_cpu_profile *f = p->profile;
    struct jm_work w;
    if (!f || class >= CLASSES || node >= p->n_steps)
        return false;
    const struct jm_node *n = &p->steps[node].node;
    const struct jm_tally *t = &f->tally[class * p->n_entries + n->entry];
    jm_cpu_work(p, node, t, &w);
    *out = (struct jm_profile_op){ .op = n->op,
                                   .entry = n->entry,
                                   .kind = w.kind,
                                   .calls = t->batches,
                                   .busy_ns = busy_ticks(p, class, node) * tick_ns(f),
                                   .operations = w.operations,
                                   .bytes = w.bytes,
                                   .set_bytes = w.set_bytes };
    snprintf(out->kernel, sizeof out->kernel, "%s", w.kernel);
    if (n->w.name)
        snprintf(out->name, sizeof out->name, "%s", n->w.name);
    if (n->op == JM_OP_LINEAR || n->op == JM_OP_EMBED)
        snprintf(out->format, sizeof out->format, "%s", jm_format_info(n->w.format)->name);
    return true;
}
