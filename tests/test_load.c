/* SPDX-License-Identifier: Apache-2.0 */
/* The load generator against a fake system with known latencies, and latency statistics against
 * values worked out by hand. */
#include <CUnit/Basic.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness/load/load.h"
#include "harness/load/verdict.h"
#include "harness/load/null_sut.h"
#include "harness/stats/latency.h"
#include "tests/virtual_clock.h"

enum { FAKE_MAX = 100000 };

/* Answers one queued sample in every `steps` steps, first token one step earlier. */
struct fake {
    struct jm_sample queue[FAKE_MAX];
    uint32_t head, tail, max_ids, begins;
    uint32_t steps, at;
    int64_t sleep_ns;      /* in each step */
    uint32_t fail_after;   /* answers; 0: never */
    uint32_t silent_after; /* answers; 0: never */
    uint32_t stop_after;   /* answers; 0: never */
    uint32_t total;        /* answers since begin */
    bool measured, twice;  /* twice: each answer is given under the id before */
    volatile sig_atomic_t stop;
};

static struct fake fake;

static jm_status fake_begin(void *state, uint32_t max_ids, jm_err *err)
{
    struct fake *f = state;
    f->head = f->tail = f->at = f->total = 0;
    f->max_ids = max_ids;
    f->begins++;
    return max_ids > FAKE_MAX ? jm_fail(err, JM_ENOMEM, "too many") : JM_OK;
}

static jm_status fake_issue(void *state, const struct jm_sample *s, uint32_t n, jm_err *err)
{
    struct fake *f = state;
    if (n > f->max_ids - f->tail)
        return jm_fail(err, JM_EUSAGE, "more than announced");
    memcpy(f->queue + f->tail, s, n * sizeof *s);
    f->tail += n;
    return JM_OK;
}

static jm_status fake_step(void *state, struct jm_sink *sink, jm_err *err)
{
    struct fake *f = state;
    if (f->sleep_ns)
        nanosleep(&(struct timespec){ .tv_nsec = f->sleep_ns }, NULL);
    if (f->head == f->tail || (f->measured && f->silent_after && f->total >= f->silent_after))
        return JM_OK;
    uint32_t id = f->queue[f->head].id;
    if (f->at++ == 0)
        jm_sink_first(sink, id);
    if (f->at < f->steps)
        return JM_OK;
    f->at = 0;
    f->head++;
    jm_sink_done(sink, f->twice && id > 0 ? id - 1 : id, 3, f->steps);
    f->total++;
    if (f->measured && f->fail_after && f->total >= f->fail_after)
        return jm_fail(err, JM_EDEVICE, "fake failure");
    if (f->measured && f->stop_after && f->total >= f->stop_after)
        f->stop = 1;
    return JM_OK;
}

static struct jm_sut fake_open(uint32_t n_samples)
{
    memset(&fake, 0, sizeof fake);
    fake.steps = 1;
    return (struct jm_sut){ .state = &fake,
                            .n_samples = n_samples,
                            .begin = fake_begin,
                            .issue = fake_issue,
                            .step = fake_step };
}

static int windows[2];

static jm_status on_window(bool open, void *user, jm_err *err)
{
    (void)user;
    (void)err;
    windows[open]++;
    fake.measured = open;
    return JM_OK;
}

static struct jm_load_config config(enum jm_scenario scenario)
{
    return (struct jm_load_config){
        .scenario = scenario, .seed = 42, .max_ids = 5000, .window = on_window, .stop = &fake.stop
    };
}

/* Every index of the data set as often as every other, once in each copy. */
static bool equal_issue(const struct jm_load_result *r, uint32_t n_samples)
{
    if (r->issued % n_samples != 0)
        return false;
    for (uint32_t c = 0; c < r->issued / n_samples; c++) {
        uint8_t seen[256] = { 0 };
        for (uint32_t i = 0; i < n_samples; i++) {
            uint32_t index = r->timings[c * n_samples + i].index;
            if (index >= n_samples || seen[index]++)
                return false;
        }
    }
    return true;
}

