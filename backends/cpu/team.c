/* SPDX-License-Identifier: Apache-2.0 */
/* See team.h. The barrier is the dissemination barrier of Hensgen, Finkel and Manber (1988): in
 * round r each member signals the one 2^r further on and waits for its own signal, so that two
 * threads meet after one trip of a cache line between their cores; a shared counter takes two.
 * Waits spin, and give the core away when the machine turns out to be busy. */
#include "backends/cpu/team.h"

#include <hwloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    SPINS_BEFORE_YIELD = 2000,  /* a barrier's partner is at most microseconds away */
    SPINS_BEFORE_SLEEP = 20000, /* some 100 us: longer than the gap between two decode steps */
};

struct worker {
    jm_team *team;
    pthread_t thread;
    uint32_t member;
};

/* A member's barriers so far, and the signals it has been sent; each alone on its cache line. */
struct line {
    _Alignas(64) atomic_uint count;
};

struct jm_team {
    uint32_t n;
    uint32_t started;             /* workers that exist */
    uint32_t rounds;              /* of a barrier: log2 n, rounded up */
    struct line *lines;           /* [n, 1 + rounds]: barriers passed, then signals */
    _Alignas(64) atomic_uint run; /* number of the current run; workers wait for it to rise */
    _Alignas(64) atomic_bool quit;
    jm_team_fn *fn;
    void *arg;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    hwloc_topology_t topology;
    struct worker workers[]; /* [n]; 0 unused */
};

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Binding is a wish: containers may forbid it, and results do not depend on it. */
static void bind_to_core(jm_team *t, uint32_t member)
{
    int cores = hwloc_get_nbobjs_by_type(t->topology, HWLOC_OBJ_CORE);
    if (cores < 1 || t->n > (uint32_t)cores)
        return;
    hwloc_obj_t core = hwloc_get_obj_by_type(t->topology, HWLOC_OBJ_CORE, member);
    if (core)
        hwloc_set_cpubind(t->topology, core->cpuset, HWLOC_CPUBIND_THREAD);
}

static unsigned wait_for_run(jm_team *t, unsigned seen)
{
    for (uint32_t i = 0; i < SPINS_BEFORE_SLEEP; i++) {
        unsigned now = atomic_load_explicit(&t->run, memory_order_acquire);
        if (now != seen)
            return now;
        relax();
    }
    pthread_mutex_lock(&t->lock);
    while (atomic_load_explicit(&t->run, memory_order_acquire) == seen)
        pthread_cond_wait(&t->wake, &t->lock);
    pthread_mutex_unlock(&t->lock);
    return atomic_load_explicit(&t->run, memory_order_acquire);
}

static void *work(void *p)
{
    struct worker *w = p;
    jm_team *t = w->team;
    bind_to_core(t, w->member);
    for (unsigned seen = 0;;) {
        seen = wait_for_run(t, seen);
        if (atomic_load(&t->quit))
            return NULL;
        t->fn(t->arg, w->member);
        jm_team_barrier(t, w->member);
    }
}

static void start_run(jm_team *t)
{
    pthread_mutex_lock(&t->lock);
    atomic_fetch_add_explicit(&t->run, 1, memory_order_release);
    pthread_cond_broadcast(&t->wake);
    pthread_mutex_unlock(&t->lock);
}

jm_status jm_team_open(uint32_t n, jm_team **out, jm_err *err)
{
    *out = NULL;
    jm_team *t =
        aligned_alloc(64, (sizeof(jm_team) + n * sizeof(struct worker) + 63) & ~(size_t)63);
    if (!t)
        return jm_fail(err, JM_ENOMEM, "threads: out of memory");
    *t = (jm_team){ .n = n };
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->wake, NULL);
    while (t->rounds < 32 && (1ull << t->rounds) < n)
        t->rounds++;
    size_t bytes = (size_t)n * (1 + t->rounds) * sizeof *t->lines;
    t->lines = aligned_alloc(64, bytes);
    if (!t->lines) {
        jm_team_close(t);
        return jm_fail(err, JM_ENOMEM, "threads: out of memory");
    }
    memset(t->lines, 0, bytes);
    if (hwloc_topology_init(&t->topology) != 0 || hwloc_topology_load(t->topology) != 0) {
        jm_team_close(t);
        return jm_fail(err, JM_EDEVICE, "threads: hwloc cannot read the machine's topology");
    }
    for (uint32_t i = 1; i < n; i++) {
        t->workers[i] = (struct worker){ .team = t, .member = i };
        if (pthread_create(&t->workers[i].thread, NULL, work, &t->workers[i]) != 0) {
            jm_team_close(t);
            return jm_fail(err, JM_EDEVICE, "threads: cannot start thread %u of %u", i + 1, n);
        }
        t->started = i;
    }
    if (n > 1)
        bind_to_core(t, 0);
    *out = t;
    return JM_OK;
}

void jm_team_close(jm_team *t)
{
    if (!t)
        return;
    atomic_store(&t->quit, true);
    start_run(t);
    for (uint32_t i = 1; i <= t->started; i++)
        pthread_join(t->workers[i].thread, NULL);
    if (t->topology)
        hwloc_topology_destroy(t->topology);
    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->lock);
    free(t->lines);
    free(t);
}

uint32_t jm_team_size(const jm_team *t)
{
    return t->n;
}

void jm_team_run(jm_team *t, jm_team_fn *fn, void *arg)
{
    t->fn = fn;
    t->arg = arg;
    if (t->n > 1)
        start_run(t);
    fn(arg, 0);
    jm_team_barrier(t, 0);
}

static void wait_for(const atomic_uint *signal, unsigned count)
{
    for (uint32_t i = 0; (int)(atomic_load_explicit(signal, memory_order_acquire) - count) < 0;
         i++) {
        relax();
        if (i > SPINS_BEFORE_YIELD)
            sched_yield();
    }
}

void jm_team_barrier(jm_team *t, uint32_t member)
{
    struct line *own = t->lines + (size_t)member * (1 + t->rounds);
    unsigned count = atomic_load_explicit(&own->count, memory_order_relaxed) + 1;
    atomic_store_explicit(&own->count, count, memory_order_relaxed);
    for (uint32_t r = 0; r < t->rounds; r++) {
        size_t partner = (member + (1ull << r)) % t->n;
        atomic_store_explicit(&t->lines[partner * (1 + t->rounds) + 1 + r].count, count,
                              memory_order_release);
        wait_for(&own[1 + r].count, count);
    }
}
