/* SPDX-License-Identifier: Apache-2.0 */
/* Multi-stream and server: arrivals, bounds, overload, and the accounts of a run. */
#include <CUnit/Basic.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/rng.h"
#include "harness/load/clock_floor.h"
#include "harness/load/load.h"
#include "harness/load/null_sut.h"
#include "harness/load/verdict.h"
#include "harness/load/wait.h"
#include "harness/stats/early_stopping.h"
#include "harness/stats/latency.h"
#include "tests/virtual_clock.h"

enum { FAKE_MAX = 200000 };

/* Answers one queued sample a step, oldest first. */
struct fake {
    uint32_t queue[FAKE_MAX], head, tail;
    int64_t sleep_ns;            /* a step */
    uint32_t stall_at;           /* measured answers before one step takes stall_ns; 0: never */
    int64_t stall_ns;            /* and how long that is */
    uint32_t wrong_at, wrong_id; /* measured answers before one is given to wrong_id; 0: never */
    uint32_t tokens;
    bool measured, first;
    volatile sig_atomic_t stop;
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
    if (n > FAKE_MAX - f->tail)
        return jm_fail(err, JM_EUSAGE, "more than announced");
    for (uint32_t i = 0; i < n; i++)
        f->queue[f->tail++] = s[i].id;
    return JM_OK;
}

static void wait_ns(int64_t ns)
{
    struct timespec t = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
    if (ns > 0)
        (void)nanosleep(&t, NULL);
}

static jm_status fake_step(void *state, struct jm_sink *sink, jm_err *err)
{
    struct fake *f = state;
    (void)err;
    if (f->head == f->tail)
        return JM_OK;
    uint32_t id = f->queue[f->head++];
    if (f->measured && f->stall_at && f->head == f->stall_at)
        wait_ns(f->stall_ns);
    if (f->first)
        jm_sink_first(sink, id);
    wait_ns(f->sleep_ns);
    if (f->measured && f->wrong_at && f->head == f->wrong_at)
        id = f->wrong_id;
    jm_sink_done(sink, id, 1, f->tokens);
    return JM_OK;
}

static struct jm_sut fake_open(uint32_t n_samples)
{
    memset(&fake, 0, sizeof fake);
    return (struct jm_sut){ .state = &fake,
                            .n_samples = n_samples,
                            .begin = fake_begin,
                            .issue = fake_issue,
                            .step = fake_step };
}

static jm_status on_window(bool open, void *user, jm_err *err)
{
    (void)user;
    (void)err;
    fake.measured = open;
    return JM_OK;
}

static struct jm_load_config server(double qps, double latency_s)
{
    return (struct jm_load_config){ .scenario = JM_SERVER,
                                    .seed = 42,
                                    .target_qps = qps,
                                    .latency_s = latency_s,
                                    .max_ids = FAKE_MAX,
                                    .window = on_window,
                                    .stop = &fake.stop };
}

/* With a bound that answers of one token cannot break. */
static struct jm_load_config unbound(double qps)
{
    struct jm_load_config cfg = server(qps, 0.0);
    cfg.tpot_s = 1.0;
    return cfg;
}

/* Every sample index in each whole copy once. */
static bool equal_issue(const struct jm_load_result *r, uint32_t n_samples)
{
    uint8_t *seen = calloc(n_samples, 1);
    bool good = seen && r->issued % n_samples == 0;
    for (uint32_t i = 0; good && i < r->issued; i++) {
        if (i % n_samples == 0)
            memset(seen, 0, n_samples);
        uint32_t index = r->timings[i].index;
        good = index < n_samples && !seen[index]++;
    }
    free(seen);
    return good;
}

