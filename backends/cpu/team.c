/* SPDX-License-Identifier: Apache-2.0 */
/* See team.h. The barrier is the dissemination barrier of Hensgen, Finkel and Manber (1988): in
 * round r each member signals the one 2^r further on and waits for its own signal, so that two
 * threads meet after one trip of a cache line between their cores; a shared counter takes two.
 * A signal is a plain store, since an instruction that also learned whether its reader sleeps would
 * make each barrier wait for the line. Who goes to sleep pays instead, with membarrier(2). Where
 * members outnumber processors, who spins keeps another from working, and fewest sleeps are best:
 * there the barrier is the one of pthreads. */
#include "backends/cpu/team.h"

#include <hwloc.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

enum {
    SPIN_NS = 200000,         /* longer than a sleeper takes to wake, and than between two runs */
    SPINS_BEFORE_CLOCK = 512, /* some 10 us; looking more often makes each barrier longer */
    NAP_NS = 1000000,         /* where the kernel has no membarrier, of a sleep */
    FETCH = 512,              /* bytes asked for between two looks at a signal */
    LINE = 128,               /* cache lines are fetched in pairs */
};

/* Each has cache lines of its own. */
struct member {
    _Alignas(LINE) jm_team *team;
    pthread_t thread; /* not of member 0 */
    uint32_t number;
    unsigned passed; /* barriers so far */
};

/* A count that only one thread raises and only one waits for. Whether that one sleeps is on a line
 * of its own, which stays in the sender's cache. */
struct signal {
    _Alignas(LINE) atomic_uint count;
    _Alignas(LINE) atomic_bool sleeps;
};

