/* SPDX-License-Identifier: Apache-2.0 */
/* The search for the highest rate, on a system whose limit is known. */
#include <CUnit/Basic.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "harness/load/peak.h"
#include "tests/virtual_clock.h"

enum { FAKE_MAX = 200000 };

/* Works service_ns on each sample, in the order they came; three times that in a slow time. */
struct fake {
    uint32_t queue[FAKE_MAX], head, tail;
    int64_t service_ns, slow_from_ns, slow_to_ns;
};

static struct fake fake;

static jm_status fake_begin(void *state, uint32_t max_ids, jm_err *err)
{
    struct fake *f = state;
    f->head = f->tail = 0;
    return max_ids > FAKE_MAX ? jm_fail(err, JM_ENOMEM, "too many") : JM_OK;
}

static jm_status fake_issue(void *state, const struct jm_sample *s, uint32_t n, jm_err *err)
{
    struct fake *f = state;
    (void)err;
    for (uint32_t i = 0; i < n; i++)
        f->queue[f->tail++] = s[i].id;
    return JM_OK;
}

static jm_status fake_step(void *state, struct jm_sink *sink, jm_err *err)
{
    struct fake *f = state;
    (void)err;
    if (f->head == f->tail)
        return JM_OK;
    bool slow = virtual_ns >= f->slow_from_ns && virtual_ns < f->slow_to_ns;
    virtual_ns += slow ? 3 * f->service_ns : f->service_ns;
    jm_sink_done(sink, f->queue[f->head++], 1, 1);
    return JM_OK;
}

static int windows;
static double shown; /* of progress */

static void on_progress(double fraction, void *user)
{
    (void)user;
    CU_ASSERT(fraction >= shown && fraction <= 1.0);
    shown = fraction;
}

static jm_status on_window(bool open, void *user, jm_err *err)
{
    (void)user;
    (void)err;
    windows += open;
    return JM_OK;
}

static int64_t slow_after_ns; /* the system is slow for a second then; 0: never */

static struct jm_sut fake_open(int64_t service_ns)
{
    memset(&fake, 0, sizeof fake);
    fake.service_ns = service_ns;
    fake.slow_from_ns = slow_after_ns ? virtual_ns + slow_after_ns : INT64_MAX;
    fake.slow_to_ns = slow_after_ns ? fake.slow_from_ns + 1000000000 : INT64_MAX;
    return (struct jm_sut){ .state = &fake,
                            .n_samples = 100,
                            .begin = fake_begin,
                            .issue = fake_issue,
                            .step = fake_step };
}

static struct jm_load_config config(void)
{
    return (struct jm_load_config){ .scenario = JM_SERVER,
                                    .seed = 3,
                                    .latency_s = 0.05,
                                    .warmup_s = 0.01,
                                    .max_ids = FAKE_MAX,
                                    .progress = on_progress,
                                    .window = on_window };
}

/* What a search must say of itself, whatever the system did. */
static void check(const struct jm_peak *p, const struct jm_load_config *used)
{
    double lowest_invalid = INFINITY, highest_valid = 0, step = 1.03 / 0.9;
    for (size_t i = 0; i < p->n; i++) {
        const struct jm_probe *q = &p->probe[i];
        CU_ASSERT(q->queries > 0 && q->p99_s > 0 && q->delay_p99_s >= 0 && q->served_qps > 0);
        CU_ASSERT_EQUAL(q->verdict.valid, q->verdict.reason[0] == 0);
        if (q->verdict.valid && !q->confirmation)
            highest_valid = fmax(highest_valid, q->qps);
        if (!q->verdict.valid)
            lowest_invalid = fmin(lowest_invalid, q->qps);
        if (!q->verdict.valid && q->confirmation)
            step /= 0.94; /* each that fails goes down farther */
    }
    const struct jm_probe *last = &p->probe[p->n - 1];
    CU_ASSERT(last->confirmation && last->verdict.valid && used->steady);
    CU_ASSERT(last->qps == used->target_qps && last->qps <= highest_valid);
    CU_ASSERT(lowest_invalid <= step * last->qps);
}

