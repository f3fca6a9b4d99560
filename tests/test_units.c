/* SPDX-License-Identifier: Apache-2.0 */
/* Work dealt among threads while they do it: each unit once, one's own first and in order, and who
 * is slow has less of it. */
#include <CUnit/Basic.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backends/cpu/team.h"
#include "backends/cpu/units.h"
#include "base/rng.h"

enum { MOST = 8, EACH = 96, WORKS = 200 };

static struct jm_units *open_units(uint32_t members)
{
    size_t bytes = jm_units_bytes(members);
    struct jm_units *u =
        calloc(1, bytes); /* of just that size: what is written behind it is seen */
    CU_ASSERT_FATAL(u && bytes > 0);
    return u;
}

static void test_alone(void)
{
    struct jm_units *u = open_units(1);
    struct jm_span s;
    uint32_t at = 0, took = EACH;
    while (jm_units_take(u, 1, 0, 1, EACH, &s)) {
        CU_ASSERT(s.from == at && s.to > at && s.of == EACH);
        CU_ASSERT(s.to - s.from <= took);
        took = s.to - s.from;
        at = s.to;
    }
    CU_ASSERT_EQUAL(at, EACH);
    CU_ASSERT_EQUAL(took, 1); /* the last piece is small, the first one large */
    CU_ASSERT_FALSE(jm_units_take(u, 1, 0, 1, EACH, &s));
    CU_ASSERT(jm_units_take(u, 2, 0, 1, EACH, &s));
    CU_ASSERT(s.from == 0 && s.to >= EACH / 4);
    free(u);
}

/* Of two, the second never comes: all is the first one's, its own first. */
static void test_absent(void)
{
    struct jm_units *u = open_units(2);
    bool done[2 * EACH] = { false };
    struct jm_span s;
    uint32_t n = 0;
    while (jm_units_take(u, 7, 0, 2, EACH, &s)) {
        CU_ASSERT_FATAL(s.from < s.to && s.to <= 2 * EACH && s.of == 2 * EACH);
        CU_ASSERT((n < EACH) == (s.to <= EACH));
        for (uint32_t i = s.from; i < s.to; i++, n++) {
            CU_ASSERT_FALSE(done[i]);
            done[i] = true;
        }
    }
    CU_ASSERT_EQUAL(n, 2 * EACH);
    CU_ASSERT_FALSE(jm_units_take(u, 7, 1, 2, EACH, &s));
    free(u);
}

struct shared {
    jm_team *team;
    struct jm_units *units;
    uint32_t members, sleeper; /* sleeper: a member that is slow; MOST: none */
    atomic_uint done[MOST * EACH];
    atomic_uint wrong, slow_units;
};

/* Each work by all, who sometimes doze; between two they meet. */
static void do_works(void *arg, uint32_t m)
{
    struct shared *w = arg;
    jm_rng rng;
    struct jm_span s;
    rng.state = m + 1;
    for (uint32_t work = 1; work <= WORKS; work++) {
        while (jm_units_take(w->units, work, m, w->members, EACH, &s)) {
            for (uint32_t i = s.from; i < s.to; i++)
                atomic_fetch_add(&w->done[i], 1);
            if (m == w->sleeper || jm_rng_below(&rng, 512) == 0)
                nanosleep(&(struct timespec){ .tv_nsec = 50000 }, NULL);
            if (m == w->sleeper)
                atomic_fetch_add(&w->slow_units, s.to - s.from);
        }
        jm_team_barrier(w->team, m, (struct jm_ahead){ 0 });
        for (uint32_t i = m; i < w->members * EACH; i += w->members) {
            if (atomic_load(&w->done[i]) != work)
                atomic_fetch_add(&w->wrong, 1);
        }
        jm_team_barrier(w->team, m, (struct jm_ahead){ 0 });
    }
}

static void test_shared(void)
{
    static const uint32_t sizes[] = { 1, 2, 3, 5, MOST };
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof sizes[0]; i++) {
        const uint32_t n = sizes[i / 2];
        struct shared *w = calloc(1, sizeof *w);
        CU_ASSERT_FATAL(w != NULL);
        w->members = n;
        w->sleeper = i % 2 ? n - 1 : MOST;
        w->units = open_units(n);
        CU_ASSERT_EQUAL_FATAL(jm_team_open(n, &w->team, NULL), JM_OK);
        jm_team_run(w->team, do_works, w);
        CU_ASSERT_EQUAL(atomic_load(&w->wrong), 0);
        if (n > 1 && i % 2)
            CU_ASSERT(atomic_load(&w->slow_units) < WORKS * EACH);
        jm_team_close(w->team);
        free(w->units);
        free(w);
    }
}

int main(void)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite s = CU_add_suite("units", NULL, NULL);
    CU_add_test(s, "one thread", test_alone);
    CU_add_test(s, "one that never comes", test_absent);
    CU_add_test(s, "threads that doze", test_shared);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures > 0;
}
