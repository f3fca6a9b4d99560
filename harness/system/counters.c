/* SPDX-License-Identifier: Apache-2.0 */
/* See counters.h. PAPI counts the thread that asks; the others are attached to, one event set each,
 * since the backend's threads exist before the window begins. */
#include "harness/system/counters.h"

#include <dirent.h>
#include <limits.h>
#include <math.h>
#include <papi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"

enum { EVENTS = 3, INSTRUCTIONS = 0, CYCLES = 1, MISSES = 2, MOST_THREADS = 1024 };

static const int preset[EVENTS] = {
    [INSTRUCTIONS] = PAPI_TOT_INS, [CYCLES] = PAPI_TOT_CYC, [MISSES] = PAPI_L3_TCM
};

struct jm_counters {
    int n_events;          /* 2 without cache misses */
    int set[MOST_THREADS]; /* running */
    uint32_t n;
    char reason[160];
};

static void refuse(jm_counters *c, const char *what, int rc)
{
    if (!c->reason[0])
        snprintf(c->reason, sizeof c->reason, "%s: %s", what, PAPI_strerror(rc));
}

static void set_free(int set)
{
    PAPI_cleanup_eventset(set);
    PAPI_destroy_eventset(&set);
}

/* One thread; tid as in /proc/self/task. */
static void thread_begin(jm_counters *c, unsigned long tid)
{
    int set = PAPI_NULL, rc = PAPI_create_eventset(&set);

    if (rc != PAPI_OK) {
        refuse(c, "PAPI makes no event set", rc);
        return;
    }
    rc = PAPI_assign_eventset_component(set, PAPI_get_event_component(preset[INSTRUCTIONS]));
    if (rc == PAPI_OK)
        rc = PAPI_attach(set, tid);
    for (int i = 0; i < c->n_events && rc == PAPI_OK; i++)
        rc = PAPI_add_event(set, preset[i]);
    if (rc == PAPI_OK)
        rc = PAPI_start(set);
    if (rc == PAPI_OK) {
        c->set[c->n++] = set;
        return;
    }
    refuse(c, "a thread cannot be counted; see perf_event_paranoid in 'joulemark doctor'", rc);
    set_free(set);
}

static void threads_begin(jm_counters *c)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *e;

    if (!tasks) {
        snprintf(c->reason, sizeof c->reason, "/proc/self/task cannot be read");
        return;
    }
    while (!c->reason[0] && (e = readdir(tasks))) {
        uint64_t tid;
        if (!jm_number_u64(e->d_name, 1, ULONG_MAX, &tid))
            continue;
        if (c->n == MOST_THREADS)
            snprintf(c->reason, sizeof c->reason, "more than %d threads", MOST_THREADS);
        else
            thread_begin(c, (unsigned long)tid);
    }
    closedir(tasks);
}

jm_counters *jm_counters_begin(void)
{
    jm_counters *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    int rc = PAPI_library_init(PAPI_VER_CURRENT);
    if (rc != PAPI_VER_CURRENT) {
        snprintf(c->reason, sizeof c->reason, "PAPI does not start (code %d)", rc);
        return c;
    }
    PAPI_set_debug(PAPI_QUIET);
    c->n_events = PAPI_query_event(preset[MISSES]) == PAPI_OK ? 3 : 2;
    rc = PAPI_query_event(preset[INSTRUCTIONS]);
    if (rc == PAPI_OK)
        rc = PAPI_query_event(preset[CYCLES]);
    if (rc != PAPI_OK)
        refuse(c, "no hardware counters of instructions and cycles here", rc);
    else
        threads_begin(c);
    return c;
}

void jm_counters_end(jm_counters *c, struct jm_counts *out)
{
    double sum[EVENTS] = { 0 };

    *out = (struct jm_counts){ .instructions = (double)NAN,
                               .cycles = (double)NAN,
                               .cache_misses = (double)NAN };
    if (!c) {
        snprintf(out->reason, sizeof out->reason, "hardware counters were not started");
        return;
    }
    for (uint32_t i = 0; i < c->n; i++) {
        long long v[EVENTS] = { 0 };
        int rc = PAPI_stop(c->set[i], v);
        if (rc != PAPI_OK)
            refuse(c, "a thread's counters cannot be read", rc);
        for (int k = 0; k < EVENTS; k++)
            sum[k] += (double)v[k];
        set_free(c->set[i]);
    }
    /* Counters that stay 0 are not there, whatever they say. */
    if (!c->reason[0] && !(sum[INSTRUCTIONS] > 0 && sum[CYCLES] > 0))
        snprintf(c->reason, sizeof c->reason, "hardware counters stand still");
    memcpy(out->reason, c->reason, sizeof out->reason);
    out->threads = c->n;
    out->available = c->n > 0 && !c->reason[0];
    if (out->available) {
        out->instructions = sum[INSTRUCTIONS];
        out->cycles = sum[CYCLES];
        out->cache_misses = c->n_events == EVENTS ? sum[MISSES] : (double)NAN;
    }
    free(c);
}