static void test_copies(void)
{
    static const enum jm_scenario all[] = { JM_SINGLE_STREAM, JM_OFFLINE };
    for (size_t s = 0; s < 2; s++)
        for (uint32_t n = 1; n < 80; n += 13) {
            struct jm_sut sut = fake_open(n);
            struct jm_load_config cfg = config(all[s]);
            struct jm_load_result r;
            cfg.min_queries = 100;
            CU_ASSERT_EQUAL(jm_load_run(&sut, &cfg, &r, NULL), JM_OK);
            CU_ASSERT_EQUAL(r.n, (100 + n - 1) / n * n);
            CU_ASSERT_EQUAL(r.issued, r.n);
            CU_ASSERT_EQUAL(r.copies, r.n / n);
            CU_ASSERT(equal_issue(&r, n));
            CU_ASSERT(!r.capped);
            CU_ASSERT(fake.begins >= 2);
            CU_ASSERT_EQUAL(fake.total, r.n);
            for (uint32_t i = 0; i < r.n; i++) {
                CU_ASSERT(r.timings[i].issue_ns >= r.t_start_ns);
                CU_ASSERT(r.timings[i].done_ns >= r.timings[i].issue_ns);
                CU_ASSERT(r.timings[i].done_ns <= r.t_end_ns);
                CU_ASSERT(s == 0 || r.timings[i].issue_ns == r.t_start_ns);
            }
            jm_load_result_free(&r);
            jm_load_result_free(&r);
        }
    CU_ASSERT(windows[0] == windows[1] && windows[0] > 0);
}

static void order_of(uint64_t seed, uint32_t *out, double warmup_s)
{
    struct jm_sut sut = fake_open(50);
    struct jm_load_config cfg = config(JM_SINGLE_STREAM);
    struct jm_load_result r;
    cfg.seed = seed;
    cfg.warmup_s = warmup_s;
    cfg.min_queries = 100;
    CU_ASSERT_EQUAL(jm_load_run(&sut, &cfg, &r, NULL), JM_OK);
    for (uint32_t i = 0; i < 100 && i < r.n; i++)
        out[i] = r.timings[i].index;
    jm_load_result_free(&r);
}

static void test_seeds(void)
{
    uint32_t a[100] = { 0 }, b[100] = { 0 }, c[100] = { 0 };
    order_of(7, a, 0.0);
    order_of(7, b, 0.002); /* however much warm-up ran */
    order_of(8, c, 0.0);
    CU_ASSERT_EQUAL(memcmp(a, b, sizeof a), 0);
    CU_ASSERT_NOT_EQUAL(memcmp(a, c, sizeof a), 0);
    CU_ASSERT_NOT_EQUAL(memcmp(a, a + 50, 50 * sizeof a[0]), 0);
}

static void test_duration(void)
{
    static const enum jm_scenario all[] = { JM_SINGLE_STREAM, JM_OFFLINE };
    for (size_t s = 0; s < 2; s++) {
        struct jm_sut sut = fake_open(7);
        struct jm_load_config cfg = config(all[s]);
        struct jm_load_result r;
        fake.sleep_ns = 500000;
        cfg.warmup_s = 0.04;
        cfg.min_duration_s = 0.1;
        CU_ASSERT_EQUAL(jm_load_run(&sut, &cfg, &r, NULL), JM_OK);
        double s_run = (double)(r.t_end_ns - r.t_start_ns) * 1e-9;
        CU_ASSERT(s_run >= 0.1 && s_run < 0.12); /* offline by the rate of the warm-up */
        CU_ASSERT(r.warmup_s >= 0.04);
        CU_ASSERT(equal_issue(&r, 7));
        jm_load_result_free(&r);
    }
}

static void test_capped(void)
{
    static const enum jm_scenario all[] = { JM_SINGLE_STREAM, JM_OFFLINE };
    for (size_t s = 0; s < 2; s++) {
        struct jm_sut sut = fake_open(30);
        struct jm_load_config cfg = config(all[s]);
        struct jm_load_result r;
        cfg.min_queries = 1000;
        cfg.max_ids = 100;
        CU_ASSERT_EQUAL(jm_load_run(&sut, &cfg, &r, NULL), JM_OK);
        CU_ASSERT(r.capped && r.n == 90 && equal_issue(&r, 30));
        jm_load_result_free(&r);
        cfg.min_queries = 90;
        CU_ASSERT_EQUAL(jm_load_run(&sut, &cfg, &r, NULL), JM_OK);
        CU_ASSERT(!r.capped && r.n == 90);
        jm_load_result_free(&r);
    }
}

/* A null system that is slow until its measured window. */
static struct jm_null_sut late_state;
static struct jm_sut late_null;
static int late_begins;
static uint32_t late_room;

static jm_status late_begin(void *state, uint32_t max_ids, jm_err *err)
{
    late_begins++;
    late_room = max_ids;
    return late_null.begin(state, max_ids, err);
}

