/* SPDX-License-Identifier: Apache-2.0 */
/* See peak.h. What lies beyond the L2 is read in three ways, and the fastest counts: plainly; with
 * prefetches of what comes 4 KB later, as processors do not look beyond a page by themselves; and
 * as eight streams side by side, as kernels read weights, which keeps more of memory busy. A level
 * of the cache is read in a set that fits it and no smaller one. How much the last level holds is
 * measured, not asked: virtual machines share it, and tell of more than they have. Memory is a set
 * so large that twice of it is read no slower. */
#include "backends/cpu/peak.h"

#include <hwloc.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "backends/cpu/team.h"
#include "base/checked.h"
#include "base/clock.h"

enum {
    TRIALS = 7,
    TRIAL_NS = 3000000, /* at least; more than a preemption's aftermath in the caches */
    MOST_NS = 100000000,
    FIRST_BYTES = 4 << 20,
    LEAST = 256 << 20, /* of memory, by all threads */
    FAR = 8,           /* times what a cache holds is memory */
};

enum way { PLAIN, AHEAD, SIDE_BY_SIDE, WAYS };
static const char *const way_name[WAYS] = { "", ", prefetched", ", 8 streams" };

/* What all threads do between two barriers. */
struct job {
    jm_team *team;
    const struct jm_cpu_peaks *k;
    jm_peak_mul_fn *mul; /* NULL: reads */
    enum way way;        /* of reading */
    const char *data;    /* [threads, apart] */
    size_t apart, bytes; /* a thread's part begins, and is read */
    uint64_t n;          /* rounds, or times */
    int64_t ns;          /* from barrier to barrier */
};

enum { PIECE = 4 * JM_PEAK_STRIDE, LINE = 64, STREAMS = 8, STREAM_AHEAD = 384 };

static uint64_t read_ahead(const struct job *j, const char *p)
{
    const size_t ahead = 4096; /* a whole number of pieces */
    uint64_t sum = 0;
    for (size_t at = 0; at < j->bytes; at += PIECE) {
        size_t n = j->bytes - at < PIECE ? j->bytes - at : PIECE;
        for (size_t i = 0; i < n && at + ahead + i < j->bytes; i += LINE)
            __builtin_prefetch(p + at + ahead + i);
        sum += j->k->read(p + at, n);
    }
    return sum;
}

/* Of what is far larger than STREAMS strides. They lie an odd number of strides apart: else all
 * would share the same few lines of a cache.
 */
static uint64_t read_streams(const struct job *j, const char *p)
{
    size_t each = ((j->bytes / STREAMS / JM_PEAK_STRIDE - 1) | 1) * JM_PEAK_STRIDE;
    uint64_t sum = j->k->read(p + STREAMS * each, j->bytes - STREAMS * each);
    for (size_t at = 0; at < each; at += JM_PEAK_STRIDE) {
        for (size_t s = 0; s < STREAMS; s++) {
            const char *from = p + s * each + at;
            for (size_t i = 0; i < JM_PEAK_STRIDE; i += LINE)
                __builtin_prefetch(from + STREAM_AHEAD + i); /* behind the end: the next stream's */
            sum += j->k->read(from, JM_PEAK_STRIDE);
        }
    }
    return sum;
}

/* A part once. */
static uint64_t read_part(const struct job *j, const char *p)
{
    return j->way == AHEAD          ? read_ahead(j, p)
           : j->way == SIDE_BY_SIDE ? read_streams(j, p)
                                    : j->k->read(p, j->bytes);
}

static void job_member(void *arg, uint32_t m)
{
    struct job *j = arg;
    volatile uint64_t kept; /* or nothing would have to be read */
    jm_team_barrier(j->team, m, (struct jm_ahead){ 0 });
    int64_t start = jm_now_ns();
    if (j->mul)
        kept = (uint64_t)j->mul(j->n);
    for (uint64_t i = 0; !j->mul && i < j->n; i++)
        kept = read_part(j, j->data + m * j->apart);
    (void)kept;
    jm_team_barrier(j->team, m, (struct jm_ahead){ 0 });
    if (m == 0)
        j->ns = jm_now_ns() - start;
}

