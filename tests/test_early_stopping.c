/* SPDX-License-Identifier: Apache-2.0 */
/* The early-stopping rule against MLPerf's published counts, against sums of binomial terms, and
 * against simulated runs. */
#include <CUnit/Basic.h>
#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "harness/stats/early_stopping.h"

static void test_published(void)
{
    static const struct {
        double p;
        uint64_t n[3]; /* for 0, 1 and 2 over the limit */
    } table[] = {
        { 0.9, { 44, 64, 81 } },
        { 0.99, { 459, 662, 838 } },
        { 0.999, { 4603, 6636, 8403 } },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        for (uint64_t t = 0; t < 3; t++) {
            CU_ASSERT_EQUAL(jm_percentile_min_n(t, table[i].p), table[i].n[t]);
            CU_ASSERT(!jm_percentile_holds(table[i].n[t] - 1, t, table[i].p));
            CU_ASSERT(jm_percentile_holds(table[i].n[t], t, table[i].p));
        }
}

/* Term by term from the first, each from the one before, in long double. */
static double sum_of_terms(uint64_t n, uint64_t t, double p)
{
    long double q = 1.0L - (long double)p, term = powl((long double)p, (long double)n), sum = term;
    for (uint64_t k = 1; k <= t && k <= n; k++) {
        term *= (long double)(n - k + 1) / (long double)k * q / (long double)p;
        sum += term;
    }
    return (double)sum;
}

static void test_sum(void)
{
    static const uint64_t counts[] = { 1, 2, 3, 10, 64, 500, 1000, 8403, 24576 };
    static const double share[] = { 0.5, 0.9, 0.97, 0.99, 0.999 };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        for (size_t k = 0; k < sizeof share / sizeof share[0]; k++) {
            uint64_t n = counts[i];
            for (uint64_t t = 0; t <= n && t < 2000; t += 1 + t / 3) {
                double got = jm_binomial_at_most(n, t, share[k]);
                CU_ASSERT(fabs(got - sum_of_terms(n, t, share[k])) <= 1e-9);
            }
        }
    CU_ASSERT_EQUAL(jm_binomial_at_most(5, 5, 0.9), 1.0);
    /* A median with a symmetric count: known without any sum. */
    CU_ASSERT_DOUBLE_EQUAL(jm_binomial_at_most(2000001, 1000000, 0.5), 0.5, 1e-7);
}

static void test_inverse(void)
{
    static const double share[] = { 0.5, 0.9, 0.99, 0.999 };
    for (size_t k = 0; k < 4; k++)
        for (uint64_t n = 1; n < 300000; n += 1 + n / 2) {
            uint64_t t;
            if (!jm_percentile_max_over(n, share[k], &t)) {
                CU_ASSERT(n < jm_percentile_min_n(0, share[k]));
                continue;
            }
            CU_ASSERT(jm_percentile_min_n(t, share[k]) <= n);
            CU_ASSERT(jm_percentile_min_n(t + 1, share[k]) > n);
        }
}

static void test_bound_index(void)
{
    uint64_t index = 0;
    CU_ASSERT(!jm_percentile_bound(0, 0.9, &index));
    CU_ASSERT(!jm_percentile_bound(63, 0.9, &index));
    CU_ASSERT(jm_percentile_bound(64, 0.9, &index));
    CU_ASSERT_EQUAL(index, 63);
    CU_ASSERT(jm_percentile_bound(80, 0.9, &index));
    CU_ASSERT_EQUAL(index, 79);
    CU_ASSERT(jm_percentile_bound(81, 0.9, &index));
    CU_ASSERT_EQUAL(index, 79);
    CU_ASSERT(!jm_percentile_bound(661, 0.99, &index));
    CU_ASSERT(jm_percentile_bound(100000, 0.99, &index));
    CU_ASSERT(index > 99000 && index < 99100);
}

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of 5,000 runs of 700 queries whose true 99th percentile is known, the bound is too low in at
 * most 1 %, give or take four standard deviations. */
static void test_coverage(void)
{
    enum { RUNS = 5000, N = 700 };
    jm_rng rng = { .state = 20 };
    double v[N];
    uint64_t index = 0;
    int low = 0;
    CU_ASSERT_FATAL(jm_percentile_bound(N, 0.99, &index));
    for (int r = 0; r < RUNS; r++) {
        for (int i = 0; i < N; i++)
            v[i] = jm_rng_double(&rng);
        qsort(v, N, sizeof v[0], compare_double);
        low += v[index] < 0.99;
    }
    CU_ASSERT(low <= 0.01 * RUNS + 4 * sqrt(0.01 * RUNS));
}

int main(void)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite s = CU_add_suite("early stopping", NULL, NULL);
    CU_add_test(s, "published counts", test_published);
    CU_add_test(s, "sum of terms", test_sum);
    CU_add_test(s, "inverse", test_inverse);
    CU_add_test(s, "bound index", test_bound_index);
    CU_add_test(s, "coverage", test_coverage);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures != 0;
}
