/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics against a second implementation (fixtures/stats.json, made with SciPy), textbook
 * values, and by simulation against what they promise. */
#include <CUnit/Basic.h>
#include <cjson/cJSON.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/rng.h"
#include "harness/stats/bootstrap.h"
#include "harness/stats/compare.h"
#include "harness/stats/normal.h"
#include "harness/stats/rank_test.h"

enum { ROOM = 64 };
static cJSON *fixture;

static const struct jm_bootstrap plain = { .level = 0.95, .resamples = 20000, .seed = 1 };
static const struct jm_bootstrap pairs = {
    .paired = true, .level = 0.95, .resamples = 20000, .seed = 1
};

static size_t values(const cJSON *o, const char *name, double v[ROOM])
{
    const cJSON *list = cJSON_GetObjectItem(o, name), *x;
    size_t n = 0;
    cJSON_ArrayForEach(x, list) if (n < ROOM) v[n++] = x->valuedouble;
    return n;
}

static double number(const cJSON *o, const char *name)
{
    const cJSON *x = cJSON_GetObjectItem(o, name);
    return x ? x->valuedouble : NAN;
}

/* Written so that NAN fails. */
static bool near(double got, double want, double relative)
{
    bool ok = fabs(got - want) <= relative * fabs(want);
    if (!ok)
        printf("\n    got %.15g, wanted %.15g ", got, want);
    return ok;
}

static void test_normal(void)
{
    const cJSON *x;
    int n = 0;
    cJSON_ArrayForEach(x, cJSON_GetObjectItem(fixture, "normal"))
    {
        double p = cJSON_GetArrayItem(x, 0)->valuedouble, z = cJSON_GetArrayItem(x, 1)->valuedouble;
        CU_ASSERT(fabs(jm_normal_quantile(p) - z) <= 1e-9 * fmax(1.0, fabs(z)));
        CU_ASSERT(near(jm_normal_cdf(z), p, 1e-9 * fmax(1.0, z * z)));
        n++;
    }
    CU_ASSERT_EQUAL(n, 9);
    CU_ASSERT(isnan(jm_normal_quantile(-0.1)));
    CU_ASSERT(isinf(jm_normal_quantile(0.0)));
}

static void test_mann_whitney(void)
{
    const cJSON *x;
    int n = 0;
    cJSON_ArrayForEach(x, cJSON_GetObjectItem(fixture, "mann_whitney"))
    {
        double a[ROOM], b[ROOM];
        struct jm_rank_test t;
        size_t na = values(x, "a", a), nb = values(x, "b", b);
        CU_ASSERT_EQUAL(jm_mann_whitney(a, na, b, nb, &t, NULL), JM_OK);
        CU_ASSERT(near(t.statistic, number(x, "u"), 0.0));
        CU_ASSERT(near(t.p, number(x, "p"), 1e-9));
        CU_ASSERT_EQUAL(t.exact, cJSON_IsTrue(cJSON_GetObjectItem(x, "exact")));
        CU_ASSERT(near(t.effect, 2 * t.statistic / (double)(na * nb) - 1, 1e-12));
        n++;
    }
    CU_ASSERT_EQUAL(n, 7);
}

static void test_wilcoxon(void)
{
    const cJSON *x;
    int n = 0;
    cJSON_ArrayForEach(x, cJSON_GetObjectItem(fixture, "wilcoxon"))
    {
        double a[ROOM], b[ROOM];
        struct jm_rank_test t;
        size_t na = values(x, "a", a), nb = values(x, "b", b);
        CU_ASSERT_EQUAL(na, nb);
        CU_ASSERT_EQUAL(jm_wilcoxon(a, b, na, &t, NULL), JM_OK);
        CU_ASSERT(near(t.statistic, number(x, "plus"), 0.0));
        CU_ASSERT(near(t.p, number(x, "p"), 1e-9));
        CU_ASSERT_EQUAL(t.exact, cJSON_IsTrue(cJSON_GetObjectItem(x, "exact")));
        n++;
    }
    CU_ASSERT_EQUAL(n, 6);
}