/* Rounds or times a second: the best of some trials that last long enough, fewer on a machine that
 * is busy with other things. */
static double best_rate(struct job *j)
{
    double best = 0;
    int64_t began = jm_now_ns();
    j->n = j->mul ? JM_PEAK_ROUNDS >> 8 : 1 + FIRST_BYTES / j->bytes;
    for (int trials = 0; trials < TRIALS && (best <= 0 || jm_now_ns() - began < MOST_NS);) {
        jm_team_run(j->team, job_member, j);
        double ns = (double)(j->ns > 0 ? j->ns : 1), more = 1.2 * TRIAL_NS / ns;
        if (ns < TRIAL_NS && !(j->mul && j->n == JM_PEAK_ROUNDS)) {
            j->n = (uint64_t)((double)j->n * (more < 64 ? more : 64)) + 1;
            j->n = j->mul && j->n > JM_PEAK_ROUNDS ? JM_PEAK_ROUNDS : j->n;
            continue;
        }
        best = (double)j->n / ns * 1e9 > best ? (double)j->n / ns * 1e9 : best;
        trials++;
    }
    return best;
}

/* ---- bytes ---- */

/* A mapping of [threads, apart] bytes of ones, written by its readers as far as it was needed. */
struct field {
    char *data;
    size_t apart;   /* a multiple of the size of huge pages */
    size_t written; /* of each part */
    size_t want;
    jm_team *team;
};

static void write_ones(void *arg, uint32_t m)
{
    struct field *f = arg;
    uint64_t *w = (uint64_t *)(void *)(f->data + m * f->apart);
    for (size_t i = f->written / sizeof *w; i < f->want / sizeof *w; i++)
        w[i] = 1;
}

/* Bytes a second of all threads together that read `bytes` each, and in which way. beyond: what
 * lies outside the L2. */
static double read_rate(struct field *f, const struct jm_cpu_peaks *k, size_t bytes, bool beyond,
                        enum way *way)
{
    f->want = bytes / JM_PEAK_STRIDE * JM_PEAK_STRIDE;
    if (f->want > f->written) {
        jm_team_run(f->team, write_ones, f);
        f->written = f->want;
    }
    struct job j = {
        .team = f->team, .k = k, .data = f->data, .apart = f->apart, .bytes = f->want
    };
    double best = 0;
    *way = PLAIN;
    for (j.way = PLAIN; j.way < (beyond ? WAYS : AHEAD); j.way++) {
        double rate = best_rate(&j) * (double)f->want * jm_team_size(f->team);
        if (rate > best)
            best = rate, *way = j.way;
    }
    return best;
}

static struct jm_roof *add(struct jm_roof *out, uint32_t *n, struct jm_roof roof)
{
    out[*n] = roof;
    return &out[(*n)++];
}

static void tell_how(struct jm_roof *r, const struct jm_cpu_peaks *k, enum way way)
{
    snprintf(r->how, sizeof r->how, "%s%s", k->loads, way_name[way]);
}

/* Bytes that each thread has of a level of the cache, 0 where hwloc knows of none; and of all
 * caches of the level that the threads use together. */
static size_t level_bytes(hwloc_topology_t t, hwloc_obj_type_t level, uint32_t threads, size_t *all)
{
    hwloc_obj_t before = NULL;
    *all = 0;
    for (uint32_t i = 0; i < threads; i++) {
        hwloc_obj_t core = hwloc_get_obj_by_type(t, HWLOC_OBJ_CORE, i);
        hwloc_obj_t cache = core ? hwloc_get_ancestor_obj_by_type(t, level, core) : NULL;
        if (cache && cache != before) /* cores of one cache follow each other */
            *all += cache->attr->cache.size;
        before = cache;
    }
    return *all / threads;
}

