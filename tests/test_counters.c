/* SPDX-License-Identifier: Apache-2.0 */
/* Hardware counters with a PAPI that this file plays: every thread is attached to once, sums are
 * right, everything is given back, and what cannot be counted is unavailable. */
#include <CUnit/Basic.h>
#include <math.h>
#include <papi.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "harness/system/counters.h"

enum { SETS = 64 };

static struct {
    bool no_cycles, no_misses, refuse_start, vanish, still;
    int sets, alive, running, attached;
    int events[SETS];
    unsigned long tid[SETS];
} fake;

int PAPI_library_init(int version)
{
    return version;
}

int PAPI_set_debug(int level)
{
    (void)level;
    return PAPI_OK;
}

char *PAPI_strerror(int rc)
{
    static char text[32];
    snprintf(text, sizeof text, "code %d", rc);
    return text;
}

int PAPI_query_event(int code)
{
    bool missing =
        (code == PAPI_TOT_CYC && fake.no_cycles) || (code == PAPI_L3_TCM && fake.no_misses);
    return missing ? PAPI_ENOEVNT : PAPI_OK;
}

int PAPI_get_event_component(int code)
{
    (void)code;
    return 0;
}

int PAPI_create_eventset(int *set)
{
    *set = fake.sets++;
    fake.alive++;
    fake.events[*set] = 0;
    return PAPI_OK;
}

int PAPI_assign_eventset_component(int set, int component)
{
    (void)set;
    return component == 0 ? PAPI_OK : PAPI_EINVAL;
}

int PAPI_attach(int set, unsigned long tid)
{
    for (int i = 0; i < set; i++)
        CU_ASSERT(fake.tid[i] != tid);
    fake.tid[set] = tid;
    fake.attached++;
    return PAPI_OK;
}

int PAPI_add_event(int set, int code)
{
    (void)code;
    fake.events[set]++;
    return PAPI_OK;
}

int PAPI_start(int set)
{
    if (fake.refuse_start && set == 1)
        return PAPI_EPERM;
    fake.running++;
    return PAPI_OK;
}

int PAPI_stop(int set, long long *v)
{
    fake.running--;
    if (fake.vanish && set == 1)
        return PAPI_ESYS;
    static const long long part[] = { 1000, 2000, 7 };
    for (int i = 0; i < fake.events[set]; i++)
        v[i] = fake.still ? 0 : part[i];
    return PAPI_OK;
}

int PAPI_cleanup_eventset(int set)
{
    (void)set;
    return PAPI_OK;
}

int PAPI_destroy_eventset(int *set)
{
    *set = PAPI_NULL;
    fake.alive--;
    return PAPI_OK;
}

static pthread_barrier_t barrier;

static void *wait_there(void *arg)
{
    (void)arg;
    pthread_barrier_wait(&barrier); /* begun */
    pthread_barrier_wait(&barrier); /* counted */
    return NULL;
}

static void count(struct jm_counts *out)
{
    pthread_t t[2];

    fake.sets = fake.attached = 0;
    memset(fake.tid, 0, sizeof fake.tid);
    pthread_barrier_init(&barrier, NULL, 3);
    for (int i = 0; i < 2; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&t[i], NULL, wait_there, NULL), 0);
    pthread_barrier_wait(&barrier);
    jm_counters *c = jm_counters_begin();
    CU_ASSERT_PTR_NOT_NULL(c);
    jm_counters_end(c, out);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    pthread_barrier_destroy(&barrier);
    CU_ASSERT(fake.alive == 0 && fake.running == 0);
    CU_ASSERT_EQUAL(out->available, out->reason[0] == '\0');
    CU_ASSERT_EQUAL(out->available, !isnan(out->instructions));
}

static void test_sums(void)
{
    struct jm_counts c;

    count(&c);
    CU_ASSERT(c.available && c.threads == (uint32_t)fake.attached && c.threads >= 3);
    CU_ASSERT_DOUBLE_EQUAL(c.instructions, 1000.0 * c.threads, 0);
    CU_ASSERT_DOUBLE_EQUAL(c.cycles, 2000.0 * c.threads, 0);
    CU_ASSERT_DOUBLE_EQUAL(c.cache_misses, 7.0 * c.threads, 0);
    fake.no_misses = true;
    count(&c);
    CU_ASSERT(c.available && isnan(c.cache_misses) && c.cycles > 0);
    fake.no_misses = false;
}

static void test_unavailable(void)
{
    struct jm_counts c;

    fake.no_cycles = true;
    count(&c);
    CU_ASSERT(!c.available && fake.attached == 0 && strstr(c.reason, "no hardware counters"));
    fake.no_cycles = false;
    fake.refuse_start = true;
    count(&c);
    CU_ASSERT(!c.available && isnan(c.cycles) && strstr(c.reason, "perf_event_paranoid"));
    fake.refuse_start = false;
    fake.vanish = true;
    count(&c);
    CU_ASSERT(!c.available && strstr(c.reason, "cannot be read") != NULL);
    fake.vanish = false;
    fake.still = true;
    count(&c);
    CU_ASSERT(!c.available && strstr(c.reason, "stand still") != NULL);
    fake.still = false;
    jm_counters_end(NULL, &c);
    CU_ASSERT(!c.available && c.reason[0] != '\0' && isnan(c.cache_misses));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "sums", test_sums },
        { "unavailable", test_unavailable },
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = { { .pName = "hardware counters", .pTests = tests },
                              CU_SUITE_INFO_NULL };

    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 2;
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed ? 1 : 0;
}