/* Complete separation: only 2 of C(8, 4) = 70 orders, 2 of 2^5 = 32 signs are as extreme. */
static void test_extremes(void)
{
    static const double low[] = { 1, 2, 3, 4, 5 }, high[] = { 6, 8, 10, 12, 14 };
    static const double bad[] = { 1, NAN };
    struct jm_rank_test t;
    CU_ASSERT_EQUAL(jm_mann_whitney(low, 4, high, 4, &t, NULL), JM_OK);
    CU_ASSERT(near(t.p, 2.0 / 70.0, 1e-14) && near(t.effect, 1.0, 0.0));
    CU_ASSERT_EQUAL(jm_mann_whitney(high, 4, low, 4, &t, NULL), JM_OK);
    CU_ASSERT(near(t.p, 2.0 / 70.0, 1e-14) && near(t.effect, -1.0, 0.0));
    CU_ASSERT_EQUAL(jm_wilcoxon(low, high, 5, &t, NULL), JM_OK);
    CU_ASSERT(near(t.p, 2.0 / 32.0, 1e-14) && near(t.effect, 1.0, 0.0));
    CU_ASSERT_EQUAL(jm_wilcoxon(low, low, 5, &t, NULL), JM_OK);
    CU_ASSERT(near(t.p, 1.0, 0.0));
    static const double same[] = { 7, 7, 7 };
    CU_ASSERT_EQUAL(jm_mann_whitney(same, 3, same, 3, &t, NULL), JM_OK);
    CU_ASSERT(near(t.p, 1.0, 0.0) && fabs(t.effect) <= 0.0);
    CU_ASSERT_EQUAL(jm_mann_whitney(bad, 2, low, 5, &t, NULL), JM_ERANGE);
    CU_ASSERT_EQUAL(jm_mann_whitney(low, 0, low, 5, &t, NULL), JM_ERANGE);
    CU_ASSERT_EQUAL(jm_wilcoxon(bad, low, 2, &t, NULL), JM_ERANGE);
}

/* The worked example of Holm's method: 0.01, 0.02, 0.03, 0.04 -> times 4, 3, 2, 1, never falling.*/
static void test_holm(void)
{
    double p[] = { 0.03, 0.01, NAN, 0.04, 0.02, 0.9 };
    CU_ASSERT_EQUAL(jm_holm(p, 6, NULL), JM_OK);
    CU_ASSERT(near(p[1], 0.05, 1e-12) && near(p[4], 0.08, 1e-12) && near(p[0], 0.09, 1e-12));
    CU_ASSERT(near(p[3], 0.09, 1e-12) && near(p[5], 0.9, 1e-12) && isnan(p[2]));
    CU_ASSERT_EQUAL(jm_holm(p, 5000, NULL), JM_ERANGE);
    CU_ASSERT_EQUAL(jm_holm(NULL, 0, NULL), JM_OK);
}

/* Medians of resamples take few values, so two generators agree at best to a step between them:
 * the tolerance is a twentieth of the interval. */
static void check_interval(const char *name, const struct jm_bootstrap *how, int want)
{
    const cJSON *x;
    int n = 0;
    cJSON_ArrayForEach(x, cJSON_GetObjectItem(fixture, name))
    {
        double a[ROOM], b[ROOM], low = number(x, "low"), high = number(x, "high");
        struct jm_ratio r, again;
        size_t na = values(x, "a", a), nb = values(x, "b", b);
        CU_ASSERT_EQUAL(jm_ratio_interval(a, na, b, nb, how, &r, NULL), JM_OK);
        CU_ASSERT(near(r.value, number(x, "value"), 1e-12));
        printf("\n    %s: [%.5f, %.5f], SciPy [%.5f, %.5f] ", name, r.low, r.high, low, high);
        CU_ASSERT(fabs(r.low - low) <= 0.05 * (high - low));
        CU_ASSERT(fabs(r.high - high) <= 0.05 * (high - low));
        CU_ASSERT_EQUAL(jm_ratio_interval(a, na, b, nb, how, &again, NULL), JM_OK);
        CU_ASSERT(memcmp(&r, &again, sizeof r) == 0);
        n++;
    }
    CU_ASSERT_EQUAL(n, want);
}

static void test_bootstrap(void)
{
    check_interval("bootstrap", &plain, 4);
    check_interval("bootstrap_paired", &pairs, 3);
}

static void test_bootstrap_edges(void)
{
    static const double one[] = { 2, 2, 2, 2, 2 }, two[] = { 4, 4, 4, 4, 4 };
    static const double zero[] = { 1, 0 };
    struct jm_bootstrap how = plain;
    struct jm_ratio r;
    CU_ASSERT_EQUAL(jm_ratio_interval(one, 5, two, 5, &plain, &r, NULL), JM_OK);
    CU_ASSERT(near(r.value, 2, 0.0) && near(r.low, 2, 0.0) && near(r.high, 2, 0.0));
    CU_ASSERT_EQUAL(jm_ratio_interval(one, 4, two, 5, &plain, &r, NULL), JM_OK);
    CU_ASSERT(near(r.value, 2, 0.0) && isnan(r.low) && isnan(r.high));
    CU_ASSERT_EQUAL(jm_ratio_interval(one, 5, zero, 2, &plain, &r, NULL), JM_ERANGE);
    CU_ASSERT_EQUAL(jm_ratio_interval(one, 0, two, 2, &plain, &r, NULL), JM_ERANGE);
    CU_ASSERT_EQUAL(jm_ratio_interval(one, 4, two, 5, &pairs, &r, NULL), JM_EUSAGE);
    how.resamples = 10;
    CU_ASSERT_EQUAL(jm_ratio_interval(one, 5, two, 5, &how, &r, NULL), JM_EUSAGE);
}

static double gaussian(jm_rng *r)
{
    return jm_normal_quantile((jm_rng_double(r) * 0x1p53 + 0.5) * 0x1p-53);
}