/* One search; the peak, or 0. */
static double search(struct jm_load_config cfg, int64_t service_ns, size_t *n)
{
    static struct jm_peak p;
    struct jm_sut sut = fake_open(service_ns);
    struct jm_load_config used;
    struct jm_load_result r;
    jm_err err = { .status = JM_OK };
    windows = 0;
    shown = 0;
    CU_ASSERT_EQUAL(jm_peak_find(&sut, &cfg, &p, &used, &r, &err), JM_OK);
    if (err.status != JM_OK)
        (void)printf("%s\n", err.text);
    else
        check(&p, &used);
    CU_ASSERT(shown > 0.5 && used.progress == on_progress && used.window == on_window);
    int confirmations = 0;
    for (size_t k = 0; k < p.n; k++)
        confirmations += p.probe[k].confirmation;
    CU_ASSERT_EQUAL(windows, confirmations);
    CU_ASSERT(r.n == r.issued && r.n % 100 == 0);
    /* Probes are a bound long, and the confirmation ten. */
    for (size_t k = 0; k < p.n; k++)
        CU_ASSERT(p.probe[k].confirmation ||
                  p.probe[k].queries <= 1.1 * p.probe[k].qps * cfg.latency_s + 100);
    jm_load_result_free(&r);
    *n = p.n;
    return err.status == JM_OK ? used.target_qps : 0.0;
}

static void test_search(void)
{
    static const double start[] = { 0, 100000, 300 };
    for (size_t i = 0; i < sizeof start / sizeof start[0]; i++) {
        struct jm_load_config cfg = config();
        size_t n;
        cfg.target_qps = start[i];
        double peak = search(cfg, 200000, &n);
        (void)printf("limit 5000/s, peak %.0f/s in %zu windows\n", peak, n);
        CU_ASSERT(peak > 0.93 * 5000 && peak < 1.04 * 5000);
    }
}

/* Other arrivals find the same peak: a second of answers at a time, 10 s to confirm it. */
static void test_repeatable(void)
{
    enum { SEARCHES = 12 };
    double low = INFINITY, high = 0;
    size_t most = 0, n;
    for (uint64_t i = 0; i < SEARCHES; i++) {
        struct jm_load_config cfg = config();
        cfg.seed = 1000 * i;
        cfg.latency_s = 0.5;
        double peak = search(cfg, 200000, &n);
        low = fmin(low, peak);
        high = fmax(high, peak);
        most = n > most ? n : most;
    }
    (void)printf("%d searches: %.0f to %.0f/s, %zu windows at most\n", SEARCHES, low, high, most);
    CU_ASSERT(low > 0.95 * 5000 && high < 1.03 * 5000 && most <= 24);
}

/* A machine that is slow for a while, while rates are probed, has its peak nevertheless. */
static void test_slow_time(void)
{
    size_t n;
    for (int64_t i = 0; i < 8; i++) {
        struct jm_load_config cfg = config();
        cfg.seed = (uint64_t)i;
        cfg.latency_s = 0.5;
        cfg.warmup_s = 0.5;
        slow_after_ns = 600000000 + i * 300000000;
        double peak = search(cfg, 200000, &n);
        (void)printf("slow after %.1f s: peak %.0f/s in %zu windows\n",
                     (double)slow_after_ns * 1e-9, peak, n);
        CU_ASSERT(peak > 0.9 * 5000 && peak < 1.04 * 5000);
    }
    slow_after_ns = 0;
}

static void test_none(void)
{
    static struct jm_peak p;
    struct jm_sut sut = fake_open(200000);
    struct jm_load_config cfg = config(), used;
    struct jm_load_result r;
    jm_err err = { .status = JM_OK };
    shown = 0;
    cfg.latency_s = 0.0001; /* below the time of one sample */
    cfg.target_qps = 1000;
    CU_ASSERT_EQUAL(jm_peak_find(&sut, &cfg, &p, &used, &r, &err), JM_ERANGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "no peak from"));
    CU_ASSERT(r.timings == NULL && p.n >= 4 && p.n <= 24);
    for (size_t i = 1; i < p.n; i++)
        CU_ASSERT(p.probe[i].qps < p.probe[i - 1].qps);
    jm_load_result_free(&r);
    cfg.scenario = JM_OFFLINE;
    CU_ASSERT_EQUAL(jm_peak_find(&sut, &cfg, &p, &used, &r, NULL), JM_EUSAGE);
    volatile sig_atomic_t stop = 1;
    cfg = config();
    shown = 0;
    cfg.stop = &stop;
    CU_ASSERT_EQUAL(jm_peak_find(&sut, &cfg, &p, &used, &r, NULL), JM_EINTERRUPTED);
    jm_load_result_free(&r);
}

int main(void)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite s = CU_add_suite("peak", NULL, NULL);
    CU_add_test(s, "search", test_search);
    CU_add_test(s, "repeatable", test_repeatable);
    CU_add_test(s, "slow time", test_slow_time);
    CU_add_test(s, "none", test_none);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures != 0;
}