struct jm_team {
    uint32_t n, started;   /* members; workers that exist */
    uint32_t rounds;       /* of a barrier: log2 n, rounded up */
    struct signal *start;  /* [n] where workers wait for a run: how many there have been */
    struct signal *signal; /* [n, rounds] where members wait in a barrier */
    unsigned runs;
    bool quit;
    bool sure; /* the kernel has membarrier: no wake-up is lost */
    bool crowded;
    pthread_barrier_t crowd; /* of all, if crowded */
    jm_team_fn *fn;
    void *arg;
    hwloc_topology_t topology;
    pthread_t opener;
    hwloc_bitmap_t before;  /* where the opener might run before it was bound; NULL: not bound */
    struct member member[]; /* [n] */
};

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void send(struct signal *s, unsigned count)
{
    atomic_store_explicit(&s->count, count, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst); /* the other half is in sleep_for */
    if (atomic_load_explicit(&s->sleeps, memory_order_relaxed))
        syscall(SYS_futex, &s->count, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static bool has_come(unsigned now, unsigned count)
{
    return (int)(now - count) >= 0;
}

/* After membarrier either the sender sees that its reader sleeps, or the reader sees the count.
 * Without it the reader looks again after a nap. */
static void sleep_for(const jm_team *t, struct signal *s, unsigned count)
{
    const struct timespec nap = { .tv_nsec = NAP_NS };
    unsigned now;
    atomic_store_explicit(&s->sleeps, true, memory_order_relaxed);
    bool sure = t->sure && syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
    while (!has_come(now = atomic_load_explicit(&s->count, memory_order_acquire), count))
        syscall(SYS_futex, &s->count, FUTEX_WAIT_PRIVATE, now, sure ? NULL : &nap, NULL, 0);
    atomic_store_explicit(&s->sleeps, false, memory_order_relaxed);
}

/* Asks for a little of what a member is about to read. */
static void fetch_some(struct jm_ahead *a)
{
    size_t n = a->bytes < FETCH ? a->bytes : FETCH;
    for (size_t at = 0; at < n; at += 64)
        __builtin_prefetch((const char *)a->data + at, 0, 2);
    *a = (struct jm_ahead){ .data = (const char *)a->data + n, .bytes = a->bytes - n };
}

static void wait_for(const jm_team *t, struct signal *s, unsigned count, struct jm_ahead *ahead)
{
    int64_t start_ns = 0;
    for (uint32_t i = 1; !t->crowded; i++) {
        if (has_come(atomic_load_explicit(&s->count, memory_order_acquire), count))
            return;
        if (ahead->bytes > 0)
            fetch_some(ahead);
        else
            relax();
        if (i % SPINS_BEFORE_CLOCK != 0)
            continue;
        int64_t now_ns = jm_now_ns();
        if (start_ns == 0)
            start_ns = now_ns;
        if (now_ns - start_ns > SPIN_NS)
            break;
    }
    sleep_for(t, s, count);
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

static void bind_opener(jm_team *t)
{
    hwloc_bitmap_t before = hwloc_bitmap_alloc();
    if (!before || hwloc_get_cpubind(t->topology, before, HWLOC_CPUBIND_THREAD) != 0) {
        hwloc_bitmap_free(before);
        return;
    }
    t->opener = pthread_self();
    t->before = before;
    bind_to_core(t, 0);
}

/* Threads that the opener starts later would otherwise crowd on its one core. */
static void unbind_opener(jm_team *t)
{
    if (t->before && pthread_equal(t->opener, pthread_self()))
        hwloc_set_cpubind(t->topology, t->before, HWLOC_CPUBIND_THREAD);
    hwloc_bitmap_free(t->before);
}

/* Those that have begun a run call others: 0 calls 1, then 2, 4, ..; 1 calls 3, 5, 9, .. */
static void call_others(jm_team *t, uint32_t member, unsigned run)
{
    uint32_t step = 1;
    while (step <= member)
        step *= 2;
    for (; step < t->n - member; step *= 2)
        send(&t->start[member + step], run);
}

static void *work(void *p)
{
    struct jm_ahead nothing = { 0 };
    struct member *m = p;
    jm_team *t = m->team;
    bind_to_core(t, m->number);
    for (unsigned run = 1;; run++) {
        wait_for(t, &t->start[m->number], run, &nothing);
        if (t->quit)
            return NULL;
        call_others(t, m->number, run);
        t->fn(t->arg, m->number);
        jm_team_barrier(t, m->number, nothing);
    }
}

/* [n] signals, all zero. NULL: out of memory. */
static struct signal *take_signals(size_t n)
{
    struct signal *s = aligned_alloc(LINE, n * sizeof *s);
    if (s)
        memset(s, 0, n * sizeof *s);
    return s;
}

static jm_status start_workers(jm_team *t, jm_err *err)
{
    for (uint32_t i = 0; i < t->n; i++) {
        struct member *m = &t->member[i];
        *m = (struct member){ .team = t, .number = i };
        if (i > 0 && pthread_create(&m->thread, NULL, work, m) != 0)
            return jm_fail(err, JM_EDEVICE, "threads: cannot start thread %u of %u", i + 1, t->n);
        t->started = i;
    }
    return JM_OK;
}

static jm_status open_team(jm_team *t, jm_err *err)
{
    while (t->rounds < 31 && (1u << t->rounds) < t->n)
        t->rounds++;
    t->start = take_signals(t->n);
    t->signal = take_signals((size_t)t->n * (t->rounds ? t->rounds : 1));
    if (!t->start || !t->signal)
        return jm_fail(err, JM_ENOMEM, "threads: out of memory");
    t->sure = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
    if (hwloc_topology_init(&t->topology) != 0)
        return jm_fail(err, JM_ENOMEM, "threads: out of memory");
    if (hwloc_topology_load(t->topology) != 0)
        return jm_fail(err, JM_EDEVICE, "threads: hwloc cannot read the machine's topology");
    int processors = hwloc_get_nbobjs_by_type(t->topology, HWLOC_OBJ_PU);
    if (processors > 0 && t->n > (uint32_t)processors) {
        if (pthread_barrier_init(&t->crowd, NULL, t->n) != 0)
            return jm_fail(err, JM_ENOMEM, "threads: out of memory");
        t->crowded = true;
    }
    return start_workers(t, err);
}

jm_status jm_team_open(uint32_t n, jm_team **out, jm_err *err)
{
    *out = NULL;
    jm_team *t = aligned_alloc(LINE, sizeof(jm_team) + n * sizeof(struct member));
    if (!t)
        return jm_fail(err, JM_ENOMEM, "threads: out of memory");
    *t = (jm_team){ .n = n };
    jm_status st = open_team(t, err);
    if (st != JM_OK) {
        jm_team_close(t);
        return st;
    }
    if (n > 1)
        bind_opener(t);
    *out = t;
    return JM_OK;
}

/* Each worker is told by itself: those behind one that never started would wait for its call. */
void jm_team_close(jm_team *t)
{
    if (!t)
        return;
    t->quit = true;
    t->runs++;
    for (uint32_t i = 1; i <= t->started; i++)
        send(&t->start[i], t->runs);
    for (uint32_t i = 1; i <= t->started; i++)
        pthread_join(t->member[i].thread, NULL);
    unbind_opener(t);
    if (t->topology)
        hwloc_topology_destroy(t->topology);
    if (t->crowded)
        pthread_barrier_destroy(&t->crowd);
    free(t->start);
    free(t->signal);
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
    call_others(t, 0, ++t->runs);
    fn(arg, 0);
    jm_team_barrier(t, 0, (struct jm_ahead){ 0 });
}

void jm_team_barrier(jm_team *t, uint32_t member, struct jm_ahead ahead)
{
    if (t->crowded) {
        pthread_barrier_wait(&t->crowd);
        return;
    }
    struct signal *own = t->signal + (size_t)member * t->rounds;
    unsigned count = ++t->member[member].passed;
    for (uint32_t r = 0; r < t->rounds; r++) {
        uint32_t partner = (member + (1u << r)) % t->n;
        send(&t->signal[(size_t)partner * t->rounds + r], count);
        wait_for(t, &own[r], count, &ahead);
    }
}
