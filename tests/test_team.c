/* SPDX-License-Identifier: Apache-2.0 */
/* The cpu backend's team of threads: meetings hold whatever sleeps, with more threads than cores
 * too, and who waits long sleeps.
 * With --bench: what meeting costs two threads. */
#include <CUnit/Basic.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "backends/cpu/team.h"
#include "base/clock.h"

enum { MOST = 8, PHASES = 300, BENCH_MEETINGS = 200000, BENCH_RUNS = 20000 };

#define MS INT64_C(1000000)

struct work {
    jm_team *team;
    uint32_t members, sleeper; /* sleeper: member that comes late now and then; MOST: none */
    uint32_t phase[MOST];      /* written by its member alone, read by all after a barrier */
    atomic_uint wrong;
};

static void doze(int64_t ns)
{
    nanosleep(&(struct timespec){ .tv_nsec = (long)ns }, NULL);
}

/* After each barrier everyone must find the others where it is itself. */
static void walk(void *arg, uint32_t m)
{
    struct work *w = arg;
    for (uint32_t i = 1; i <= PHASES; i++) {
        if (m == w->sleeper && i % 100 == 0)
            doze(3 * MS);
        w->phase[m] = i;
        jm_team_barrier(w->team, m, (struct jm_ahead){ w->phase, sizeof *w->phase });
        for (uint32_t other = 0; other < w->members; other++) {
            if (w->phase[other] != i)
                atomic_fetch_add(&w->wrong, 1);
        }
        jm_team_barrier(w->team, m, (struct jm_ahead){ w->phase, sizeof *w->phase });
    }
}

static void test_meetings(void)
{
    static const uint32_t sizes[] = { 1, 2, 3, 5, 8 };
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        jm_team *t;
        CU_ASSERT_EQUAL_FATAL(jm_team_open(sizes[s], &t, NULL), JM_OK);
        CU_ASSERT_EQUAL(jm_team_size(t), sizes[s]);
        for (uint32_t round = 0; round < 4; round++) {
            struct work w = { .team = t,
                              .members = sizes[s],
                              .sleeper = round < 2 ? MOST : (sizes[s] - 1) * (round % 2) };
            jm_team_run(t, walk, &w);
            CU_ASSERT_EQUAL(atomic_load(&w.wrong), 0);
            for (uint32_t m = 0; m < MOST; m++)
                CU_ASSERT_EQUAL(w.phase[m], m < sizes[s] ? PHASES : 0);
        }
        jm_team_close(t);
    }
}

static void nothing(void *arg, uint32_t m)
{
    atomic_fetch_add((atomic_uint *)arg, m + 1);
}

/* Workers sleep between the runs, and are woken by each. */
static void test_pauses(void)
{
    jm_team *t;
    atomic_uint sum = 0;
    CU_ASSERT_EQUAL_FATAL(jm_team_open(3, &t, NULL), JM_OK);
    for (int i = 0; i < 20; i++) {
        jm_team_run(t, nothing, &sum);
        CU_ASSERT_EQUAL(atomic_load(&sum), 6u * (unsigned)(i + 1));
        doze(2 * MS);
    }
    jm_team_close(t);
}

static void late(void *arg, uint32_t m)
{
    if (m == 1)
        doze(*(const int64_t *)arg);
}

static int64_t processor_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000 * MS + t.tv_nsec;
}

/* Who waits long leaves the processor to others. */
static void test_late(void)
{
    jm_team *t;
    int64_t late_ns = 200 * MS;
    CU_ASSERT_EQUAL_FATAL(jm_team_open(2, &t, NULL), JM_OK);
    int64_t before_ns = processor_ns();
    jm_team_run(t, late, &late_ns);
    CU_ASSERT(processor_ns() - before_ns < late_ns / 4);
    jm_team_close(t);
}

/* The caller may run where it could before, and a later team of more threads with it. */
static void test_binding(void)
{
    cpu_set_t before, after;
    jm_team *t;
    CU_ASSERT_EQUAL_FATAL(sched_getaffinity(0, sizeof before, &before), 0);
    CU_ASSERT_EQUAL_FATAL(jm_team_open(2, &t, NULL), JM_OK);
    jm_team_close(t);
    CU_ASSERT_EQUAL_FATAL(sched_getaffinity(0, sizeof after, &after), 0);
    CU_ASSERT(CPU_EQUAL(&before, &after));
}

static void meet_often(void *arg, uint32_t m)
{
    const struct work *w = arg;
    for (int i = 0; i < BENCH_MEETINGS; i++)
        jm_team_barrier(w->team, m, (struct jm_ahead){ 0 });
}

static int bench(void)
{
    struct work w = { .members = 2 };
    atomic_uint sum = 0;
    if (jm_team_open(2, &w.team, NULL) != JM_OK)
        return 1;
    for (int repeat = 0; repeat < 5; repeat++) {
        int64_t start_ns = jm_now_ns();
        jm_team_run(w.team, meet_often, &w);
        int64_t met_ns = jm_now_ns();
        for (int i = 0; i < BENCH_RUNS; i++)
            jm_team_run(w.team, nothing, &sum);
        printf("a barrier %.2f us, a run of nothing %.2f us\n",
               (double)(met_ns - start_ns) / BENCH_MEETINGS * 1e-3,
               (double)(jm_now_ns() - met_ns) / BENCH_RUNS * 1e-3);
    }
    jm_team_close(w.team);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--bench") == 0)
        return bench();
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite s = CU_add_suite("team", NULL, NULL);
    CU_add_test(s, "meetings", test_meetings);
    CU_add_test(s, "pauses", test_pauses);
    CU_add_test(s, "waiting is sleeping", test_late);
    CU_add_test(s, "binding", test_binding);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures > 0;
}