/* The stretch that is spun follows how late sleeps end: one in 1,000 may be later. */
static void test_wait(void)
{
    struct jm_wait w;
    virtual_clock = false;
    jm_wait_begin(&w);
    CU_ASSERT(w.spin_ns >= 50e3 && w.spin_ns <= 2e6);
    int64_t at_ns = jm_now_ns() + 3000000;
    while (jm_now_ns() < at_ns) /* a signal may end a wait */
        jm_wait_until(&w, at_ns);
    jm_wait_end(&w);
    virtual_clock = true;
    jm_rng rng = { .state = 5 };
    uint32_t beyond = 0, n = 40000;
    w.spin_ns = 2e6;
    for (uint32_t i = 0; i < 2 * n; i++) { /* exponential, mean 40 us: 1 in 1,000 is beyond 276 */
        double late_ns = -log(1.0 - jm_rng_double(&rng)) * 40e3;
        beyond += i >= n && late_ns > w.spin_ns;
        jm_wait_learn(&w, (int64_t)late_ns);
    }
    CU_ASSERT_DOUBLE_EQUAL(beyond / (double)n, 0.001, 0.0007);
    CU_ASSERT_DOUBLE_EQUAL(w.spin_ns, 276e3, 120e3);
    w.spin_ns = 50e3; /* one late sleep is enough to learn from */
    jm_wait_learn(&w, 900000);
    CU_ASSERT_EQUAL(w.spin_ns, 900e3);
    for (int i = 0; i < 100; i++)
        jm_wait_learn(&w, 100000000);
    CU_ASSERT_EQUAL(w.spin_ns, 2e6);
    for (int i = 0; i < 20000; i++)
        jm_wait_learn(&w, 1000);
    CU_ASSERT_EQUAL(w.spin_ns, 50e3);
}

