/* SPDX-License-Identifier: Apache-2.0 */
/* A simulated sysfs: files below a root folder, and a thread that moves counters at known watts. */
#ifndef JM_TESTS_ENERGY_TREE_H
#define JM_TESTS_ENERGY_TREE_H

#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"

static char root[80]; /* of the tree; in a namespace of its own "" */

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static inline void tree_remove(const char *path)
{
    nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline void tree_new(void)
{
    if (root[0])
        tree_remove(root);
    snprintf(root, sizeof root, "/tmp/jm_energy_XXXXXX");
    if (!mkdtemp(root))
        abort();
}

/* Writes ROOT/DIR/FILE, folders included. Replaced whole: a thread that reads meanwhile would find
 * a file empty that is written in place. */
static inline void put(const char *dir, const char *file, const char *text)
{
    char path[400], fresh[408];
    snprintf(path, sizeof path, "%s/%s", root, dir);
    if (jm_make_dirs(path, NULL) != JM_OK)
        abort();
    snprintf(path, sizeof path, "%s/%s/%s", root, dir, file);
    snprintf(fresh, sizeof fresh, "%s.new", path);
    FILE *f = fopen(fresh, "w");
    if (!f)
        abort();
    fputs(text, f);
    if (fclose(f) != 0 || rename(fresh, path) != 0)
        abort();
}

/* ---- counters that move ---- */

enum { SIM_FILES = 8, SIM_STEPS = 16 };

/* One file: its number is first + per_joule * joules, modulo range where there is one; or, with
 * per_watt, the power itself. */
struct sim_file {
    char path[400];
    double first, per_joule, per_watt;
    uint64_t range;
    double share;  /* of the watts */
    bool log;      /* a line "time,watts" is added every 20 ms */
    bool in_place; /* for readers that keep the file open; else replaced whole, as by a kernel */
};

/* The hardware's joules grow by watts * time, but by 50 ms at most a step: when the thread is held
 * up, the hardware waits with it, and what it has shown stays the truth. Power, which needs no
 * thread to go on, is true over the time of the wall. */
static struct {
    struct sim_file file[SIM_FILES];
    size_t n;
    int64_t step_ns[SIM_STEPS]; /* watts from then on */
    double step_w[SIM_STEPS];
    atomic_size_t steps;
    _Atomic double joules, next; /* shown by all files; perhaps by some already */
    atomic_bool stop;
    atomic_llong stall_ns; /* the longest the thread was held up */
    double log_offset_s;   /* of the clock of the log's writer */
    pthread_t thread;
} sim;

static inline void sim_watts(double w)
{
    size_t n = sim.steps;
    if (n == SIM_STEPS)
        abort();
    sim.step_ns[n] = jm_now_ns();
    sim.step_w[n] = w;
    sim.steps = n + 1;
}

static inline double sim_power(void)
{
    return sim.step_w[sim.steps - 1];
}

/* The truth of counters. */
static inline double sim_joules(void)
{
    return sim.joules;
}

/* The truth of power: joules since the first step. */
static inline double sim_wall_joules(int64_t t_ns)
{
    double j = 0.0;
    size_t n = sim.steps;
    for (size_t i = 0; i < n; i++) {
        int64_t end = i + 1 < n && sim.step_ns[i + 1] < t_ns ? sim.step_ns[i + 1] : t_ns;
        if (end > sim.step_ns[i])
            j += sim.step_w[i] * (double)(end - sim.step_ns[i]) * 1e-9;
    }
    return j;
}

static inline void sim_write(const struct sim_file *f, double joules)
{
    double v = f->first + f->per_joule * f->share * joules + f->per_watt * f->share * sim_power();
    unsigned long long u = (unsigned long long)fmax(v, 0.0);
    char text[32], tmp[416];
    int n = snprintf(text, sizeof text, "%015llu\n", f->range ? u % f->range : u);
    snprintf(tmp, sizeof tmp, "%s.next", f->path);
    int fd = open(f->in_place ? f->path : tmp, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || pwrite(fd, text, (size_t)n, 0) != n)
        abort();
    close(fd);
    if (!f->in_place && rename(tmp, f->path) != 0)
        abort();
}

static inline void sim_log(const struct sim_file *f)
{
    struct timespec now;
    FILE *out = fopen(f->path, "a");
    if (!out)
        abort();
    clock_gettime(CLOCK_REALTIME, &now);
    fprintf(out, "%.6f,%.6f\n", (double)now.tv_sec + (double)now.tv_nsec * 1e-9 + sim.log_offset_s,
            f->share * sim_power());
    fclose(out);
}

static inline void *sim_thread(void *arg)
{
    int64_t last_ns = jm_now_ns(), log_ns = 0;
    (void)arg;
    while (!sim.stop) {
        int64_t now = jm_now_ns(), step_ns = now - last_ns;
        if (step_ns > sim.stall_ns)
            sim.stall_ns = step_ns;
        last_ns = now;
        double joules =
            sim.joules + sim_power() * 1e-9 * (double)(step_ns < 50000000 ? step_ns : 50000000);
        sim.next = joules;
        for (size_t i = 0; i < sim.n; i++)
            if (!sim.file[i].log)
                sim_write(&sim.file[i], joules);
            else if (now - log_ns >= 20000000)
                sim_log(&sim.file[i]);
        sim.joules = joules;
        log_ns = now - log_ns >= 20000000 ? now : log_ns;
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    return NULL;
}

static inline struct sim_file *sim_add(const char *dir, const char *file, double first,
                                       double per_joule, uint64_t range)
{
    struct sim_file *f = &sim.file[sim.n++];
    *f = (struct sim_file){ .first = first, .per_joule = per_joule, .range = range, .share = 1.0 };
    snprintf(f->path, sizeof f->path, "%s/%s/%s", root, dir, file);
    return f;
}

static inline void sim_clear(void)
{
    sim.n = 0;
    sim.steps = 0;
    sim.stop = false;
    sim.stall_ns = 0;
    sim.joules = sim.next = 0.0;
    sim.log_offset_s = 0.0;
}

static inline void sim_start(double watts)
{
    sim_watts(watts);
    for (size_t i = 0; i < sim.n; i++)
        if (!sim.file[i].log)
            sim_write(&sim.file[i], 0.0);
        else
            sim_log(&sim.file[i]);
    if (pthread_create(&sim.thread, NULL, sim_thread, NULL) != 0)
        abort();
}

static inline void sim_end(void)
{
    sim.stop = true;
    pthread_join(sim.thread, NULL);
}

static inline void wait_s(double s)
{
    nanosleep(&(struct timespec){ .tv_sec = (time_t)s, .tv_nsec = (long)((s - floor(s)) * 1e9) },
              NULL);
}

#endif