/* L1 and L2, each half full, and where to begin with larger sets. */
static size_t inner_levels(struct field *f, const struct jm_cpu_peaks *k, hwloc_topology_t t,
                           struct jm_roof *out, uint32_t *n)
{
    static const hwloc_obj_type_t level[] = { HWLOC_OBJ_L1CACHE, HWLOC_OBJ_L2CACHE };
    uint32_t threads = jm_team_size(f->team);
    size_t next = 1 << 20, all;
    enum way way;
    for (uint32_t i = 0; i < 2; i++) {
        size_t each = level_bytes(t, level[i], threads, &all) / 2 / JM_PEAK_STRIDE * JM_PEAK_STRIDE;
        if (each == 0 || each > f->apart)
            continue;
        struct jm_roof *r = add(out, n,
                                (struct jm_roof){ .kind = JM_ROOF_READ,
                                                  .threads = threads,
                                                  .set_bytes = each * threads,
                                                  .capacity_bytes = all,
                                                  .per_s = read_rate(f, k, each, false, &way) });
        snprintf(r->name, sizeof r->name, "L%u", i + 1);
        tell_how(r, k, way);
        next = 8 * each > next ? 8 * each : next; /* four times the level */
    }
    return next < f->apart ? next : f->apart;
}

/* Memory is what others use too: it is read again, and the best counts. */
static void read_more(struct field *f, const struct jm_cpu_peaks *k, size_t bytes, double *rate,
                      enum way *way)
{
    enum { AGAIN = 2 };
    for (int i = 0; i < AGAIN; i++) {
        enum way now;
        double more = read_rate(f, k, bytes, true, &now);
        if (more > *rate)
            *rate = more, *way = now;
    }
}

/* Sets that double until twice as much is read as fast, far from the caches' rate: memory. told:
 * bytes of a last level behind the L2 that each thread has by the system's word; 0: there is none.
 */
static void outer_levels(struct field *f, const struct jm_cpu_peaks *k, size_t from, size_t told,
                         struct jm_roof *out, uint32_t *n)
{
    enum { MOST = 40 };
    uint32_t threads = jm_team_size(f->team), m = 0;
    double rate[MOST];
    enum way way[MOST];
    size_t size[MOST];
    size_t cached = from;
    for (size_t bytes = from; m < MOST && bytes <= f->apart; bytes *= 2) {
        size[m] = bytes;
        rate[m] = read_rate(f, k, bytes, true, &way[m]);
        if (rate[m] > 0.7 * rate[0])
            cached = bytes;
        bool level = m > 0 && rate[m] > 0.9 * rate[m - 1];
        m++;
        if (level && bytes >= LEAST / threads && bytes / FAR >= cached)
            break;
    }
    read_more(f, k, size[m - 1], &rate[m - 1], &way[m - 1]);
    double memory = rate[m - 1], edge = sqrt(rate[0] * memory);
    uint32_t held = 0;
    while (held + 1 < m && rate[held + 1] >= edge)
        held++;
    if (told > 0 && m > 1) {
        struct jm_roof *r = add(out, n,
                                (struct jm_roof){ .kind = JM_ROOF_READ,
                                                  .name = "L3",
                                                  .threads = threads,
                                                  .set_bytes = size[0] * threads,
                                                  .capacity_bytes = size[held] * threads,
                                                  .per_s = rate[0] });
        tell_how(r, k, way[0]);
    }
    struct jm_roof *r = add(out, n,
                            (struct jm_roof){ .kind = JM_ROOF_READ,
                                              .name = "memory",
                                              .threads = threads,
                                              .set_bytes = size[m - 1] * threads,
                                              .capacity_bytes = SIZE_MAX,
                                              .per_s = memory });
    tell_how(r, k, way[m - 1]);
}