/* Of gaps worked out by hand, and of this machine: no later than the loop is long. */
static void test_clock_floor(void)
{
    const double gap_s[] = { 0.02, 0.01, 0.01 };
    CU_ASSERT_EQUAL(jm_clock_floor_of(gap_s, 0, 1.0), 0.0);
    CU_ASSERT_DOUBLE_EQUAL(jm_clock_floor_of(gap_s, 1, 1.0), 0.01, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(jm_clock_floor_of(gap_s + 1, 2, 1.0), 0.005, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(jm_clock_floor_of(gap_s, 3, 1.0), 0.01, 1e-9);
    CU_ASSERT_EQUAL(jm_clock_floor_of(gap_s, 3, 4.0), 0.0); /* late for less than a hundredth */
    virtual_clock = false;
    double floor_s = jm_clock_floor_s(0.02);
    virtual_clock = true;
    CU_ASSERT(floor_s >= 0.0 && isfinite(floor_s));
}

static void test_multi_stream(void)
{
    struct jm_sut sut = fake_open(10);
    struct jm_load_config cfg = { .scenario = JM_MULTI_STREAM,
                                  .min_queries = 60,
                                  .samples_per_query = 4,
                                  .max_ids = 1000,
                                  .window = on_window };
    struct jm_load_result r;
    struct jm_latency l;
    fake.sleep_ns = 200000;
    CU_ASSERT_EQUAL_FATAL(jm_load_run(&sut, &cfg, &r, NULL), JM_OK);
    CU_ASSERT_EQUAL_FATAL(r.n, 60);
    CU_ASSERT(equal_issue(&r, 10));
    for (uint32_t i = 1; i < r.n; i++) { /* 4, 4 and 2 of each copy share their issue */
        bool same = i % 10 != 0 && i % 10 != 4 && i % 10 != 8;
        CU_ASSERT_EQUAL(r.timings[i].issue_ns == r.timings[i - 1].issue_ns, same);
        if (!same)
            CU_ASSERT(r.timings[i].issue_ns >= r.timings[i - 1].done_ns);
    }
    CU_ASSERT_EQUAL(jm_latency_compute(r.timings, r.n, r.t_start_ns, &l, NULL), JM_OK);
    double sample_p50_s = l.p50_s;
    CU_ASSERT_EQUAL(jm_latency_queries(r.timings, r.n, 10, 4, &l, NULL), JM_OK);
    CU_ASSERT(l.min_s >= 4 * 200e-6 && l.p50_s > sample_p50_s);
    CU_ASSERT_EQUAL(l.n, 60);
    jm_load_result_free(&r);
    cfg.samples_per_query = 11;
    CU_ASSERT_EQUAL(jm_load_run(&sut, &cfg, &r, NULL), JM_EUSAGE);
    cfg.samples_per_query = 0;
    CU_ASSERT_EQUAL(jm_load_run(&sut, &cfg, &r, NULL), JM_EUSAGE);
}

/* Latencies of whole queries worked out by hand. */
static void test_query_latency(void)
{
    struct jm_timing t[7];
    struct jm_latency l = { .n = 7, .mean_s = NAN };
    for (int i = 0; i < 7; i++) /* two copies of 5, by 2: {0 1} {2 3} {4} {5 6} */
        t[i] = (struct jm_timing){ .issue_ns = 1000, .done_ns = 1000 + (i + 1) * 1000000000ll };
    CU_ASSERT_EQUAL(jm_latency_queries(t, 7, 5, 2, &l, NULL), JM_OK);
    CU_ASSERT_DOUBLE_EQUAL(l.mean_s, (2 + 4 + 7) / 3.0, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(l.p99_s, 7, 1e-9);
    t[5].done_ns = 0;
    CU_ASSERT_EQUAL(jm_latency_queries(t, 7, 5, 2, &l, NULL), JM_OK);
    CU_ASSERT_DOUBLE_EQUAL(l.max_s, 4, 1e-9);
    CU_ASSERT_EQUAL(jm_latency_queries(t, 6, 5, 2, &l, NULL), JM_OK); /* {5} is cut off */
    CU_ASSERT_DOUBLE_EQUAL(l.max_s, 4, 1e-9);
}

/* 100,000 arrivals in 5 s: a Poisson process, and each id is answered exactly once. */
static void test_accounts(void)
{
    enum { N = 100000 };
    static uint8_t answered[N];
    struct jm_null_sut state;
    struct jm_sut sut = jm_null_sut_open(&state, 1000);
    struct jm_load_config cfg = unbound(20000);
    struct jm_load_result r;
    struct jm_verdict v;
    struct jm_latency l;
    double sum = 0, long_gaps = 0;
    cfg.min_queries = N;
    virtual_clock = false;
    CU_ASSERT_EQUAL(jm_load_run(&sut, &cfg, &r, NULL), JM_OK);
    virtual_clock = true;
    CU_ASSERT_FATAL(r.issued == N && r.n == N);
    CU_ASSERT(r.copies == 100 && !r.overloaded && !r.capped);
    CU_ASSERT(equal_issue(&r, 1000));
    for (uint32_t i = 0; i < r.n; i++) {
        const struct jm_timing *t = &r.timings[i];
        answered[i]++;
        CU_ASSERT(t->done_ns >= t->issue_ns + (int64_t)t->delay_ns - 1000);
        CU_ASSERT(t->delay_ns >= 0 && t->issue_ns >= r.t_start_ns && t->done_ns <= r.t_end_ns);
        if (i > 0) {
            double gap = (double)(t->issue_ns - t[-1].issue_ns) * 1e-9 * 20000;
            sum += gap;
            long_gaps += gap > 1.0;
        }
    }
    CU_ASSERT_EQUAL(memchr(answered, 0, N), NULL);
    /* Gaps: mean 1 with deviation 1, a share 1/e above the mean; four deviations of each. */
    CU_ASSERT_DOUBLE_EQUAL(sum / (N - 1), 1.0, 4 / sqrt(N));
    CU_ASSERT_DOUBLE_EQUAL(long_gaps / (N - 1), exp(-1), 4 * sqrt(0.233 / N));
    CU_ASSERT_EQUAL(r.timings[0].issue_ns, r.t_start_ns);
    jm_load_judge(&cfg, &r, &v);
    CU_ASSERT(v.valid && v.reason[0] == 0);
    CU_ASSERT_EQUAL(jm_latency_compute(r.timings, r.n, r.t_start_ns, &l, NULL), JM_OK);
    (void)printf("issue delay at 20,000/s: p50 %.1f us, p99 %.1f us, max %.0f us\n",
                 l.delay_p50_s * 1e6, l.delay_p99_s * 1e6, l.delay_max_s * 1e6);
    jm_load_result_free(&r);
    jm_null_sut_close(&state);
}

static void test_seeds(void)
{
    struct jm_sut sut = fake_open(100);
    struct jm_load_config cfg = unbound(100000);
    struct jm_load_result a, b, c;
    CU_ASSERT_EQUAL(jm_load_run(&sut, &cfg, &a, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_load_run(&sut, &cfg, &b, NULL), JM_OK);
    cfg.seed = 43;
    cfg.probe = true;
    cfg.min_queries = 662;
    CU_ASSERT_EQUAL(jm_load_run(&sut, &cfg, &c, NULL), JM_OK);
    CU_ASSERT(a.n == 700 && b.n == 700 && c.n == 662); /* 662 rounded up to copies, and not */
    bool same = true, other = false;
    for (uint32_t i = 0; i < 662; i++) {
        int64_t at = a.timings[i].issue_ns - a.t_start_ns;
        same &= at == b.timings[i].issue_ns - b.t_start_ns;
        other |= at != c.timings[i].issue_ns - c.t_start_ns;
    }
    CU_ASSERT(same && other);
    jm_load_result_free(&a);
    jm_load_result_free(&b);
    jm_load_result_free(&c);
}

/* Latencies of 2,000 queries at 2,000/s to a system that stalls once, for 200 ms: from the
 * schedule, and from when a sample was taken. */
static void stalled(struct jm_latency *honest, struct jm_latency *omitted)
{
    struct jm_sut sut = fake_open(100);
    struct jm_load_config cfg = unbound(2000);
    struct jm_load_result r;
    cfg.min_queries = 2000;
    fake.stall_at = 1000;
    fake.stall_ns = 200000000;
    CU_ASSERT_EQUAL_FATAL(jm_load_run(&sut, &cfg, &r, NULL), JM_OK);
    CU_ASSERT_EQUAL(r.n, 2000);
    CU_ASSERT_EQUAL(jm_latency_compute(r.timings, r.n, r.t_start_ns, honest, NULL), JM_OK);
    for (uint32_t i = 0; i < r.n; i++)
        r.timings[i].issue_ns += (int64_t)r.timings[i].delay_ns;
    for (uint32_t i = 0; i < r.n; i++) /* the float's rounding */
        if (r.timings[i].issue_ns > r.timings[i].done_ns)
            r.timings[i].issue_ns = r.timings[i].done_ns;
    CU_ASSERT_EQUAL(jm_latency_compute(r.timings, r.n, r.t_start_ns, omitted, NULL), JM_OK);
    jm_load_result_free(&r);
}

/* 400 of 2,000 queries wait in a stall. A clock that starts when a sample is taken sees one slow
 * query; one that starts at the scheduled arrival sees them all. */
static void test_coordinated_omission(void)
{
    struct jm_latency honest, omitted;
    stalled(&honest, &omitted);
    CU_ASSERT(honest.p90_s > 0.05 && honest.p99_s > 0.15);
    CU_ASSERT(honest.delay_max_s > 0.15 && honest.max_s >= 0.2);
    CU_ASSERT(omitted.p99_s < 0.02 && omitted.max_s >= 0.2);
    (void)printf("p99 from the schedule %.1f ms, from the issue %.1f ms\n", honest.p99_s * 1e3,
                 omitted.p99_s * 1e3);
}

static void test_overload(void)
{
    struct jm_sut sut = fake_open(100);
    struct jm_load_config cfg = server(4000, 0.02);
    struct jm_load_result r;
    struct jm_verdict v;
    uint64_t allowed = 0;
    fake.sleep_ns = 1000000; /* at most 1,000 a second */
    cfg.min_queries = 40000;
    int64_t t0 = jm_now_ns();
    CU_ASSERT_EQUAL_FATAL(jm_load_run(&sut, &cfg, &r, NULL), JM_OK);
    CU_ASSERT(r.overloaded && r.n < r.issued && r.issued < 20000);
    CU_ASSERT(jm_now_ns() - t0 < 5000000000); /* all would take 40 s */
    CU_ASSERT(strstr(r.overload, "over 20 ms of latency") != NULL);
    CU_ASSERT(jm_percentile_max_over(40000, 0.99, &allowed));
    CU_ASSERT(jm_load_over(&cfg, &r) > allowed);
    jm_load_judge(&cfg, &r, &v);
    CU_ASSERT(!v.valid && strcmp(v.reason, r.overload) == 0);
    jm_load_result_free(&r);
    cfg.target_qps = 250; /* the same system keeps a bound at a rate below its own */
    cfg.latency_s = 0.3;
    cfg.min_queries = 1;
    CU_ASSERT_EQUAL(jm_load_run(&sut, &cfg, &r, NULL), JM_OK);
    jm_load_judge(&cfg, &r, &v);
    CU_ASSERT(v.valid && !r.overloaded && r.n == 800); /* ten bounds long, and whole copies */
    jm_load_result_free(&r);
    CU_ASSERT_DOUBLE_EQUAL(jm_load_server_s(&cfg), 3.0, 1e-9);
    cfg.probe = true;
    CU_ASSERT_EQUAL(jm_load_run(&sut, &cfg, &r, NULL), JM_OK);
    jm_load_judge(&cfg, &r, &v);
    CU_ASSERT(v.valid && !r.overloaded && r.n == 100); /* one bound long, but a hundred */
    jm_load_result_free(&r);
}

static struct jm_timing timing(double first_s, double done_s, uint32_t tokens)
{
    return (struct jm_timing){ .issue_ns = 1000,
                               .first_ns = first_s > 0 ? 1000 + (int64_t)(first_s * 1e9) : 0,
                               .done_ns = 1000 + (int64_t)(done_s * 1e9),
                               .tokens_out = tokens };
}

/* Arrivals at 1,000/s for 0.4 s, answered by a server of so many a second, so many at once. */
static bool steady(double served, int at_once)
{
    enum { N = 400 };
    static struct jm_timing t[N];
    struct jm_load_config cfg = unbound(1000);
    struct jm_load_result r = {
        .timings = t, .issued = N, .n = N, .t_start_ns = 1000000, .t_end_ns = 2000000000
    };
    struct jm_verdict v;
    int64_t free_ns = 0;
    for (int i = 0; i < N; i++)
        t[i] = (struct jm_timing){ .issue_ns = 1000000 + i * 1000000, .tokens_out = 1 };
    for (int i = 0; i < N; i += at_once) {
        int64_t last_ns = t[i + at_once - 1].issue_ns;
        free_ns = (free_ns > last_ns ? free_ns : last_ns) + (int64_t)(at_once * 1e9 / served);
        for (int k = 0; k < at_once; k++)
            t[i + k].done_ns = free_ns;
    }
    struct jm_backlog b = jm_load_backlog(&r);
    CU_ASSERT_DOUBLE_EQUAL((b.arrivals - (b.after - b.before)) / b.seconds, fmin(served, 1000),
                           0.02 * served + 2 * at_once);
    cfg.steady = true;
    jm_load_judge(&cfg, &r, &v);
    CU_ASSERT(v.valid || strstr(v.reason, "queries waiting grew from"));
    cfg.steady = false;
    struct jm_verdict any;
    jm_load_judge(&cfg, &r, &any);
    CU_ASSERT(any.valid);
    return v.valid;
}

/* What waits may grow by chance: between the middles of 200 arrivals by 28. */
static void test_backlog(void)
{
    CU_ASSERT(steady(1250, 1) && steady(1000, 1) && steady(970, 1) && steady(880, 1));
    CU_ASSERT(!steady(840, 1) && !steady(500, 1));
    CU_ASSERT(steady(1250, 40) && steady(1000, 40) && !steady(500, 40));
    struct jm_timing none[7] = { 0 };
    struct jm_backlog b = jm_load_backlog(&(struct jm_load_result){ .timings = none, .issued = 7 });
    CU_ASSERT(b.arrivals == 0 && b.seconds == 0);
}

/* Answers up to seven at a step, in any order. */
static struct {
    uint32_t *queue, n, max;
    uint8_t *seen; /* [max] times that an id came */
    jm_rng rng;
} any_order;

static jm_status any_begin(void *state, uint32_t max_ids, jm_err *err)
{
    (void)state;
    (void)err;
    free(any_order.queue);
    free(any_order.seen);
    any_order.queue = calloc(max_ids, sizeof *any_order.queue);
    any_order.seen = calloc(max_ids, 1);
    any_order.n = 0;
    any_order.max = max_ids;
    return any_order.queue && any_order.seen ? JM_OK : JM_ENOMEM;
}

static jm_status any_issue(void *state, const struct jm_sample *s, uint32_t n, jm_err *err)
{
    (void)state;
    for (uint32_t i = 0; i < n; i++) {
        if (any_order.n == any_order.max || s[i].id >= any_order.max)
            return jm_fail(err, JM_EUSAGE, "more than announced");
        any_order.seen[s[i].id]++;
        any_order.queue[any_order.n++] = s[i].id;
    }
    return JM_OK;
}

static jm_status any_step(void *state, struct jm_sink *sink, jm_err *err)
{
    (void)state;
    (void)err;
    for (int k = 0; k < 7 && any_order.n > 0; k++) {
        uint32_t at = (uint32_t)jm_rng_below(&any_order.rng, any_order.n);
        uint32_t id = any_order.queue[at];
        any_order.queue[at] = any_order.queue[--any_order.n];
        jm_sink_first(sink, id);
        jm_sink_done(sink, id, 1, 1);
    }
    return JM_OK;
}

/* 100,000 queries at 50,000/s: none lost, none counted twice, every sample as often as the next. */
static void test_long_run(void)
{
    enum { QUERIES = 100000, SAMPLES = 1000 };
    struct jm_null_sut null;
    any_order.rng = (jm_rng){ .state = 9 };
    struct jm_sut suts[] = {
        jm_null_sut_open(&null, SAMPLES),
        { .n_samples = SAMPLES, .begin = any_begin, .issue = any_issue, .step = any_step }
    };
    for (int k = 0; k < 2; k++) {
        struct jm_load_config cfg = unbound(50000);
        struct jm_load_result r;
        struct jm_latency l;
        uint32_t as_often[SAMPLES] = { 0 }, wrong = 0;
        cfg.min_queries = QUERIES;
        CU_ASSERT_EQUAL_FATAL(jm_load_run(&suts[k], &cfg, &r, NULL), JM_OK);
        CU_ASSERT(r.issued == QUERIES && r.n == QUERIES && r.copies == QUERIES / SAMPLES);
        CU_ASSERT(equal_issue(&r, SAMPLES));
        for (uint32_t i = 0; i < r.issued; i++) {
            const struct jm_timing *t = &r.timings[i];
            as_often[t->index]++;
            wrong += t->done_ns < t->issue_ns || (i > 0 && t->issue_ns < t[-1].issue_ns);
            wrong += k == 1 && any_order.seen[i] != 1;
        }
        for (uint32_t i = 0; i < SAMPLES; i++)
            wrong += as_often[i] != QUERIES / SAMPLES;
        CU_ASSERT_EQUAL(wrong, 0);
        CU_ASSERT_EQUAL(jm_latency_compute(r.timings, r.issued, r.t_start_ns, &l, NULL), JM_OK);
        CU_ASSERT_EQUAL(l.n, QUERIES);
        jm_load_result_free(&r);
    }
    jm_null_sut_close(&null);
    free(any_order.queue);
    free(any_order.seen);
}

static bool judged(struct jm_load_config *cfg, struct jm_timing *t, uint32_t n, const char *text)
{
    struct jm_load_result r = { .timings = t, .issued = n, .n = n, .t_end_ns = 1000000000000 };
    struct jm_verdict v;
    jm_load_judge(cfg, &r, &v);
    if (text && !strstr(v.reason, text))
        (void)printf("\n%s\n", v.reason);
    return text ? !v.valid && strstr(v.reason, text) : v.valid;
}

static void test_verdict(void)
{
    enum { N = 662 };
    struct jm_timing t[N];
    struct jm_load_config cfg = server(10, 0);
    for (int i = 0; i < N; i++)
        t[i] = timing(0.1, 1.1, 11); /* 100 ms a token */
    cfg.ttft_s = 0.2;
    cfg.tpot_s = 0.11;
    CU_ASSERT(judged(&cfg, t, N, NULL));
    CU_ASSERT(judged(&cfg, t, 458, "458 queries are too few for the 99th percentile"));
    t[5] = timing(0.3, 1.1, 11);
    CU_ASSERT(judged(&cfg, t, N, NULL)); /* 662 afford one */
    CU_ASSERT(judged(&cfg, t, N - 1, "1 of 661 queries were over 200 ms to the first token"));
    t[6] = timing(0.1, 1.5, 11);
    CU_ASSERT(judged(&cfg, t, N, NULL)); /* another bound, another account */
    struct jm_load_result r = { .timings = t, .issued = N, .n = N };
    CU_ASSERT_EQUAL(jm_load_over(&cfg, &r), 2);
    t[7] = t[6];
    CU_ASSERT(judged(&cfg, t, N, "2 of 662 queries were over 110 ms a token"));
    t[7] = timing(0.1, 90, 1); /* of one token: no time per token */
    CU_ASSERT(judged(&cfg, t, N, "1 of 661 queries were over 110 ms a token"));
    cfg.tpot_s = 0;
    for (int i = 0; i < N; i++)
        t[i] = timing(0, 0.3, 1); /* in one piece: the end is the first token */
    CU_ASSERT(judged(&cfg, t, N, "662 of 662 queries were over 200 ms to the first token"));
    cfg.ttft_s = 0.4;
    CU_ASSERT(judged(&cfg, t, N, NULL));
    cfg.min_queries = N + 1;
    CU_ASSERT(judged(&cfg, t, N, "662 queries of at least 663"));
    cfg.min_queries = 0;
    cfg.scenario = JM_SINGLE_STREAM;
    cfg.min_duration_s = 2000;
    CU_ASSERT(judged(&cfg, t, N, "of 2e+03 s"));
    t[1].done_ns = 0;
    r.n = N - 1;
    struct jm_verdict v;
    jm_load_judge(&cfg, &r, &v);
    CU_ASSERT(!v.valid && strstr(v.reason, "661 of 662 samples were answered"));
}

static void test_wrong_answers(void)
{
    static const struct {
        enum jm_scenario scenario;
        uint32_t id;
        const char *text;
    } all[] = {
        { JM_SERVER, 3, "answered sample 3 twice" },
        { JM_OFFLINE, 3, "answered sample 3 twice" },
        { JM_SINGLE_STREAM, 3, "answered sample 3 twice" },
        { JM_SERVER, FAKE_MAX - 1, "which was never issued" },
        { JM_SINGLE_STREAM, 60, "answered sample 60, which was never issued" },
        { JM_MULTI_STREAM, 60, "answered sample 60, which was never issued" },
        { JM_OFFLINE, UINT32_MAX, "answered sample 4294967295, which was never issued" },
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct jm_sut sut = fake_open(100);
        struct jm_load_config cfg = unbound(50000);
        struct jm_load_result r;
        jm_err err = { .status = JM_OK };
        cfg.scenario = all[i].scenario;
        cfg.samples_per_query = 2;
        fake.wrong_at = 50;
        fake.wrong_id = all[i].id;
        CU_ASSERT_EQUAL(jm_load_run(&sut, &cfg, &r, &err), JM_EDEVICE);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, all[i].text));
        CU_ASSERT_EQUAL(r.n, 49);
        jm_load_result_free(&r);
    }
}

static void test_usage(void)
{
    struct jm_sut sut = fake_open(10);
    struct jm_load_config good = server(100, 1.0), bad[5] = { good, good, good, good, good };
    struct jm_load_result r;
    bad[0].target_qps = 0;
    bad[1].target_qps = (double)NAN;
    bad[2].latency_s = 0;
    bad[3].ttft_s = -1;
    bad[4].scenario = (enum jm_scenario) - 1;
    for (size_t i = 0; i < 5; i++) {
        CU_ASSERT_EQUAL(jm_load_run(&sut, &bad[i], &r, NULL), JM_EUSAGE);
        jm_load_result_free(&r);
    }
    fake.stop = 1;
    CU_ASSERT_EQUAL(jm_load_run(&sut, &good, &r, NULL), JM_EINTERRUPTED);
    jm_load_result_free(&r);
}

int main(void)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite s = CU_add_suite("server", NULL, NULL);
    CU_add_test(s, "wait", test_wait);
    CU_add_test(s, "clock floor", test_clock_floor);
    CU_add_test(s, "multi-stream", test_multi_stream);
    CU_add_test(s, "query latency", test_query_latency);
    CU_add_test(s, "accounts", test_accounts);
    CU_add_test(s, "seeds", test_seeds);
    CU_add_test(s, "coordinated omission", test_coordinated_omission);
    CU_add_test(s, "overload", test_overload);
    CU_add_test(s, "verdict", test_verdict);
    CU_add_test(s, "backlog", test_backlog);
    CU_add_test(s, "long run", test_long_run);
    CU_add_test(s, "wrong answers", test_wrong_answers);
    CU_add_test(s, "usage", test_usage);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures != 0;
}