/* Of intervals that promise 95%, how many hold the true ratio, 1; n runs a side, 5% noise. */
static double coverage(size_t n, bool paired)
{
    enum { TRIALS = 1000 };
    jm_rng rng = { .state = 42 };
    struct jm_bootstrap how = { .paired = paired, .level = 0.95, .resamples = 1000 };
    int held = 0;
    for (int i = 0; i < TRIALS; i++) {
        double a[ROOM], b[ROOM];
        struct jm_ratio r;
        for (size_t k = 0; k < n; k++) {
            a[k] = exp(0.05 * gaussian(&rng));
            b[k] = exp(0.05 * gaussian(&rng));
        }
        how.seed = (uint64_t)i;
        CU_ASSERT_EQUAL(jm_ratio_interval(a, n, b, n, &how, &r, NULL), JM_OK);
        held += r.low <= 1.0 && 1.0 <= r.high;
    }
    printf("\n    %zu runs a side%s: %d of %d intervals hold ", n, paired ? ", paired" : "", held,
           TRIALS);
    return (double)held / TRIALS;
}

/* 1000 trials at 95%: standard error 0.7%. */
static void test_coverage(void)
{
    CU_ASSERT(coverage(JM_BOOTSTRAP_MIN, false) >= 0.90);
    CU_ASSERT(coverage(9, false) >= 0.93);
    CU_ASSERT(coverage(9, true) >= 0.92);
    CU_ASSERT(coverage(20, false) >= 0.93);
}

/* The promised power, by simulation: a 5% step in noise of 4% with the number of runs advised. */
static void test_needed_runs(void)
{
    enum { TRIALS = 2000 };
    jm_rng rng = { .state = 7 };
    double need = jm_needed_runs(0.04, 0.05, 0.8, false), a[ROOM], b[ROOM];
    size_t n = (size_t)need;
    int found = 0;
    CU_ASSERT_FATAL(n >= 9 && n < ROOM);
    for (int i = 0; i < TRIALS; i++) {
        struct jm_rank_test t;
        for (size_t k = 0; k < n; k++) {
            a[k] = exp(0.04 * gaussian(&rng));
            b[k] = 1.05 * exp(0.04 * gaussian(&rng));
        }
        CU_ASSERT_EQUAL(jm_mann_whitney(a, n, b, n, &t, NULL), JM_OK);
        found += t.p < 0.05;
    }
    printf("\n    %zu runs a side: power %.3f ", n, (double)found / TRIALS);
    CU_ASSERT(fabs((double)found / TRIALS - 0.8) <= 0.04);
    CU_ASSERT(isnan(jm_needed_runs(NAN, 0.05, 0.8, false)));
    CU_ASSERT(jm_needed_runs(1e-9, 0.05, 0.8, true) <= 9.0);
}

static void test_compare(void)
{
    static const double a[] = { 10, 11, 12 }, b[] = { 20, 22, 24 };
    struct jm_comparison c;
    CU_ASSERT_EQUAL(jm_compare(a, 1, b, 1, &plain, &c, NULL), JM_OK);
    CU_ASSERT(near(c.ratio.value, 2, 0.0) && isnan(c.ratio.low) && isnan(c.p) && isnan(c.spread));
    CU_ASSERT_EQUAL(jm_compare(a, 3, b, 3, &plain, &c, NULL), JM_OK);
    CU_ASSERT(near(c.p, 0.1, 1e-12) && near(c.median_a, 11, 0.0) && near(c.median_b, 22, 0.0));
    CU_ASSERT_EQUAL(jm_compare(a, 3, b, 3, &pairs, &c, NULL), JM_OK);
    CU_ASSERT(near(c.p, 0.25, 1e-9) && c.spread <= 1e-12);
    CU_ASSERT_EQUAL(jm_compare(a, 3, b, 0, &plain, &c, NULL), JM_ERANGE);
}

int main(void)
{
    jm_map m;
    jm_err err = { .status = JM_OK };
    if (jm_map_open(JM_FIXTURES "/stats.json", &m, &err) != JM_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    fixture = cJSON_ParseWithLength((const char *)m.data, m.bytes);
    jm_map_close(&m);
    if (!fixture || CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite s = CU_add_suite("stats", NULL, NULL);
    CU_ADD_TEST(s, test_normal);
    CU_ADD_TEST(s, test_mann_whitney);
    CU_ADD_TEST(s, test_wilcoxon);
    CU_ADD_TEST(s, test_extremes);
    CU_ADD_TEST(s, test_holm);
    CU_ADD_TEST(s, test_bootstrap);
    CU_ADD_TEST(s, test_bootstrap_edges);
    CU_ADD_TEST(s, test_coverage);
    CU_ADD_TEST(s, test_needed_runs);
    CU_ADD_TEST(s, test_compare);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    bool ok = CU_get_number_of_tests_run() > 0 && CU_get_number_of_failures() == 0;
    CU_cleanup_registry();
    cJSON_Delete(fixture);
    return ok ? 0 : 1;
}
