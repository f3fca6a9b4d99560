/* SPDX-License-Identifier: Apache-2.0 */
/* How often the gate's rule cries wolf, and how often it finds a slowdown of 5%, by simulation on
 * recorded noise: fixtures/noise.csv holds 60 repeats of one single-stream run, in order, on a
 * two-core virtual machine that shared its cores with other work. The noise is taken as it is, and
 * with its logarithm scaled down, for calmer machines. Fails when a false alarm rate reaches 1%. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "harness/compare/gate.h"
#include "harness/stats/compare.h"
#include "harness/stats/rank_test.h"

enum { N = 60, MOST = 30, STRETCHES = 2 * N };

static int trials = 1000; /* or as the first argument says, with more sizes: it takes minutes */
static bool full;

/* How runs of the two sides get their noise. */
enum design {
    DRAWN,       /* each run from any of the recorded ones */
    INTERLEAVED, /* A B B A … along a stretch of the record */
    IN_A_ROW,    /* all of A, then all of B */
};

static double noise[N]; /* tokens/s */

static bool read_noise(const char *path)
{
    char line[256];
    FILE *f = fopen(path, "r");
    size_t n = 0;
    if (!f)
        return false;
    bool ok = fgets(line, sizeof line, f) && strncmp(line, "tokens_out_per_s,", 17) == 0;
    while (ok && n < N && fgets(line, sizeof line, f))
        noise[n++] = strtod(line, NULL);
    (void)fclose(f);
    return ok && n == N;
}

static double spread_of_noise(void)
{
    double mean = 0.0, sum = 0.0;
    for (size_t i = 0; i < N; i++)
        mean += log(noise[i]) / N;
    for (size_t i = 0; i < N; i++)
        sum += (log(noise[i]) - mean) * (log(noise[i]) - mean);
    return sqrt(sum / (N - 1));
}

/* The rule on tokens/s. The interval costs most, and is not needed where p decides. */
static bool alarm(const double *a, const double *b, size_t n, uint64_t seed)
{
    struct jm_bootstrap how = { .level = 0.95, .resamples = 1000, .seed = seed };
    struct jm_rank_test t;
    struct jm_ratio r;
    if (jm_mann_whitney(a, n, b, n, &t, NULL) != JM_OK)
        abort();
    if (t.p >= jm_gate_alpha)
        return false;
    if (jm_ratio_interval(a, n, b, n, &how, &r, NULL) != JM_OK)
        abort();
    return jm_gate_is_regression(&r, t.p, true, jm_gate_default.slowdown);
}

/* Share of alarms; B is slower by `slowdown` (0.05: takes 5% more time), noise^scale. */
static double rate(enum design design, size_t n, double scale, double slowdown)
{
    jm_rng rng = { .state = 1 };
    int alarms = 0, all = design == DRAWN ? trials : STRETCHES;
    for (int i = 0; i < all; i++) {
        double a[MOST], b[MOST];
        size_t start = (size_t)i / 2 % N, swap = (size_t)i % 2;
        for (size_t k = 0; k < 2 * n; k++) {
            static const size_t order[] = { 0, 1, 1, 0 };
            size_t at = design == DRAWN ? jm_rng_below(&rng, N) : (start + k) % N;
            size_t side = (design == INTERLEAVED ? order[k % 4] : k / n) ^ swap;
            size_t place = design == INTERLEAVED ? k / 2 : k % n;
            (side ? b : a)[place] = pow(noise[at], scale) / (side ? 1.0 + slowdown : 1.0);
        }
        alarms += alarm(a, b, n, (uint64_t)i);
    }
    return (double)alarms / all;
}

static bool print_false_alarms(double spread)
{
    static const size_t runs[] = { 9, 15, 30 };
    static const double scaled[] = { 0.0, 0.05, 0.02 }; /* 0: as recorded */
    bool good = true;
    printf("False alarms (no difference), limit 3%%; drawn: %d trials, in order: all %d stretches\n"
           "spread   runs a side   drawn    interleaved   in a row\n",
           trials, STRETCHES);
    for (size_t s = 0; s < 3; s++)
        for (size_t k = 0; k < (full ? 3 : 1); k++) {
            double scale = scaled[s] > 0.0 ? scaled[s] / spread : 1.0;
            double drawn = rate(DRAWN, runs[k], scale, 0.0);
            double inter = rate(INTERLEAVED, runs[k], scale, 0.0);
            double row = rate(IN_A_ROW, runs[k], scale, 0.0);
            printf("%5.1f%%   %11zu   %5.2f%%   %10.2f%%   %7.2f%%\n", spread * scale * 100,
                   runs[k], drawn * 100, inter * 100, row * 100);
            good = good && drawn < 0.01 && inter < 0.01;
        }
    return good;
}

static void print_power(double spread)
{
    static const size_t runs[] = { 9, 12, 15, 20, 30 };
    static const double scaled[] = { 0.0, 0.05, 0.02, 0.01 };
    printf("\nPower: a slowdown of 5%% found, limit 3%%, of %d trials\n"
           "spread   runs a side   found\n",
           trials);
    for (size_t s = 0; s < 4; s++)
        for (size_t k = 0; k < (full ? 5 : 1); k++) {
            double scale = scaled[s] > 0.0 ? scaled[s] / spread : 1.0;
            printf("%5.1f%%   %11zu   %4.0f%%\n", spread * scale * 100, runs[k],
                   rate(DRAWN, runs[k], scale, 0.05) * 100);
        }
}

int main(int argc, char **argv)
{
    if (argc > 1)
        trials = atoi(argv[1]);
    full = argc > 1;
    if (trials < 100) {
        (void)fputs("usage: gate_power [TRIALS], at least 100\n", stderr);
        return 1;
    }
    if (!read_noise(JM_FIXTURES "/noise.csv")) {
        (void)fputs("gate_power: fixtures/noise.csv cannot be read\n", stderr);
        return 1;
    }
    double spread = spread_of_noise();
    printf("Recorded noise: %d runs, standard deviation of ln(tokens/s) %.1f%%\n\n", N,
           spread * 100);
    bool good = print_false_alarms(spread);
    print_power(spread);
    return good ? 0 : 1;
}