static jm_status late_step(void *state, struct jm_sink *sink, jm_err *err)
{
    if (late_begins == 1) {
        int64_t end_ns = jm_now_ns() + 1000000;
        while (jm_now_ns() < end_ns) {
        }
    }
    return late_null.step(state, sink, err);
}

static struct jm_sut late_open(void)
{
    late_null = jm_null_sut_open(&late_state, 1000);
    late_begins = 0;
    struct jm_sut sut = late_null;
    sut.begin = late_begin;
    sut.step = late_step;
    return sut;
}

/* No limit but memory: room is taken for what time and counts ask for, and not more. */
static void test_room(void)
{
    struct jm_sut sut = late_open();
    struct jm_load_config cfg = config(JM_SINGLE_STREAM);
    struct jm_load_result r;
    struct jm_verdict v;
    cfg.stop = NULL;
    cfg.window = NULL;
    cfg.max_ids = UINT32_MAX / 2;
    cfg.warmup_s = 0.05;
    cfg.min_queries = 300000;
    CU_ASSERT_EQUAL_FATAL(jm_load_run(&sut, &cfg, &r, NULL), JM_OK);
    jm_load_judge(&cfg, &r, &v);
    CU_ASSERT(v.valid && r.n == 300000 && late_room == 300000);
    jm_load_result_free(&r);

    late_begins = 0;
    cfg.min_queries = 1;
    cfg.min_duration_s = 60.0; /* 1,000 a second in warm-up, and millions then */
    CU_ASSERT_EQUAL_FATAL(jm_load_run(&sut, &cfg, &r, NULL), JM_OK);
    jm_load_judge(&cfg, &r, &v);
    CU_ASSERT(r.capped && r.misjudged && r.n == late_room && r.n >= 65536 && r.n < 250000);
    CU_ASSERT(!v.valid && strstr(v.reason, "longer warmup-s") != NULL);
    jm_load_result_free(&r);

    late_begins = 0;
    cfg.scenario = JM_OFFLINE;
    cfg.min_queries = 24576;
    cfg.min_duration_s = 0.0;
    CU_ASSERT_EQUAL_FATAL(jm_load_run(&sut, &cfg, &r, NULL), JM_OK);
    jm_load_judge(&cfg, &r, &v);
    CU_ASSERT(v.valid && r.n == 25000 && late_room == 25000);
    jm_load_result_free(&r);
    jm_null_sut_close(&late_state);
}

static void test_interrupted(void)
{
    static const enum jm_scenario all[] = { JM_SINGLE_STREAM, JM_OFFLINE };
    for (size_t s = 0; s < 2; s++) {
        struct jm_sut sut = fake_open(10);
        struct jm_load_config cfg = config(all[s]);
        struct jm_load_result r;
        fake.stop_after = 25;
        cfg.min_queries = 100;
        CU_ASSERT_EQUAL(jm_load_run(&sut, &cfg, &r, NULL), JM_EINTERRUPTED);
        CU_ASSERT_EQUAL(r.n, 25);
        CU_ASSERT_EQUAL(r.copies, 2);
        CU_ASSERT_EQUAL(r.issued, s ? 100 : 25);
        jm_load_result_free(&r);
        fake.stop = 1; /* before anything */
        CU_ASSERT_EQUAL(jm_load_run(&sut, &cfg, &r, NULL), JM_EINTERRUPTED);
        CU_ASSERT_EQUAL(r.n, 0);
        jm_load_result_free(&r);
    }
}

static void test_failures(void)
{
    static const enum jm_scenario all[] = { JM_SINGLE_STREAM, JM_OFFLINE };
    for (size_t s = 0; s < 2; s++) {
        struct jm_sut sut = fake_open(10);
        struct jm_load_config cfg = config(all[s]);
        struct jm_load_result r;
        jm_err err = { .status = JM_OK };
        cfg.min_queries = 50;
        cfg.stall_s = 0.01;
        fake.silent_after = 12;
        CU_ASSERT_EQUAL(jm_load_run(&sut, &cfg, &r, &err), JM_EDEVICE);
        CU_ASSERT(strstr(err.text, "no answer") != NULL);
        CU_ASSERT_EQUAL(r.n, 12);
        jm_load_result_free(&r);
        fake.silent_after = 0;
        fake.fail_after = 5;
        fake.measured = false;
        CU_ASSERT_EQUAL(jm_load_run(&sut, &cfg, &r, NULL), JM_EDEVICE);
        CU_ASSERT_EQUAL(r.n, 5);
        jm_load_result_free(&r);
        fake.fail_after = 0;
        fake.twice = true;
        CU_ASSERT_EQUAL(jm_load_run(&sut, &cfg, &r, NULL), JM_EDEVICE);
        jm_load_result_free(&r);
    }
}