/* At most a quarter of the machine's memory, and four times what the last level is told to hold. */
static jm_status map_field(struct field *f, hwloc_topology_t t, size_t told, jm_err *err)
{
    const size_t huge = 2 << 20;
    uint32_t threads = jm_team_size(f->team);
    uint64_t machine = hwloc_get_root_obj(t)->total_memory;
    size_t each = 4 * told > LEAST ? 4 * told : LEAST, bytes;
    if (machine > 0 && each > machine / 4 / threads)
        each = (size_t)(machine / 4 / threads);
    f->apart = each / huge * huge;
    if (f->apart == 0 || !jm_mul_size(f->apart, threads, &bytes))
        return jm_fail(err, JM_ENOMEM, "limits: %u threads have too little memory", threads);
    f->data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (f->data == MAP_FAILED) {
        f->data = NULL;
        return jm_fail(err, JM_ENOMEM, "limits: no %zu MB of memory to read", bytes >> 20);
    }
    (void)madvise(f->data, bytes, MADV_HUGEPAGE); /* a wish */
    return JM_OK;
}

static jm_status read_roofs(jm_team *team, const struct jm_cpu_peaks *k, struct jm_roof *out,
                            uint32_t *n, jm_err *err)
{
    hwloc_topology_t t;
    uint32_t threads = jm_team_size(team);
    size_t all;
    if (hwloc_topology_init(&t) != 0)
        return jm_fail(err, JM_ENOMEM, "limits: out of memory");
    hwloc_topology_set_cache_types_filter(t, HWLOC_TYPE_FILTER_KEEP_ALL);
    struct field f = { .team = team };
    jm_status st = hwloc_topology_load(t) == 0
                       ? JM_OK
                       : jm_fail(err, JM_EDEVICE, "limits: hwloc cannot read the topology");
    if (st == JM_OK) {
        size_t told = level_bytes(t, HWLOC_OBJ_L3CACHE, threads, &all);
        st = map_field(&f, t, told, err);
        if (st == JM_OK) {
            size_t from = inner_levels(&f, k, t, out, n);
            outer_levels(&f, k, from, told, out, n);
        }
    }
    if (f.data)
        munmap(f.data, f.apart * threads);
    hwloc_topology_destroy(t);
    return st;
}

/* ---- operations ---- */

static void mul_roofs(jm_team *team, const struct jm_cpu_peaks *k, struct jm_roof *out, uint32_t *n)
{
    static const char *const name[JM_ROOF_KINDS] = { [JM_ROOF_F32] = "FP32",
                                                     [JM_ROOF_I8] = "INT8",
                                                     [JM_ROOF_I16] = "INT16",
                                                     [JM_ROOF_BF16] = "BF16" };
    for (enum jm_roof_kind kind = JM_ROOF_F32; kind < JM_ROOF_KINDS; kind++) {
        struct jm_peak_mul mul = jm_cpu_peaks_mul(k, kind);
        struct jm_roof *r = add(
            out, n, (struct jm_roof){ .kind = kind, .threads = jm_team_size(team), .per_s = NAN });
        snprintf(r->name, sizeof r->name, "%s", name[kind]);
        snprintf(r->how, sizeof r->how, "%s", mul.how ? mul.how : "");
        if (mul.run) {
            struct job j = { .team = team, .k = k, .mul = mul.run };
            r->per_s = best_rate(&j) * 2 * mul.each * jm_team_size(team);
        } else {
            snprintf(r->reason, sizeof r->reason,
                     mul.how ? "this processor has no %s" : "the set %s has no such instruction",
                     mul.how ? mul.how : k->isa);
        }
    }
}

jm_status jm_cpu_roofs(const char *isa, uint32_t threads, struct jm_roof out[JM_MAX_ROOFS],
                       uint32_t *n, jm_err *err)
{
    const struct jm_cpu_peaks *k = jm_cpu_peaks_for(isa);
    jm_team *team = NULL;
    *n = 0;
    if (!k)
        return jm_fail(err, JM_EUNSUPPORTED, "cpu: no limits are known of the kernel set %s", isa);
    jm_status st = jm_team_open(threads, &team, err);
    if (st == JM_OK)
        st = read_roofs(team, k, out, n, err);
    if (st == JM_OK)
        mul_roofs(team, k, out, n);
    jm_team_close(team);
    return st;
}