static void test_usage(void)
{
    struct jm_sut sut = fake_open(10);
    struct jm_load_config good = config(JM_SINGLE_STREAM);
    struct jm_load_result r;
    struct jm_load_config bad[4] = { good, good, good, good };
    bad[0].max_ids = 9;
    bad[1].warmup_s = (double)NAN;
    bad[2].min_duration_s = -1.0;
    bad[3].scenario = (enum jm_scenario)9;
    for (size_t i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(jm_load_run(&sut, &bad[i], &r, NULL), JM_EUSAGE);
        jm_load_result_free(&r);
    }
    sut.n_samples = 0;
    CU_ASSERT_EQUAL(jm_load_run(&sut, &good, &r, NULL), JM_EUSAGE);
}

static void test_known_latency(void)
{
    struct jm_sut sut = fake_open(5);
    struct jm_load_config cfg = config(JM_SINGLE_STREAM);
    struct jm_load_result r;
    struct jm_latency l;
    fake.sleep_ns = 2000000;
    fake.steps = 4;
    CU_ASSERT_EQUAL(jm_load_run(&sut, &cfg, &r, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_latency_compute(r.timings, r.issued, r.t_start_ns, &l, NULL), JM_OK);
    CU_ASSERT(r.n == 5 && l.n == 5);
    CU_ASSERT(l.min_s >= 0.008 && l.p50_s < 0.08);
    CU_ASSERT(l.ttft_p50_s >= 0.002 && l.ttft_p50_s < l.p50_s);
    CU_ASSERT(l.tpot_p50_s >= 0.002 && l.tpot_p50_s < 0.02);
    CU_ASSERT_DOUBLE_EQUAL(l.tokens_out_per_s, 4.0 * l.queries_per_s, 1e-9 * l.tokens_out_per_s);
    CU_ASSERT_DOUBLE_EQUAL(l.tokens_in_per_s, 3.0 * l.queries_per_s, 1e-9 * l.tokens_in_per_s);
    jm_load_result_free(&r);
}

static int reports;
static double last_fraction;

static void on_progress(double fraction, void *user)
{
    (void)user;
    reports++;
    CU_ASSERT(fraction >= last_fraction && fraction <= 1.0);
    last_fraction = fraction;
}

static void test_progress(void)
{
    struct jm_sut sut = fake_open(5);
    struct jm_load_config cfg = config(JM_SINGLE_STREAM);
    struct jm_load_result r;
    fake.sleep_ns = 1000000;
    cfg.min_duration_s = 0.5;
    cfg.progress = on_progress;
    CU_ASSERT_EQUAL(jm_load_run(&sut, &cfg, &r, NULL), JM_OK);
    CU_ASSERT(reports >= 1 && reports <= 4);
    jm_load_result_free(&r);
}

static void test_latency_exact(void)
{
    enum { N = 1000 };
    struct jm_timing *t = calloc(N, sizeof *t);
    struct jm_latency l;
    /* Latency of sample i: 1..1000 ms in a scrambled order (7 and 1000 share no divisor). */
    for (uint32_t i = 0; i < N; i++) {
        int64_t ms = (int64_t)(i * 7 % N) + 1;
        t[i] = (struct jm_timing){ .issue_ns = 5000000000,
                                   .first_ns = 5000000000 + ms * 500000,
                                   .done_ns = 5000000000 + ms * 1000000,
                                   .tokens_in = 2,
                                   .tokens_out = i % 2 ? 1 : 6 };
    }
    CU_ASSERT_EQUAL(jm_latency_compute(t, N, 5000000000, &l, NULL), JM_OK);
    CU_ASSERT_EQUAL(l.n, N);
    CU_ASSERT_DOUBLE_EQUAL(l.mean_s, 0.5005, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(l.min_s, 0.001, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(l.max_s, 1.0, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(l.p50_s, 0.501, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(l.p90_s, 0.901, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(l.p99_s, 0.991, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(l.p999_s, 1.0, 1e-12);
    /* 1,000 queries afford 2 over the 99th percentile (1,001 would be 3), none over the 99.9th. */
    CU_ASSERT_DOUBLE_EQUAL(l.p99_bound_s, 0.999, 1e-12);
    CU_ASSERT(l.p50_bound_s > 0.52 && l.p50_bound_s < 0.55);
    CU_ASSERT(isnan(l.p999_bound_s));
    CU_ASSERT_DOUBLE_EQUAL(l.ttft_p50_s, 0.2505, 1e-12);
    /* Even i only: their latencies are the odd milliseconds; half of each over 5 tokens. */
    CU_ASSERT_DOUBLE_EQUAL(l.tpot_p50_s, 0.0501, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(l.queries_per_s, 1000.0, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(l.tokens_in_per_s, 2000.0, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(l.tokens_out_per_s, 3500.0, 1e-6);
    t[3].first_ns = t[3].done_ns + 1;
    CU_ASSERT_EQUAL(jm_latency_compute(t, N, 0, &l, NULL), JM_EDEVICE);
    free(t);
}

static void test_latency_missing(void)
{
    struct jm_timing t[2] = { { .issue_ns = 10, .done_ns = 1000000010, .tokens_out = 1 },
                              { .issue_ns = 10 } };
    struct jm_latency l;
    CU_ASSERT_EQUAL(jm_latency_compute(t, 2, 10, &l, NULL), JM_OK);
    CU_ASSERT_EQUAL(l.n, 1);
    CU_ASSERT_DOUBLE_EQUAL(l.p999_s, 1.0, 1e-12);
    CU_ASSERT(isnan(l.ttft_p50_s) && isnan(l.tpot_p99_s));
    CU_ASSERT_EQUAL(jm_latency_compute(t + 1, 1, 10, &l, NULL), JM_OK);
    CU_ASSERT(l.n == 0 && isnan(l.mean_s) && isnan(l.queries_per_s) && isnan(l.p50_s));
    CU_ASSERT_EQUAL(jm_latency_compute(NULL, 0, 10, &l, NULL), JM_OK);
    CU_ASSERT(isnan(l.max_s));
}

static void test_null(void)
{
    double cost_ns = 0.0;
    struct jm_null_sut state;
    struct jm_sut sut = jm_null_sut_open(&state, 10);
    struct jm_load_config cfg = { .scenario = JM_OFFLINE, .min_queries = 1000, .max_ids = 1000 };
    struct jm_load_result r;
    CU_ASSERT_EQUAL(jm_load_run(&sut, &cfg, &r, NULL), JM_OK);
    CU_ASSERT(r.n == 1000 && equal_issue(&r, 10));
    jm_load_result_free(&r);
    jm_null_sut_close(&state);
    virtual_clock = false;
    CU_ASSERT_EQUAL(jm_null_cost_ns(&cost_ns, NULL), JM_OK);
    virtual_clock = true;
    CU_ASSERT(cost_ns > 0.0 && cost_ns < 1e6);
    printf("null system: %.0f ns a query\n", cost_ns);
}

static void test_names(void)
{
    size_t n;
    const struct jm_scenario_info *t = jm_scenarios(&n);
    enum jm_scenario s;
    jm_err err = { .status = JM_OK };
    CU_ASSERT_EQUAL(n, 4);
    for (size_t i = 0; i < n; i++) {
        CU_ASSERT_EQUAL(jm_scenario_find(t[i].name, &s, NULL), JM_OK);
        CU_ASSERT_EQUAL(s, t[i].scenario);
        CU_ASSERT_STRING_EQUAL(jm_scenario_name(s), t[i].name);
    }
    CU_ASSERT_EQUAL(jm_scenario_find("Offline", &s, &err), JM_EUSAGE);
    CU_ASSERT(strstr(err.text, "single-stream, multi-stream, server, offline") != NULL);
    CU_ASSERT_STRING_EQUAL(jm_scenario_name((enum jm_scenario)9), "unknown");
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "copies", test_copies },
        { "seeds", test_seeds },
        { "duration", test_duration },
        { "capped", test_capped },
        { "room", test_room },
        { "interrupted", test_interrupted },
        { "failures", test_failures },
        { "usage", test_usage },
        { "known latency", test_known_latency },
        { "progress", test_progress },
        { "latency exact", test_latency_exact },
        { "latency missing", test_latency_missing },
        { "null", test_null },
        { "names", test_names },
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = { { .pName = "load", .pTests = tests }, CU_SUITE_INFO_NULL };

    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 2;
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed ? 1 : 0;
}
