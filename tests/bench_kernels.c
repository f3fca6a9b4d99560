/* SPDX-License-Identifier: Apache-2.0 */
/* See bench_kernels.h. A kernel is called in batches that take a seventh of the time it is given;
 * of seven batches the median counts. Its data stay where seven batches leave them: in the caches,
 * when they fit. */
#include "tests/bench_kernels.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/peak.h"
#include "base/clock.h"
#include "tests/cycles.h"
#include "tests/kernel_data.h"

enum { BATCHES = 7, BLOCK = 32, COLS = 2048, MANY = 256, WIDE = 6144, VOCABULARY = 32768 };
enum { PEAK_ROUNDS = 1024 };
enum { HEADS = JM_ATTEND_HEADS, CROWD = 32, DIM = 128, POSITIONS = 512, PADDED = POSITIONS + 16 };

static const char usage[] =
    "usage: test_kernels [--bench [SECONDS] [--set NAME] [--outputs N]]\n\n"
    "Without arguments: tests. With --bench: times every kernel for SECONDS (0.1) in one thread.\n"
    "--set NAME: of that set only. --outputs N: of linears, N x 2048 weights (2048).\n";

static const struct options {
    double seconds;
    const char *set;
    uint32_t outputs;
} defaults = { .seconds = 0.1, .outputs = 2048 };

/* Everything that kernels are called with, of any size that they are called with here. */
struct work {
    const struct jm_cpu_kernels *k;
    struct jm_packed w;
    struct jm_acts x;
    uint32_t rows; /* of a linear */
    float *a, *b, *out, *scratch, *keys, *values;
    uint16_t *keys16, *values16; /* the same in half precision */
    struct jm_kv8 kv8;           /* random levels, as Q8_0 */
    int8_t *q;
    int16_t *q16;
    int32_t *sum;
    jm_peak_mul_fn *peak;
    volatile int32_t column;
    volatile double total;
};

typedef void run_fn(struct work *w);

static void run_linear(struct work *w)
{
    w->k->linear(&w->w, &w->x, w->rows, w->out, w->w.t.rows, 0, w->w.n_groups, w->scratch);
}

static void run_peak(struct work *w)
{
    w->total = w->peak(PEAK_ROUNDS);
}

static void run_attend(struct work *w)
{
    w->k->attend(w->a, HEADS, w->keys, w->values, DIM, POSITIONS, 0.088f, w->scratch, w->out);
}

static void run_attend_crowd(struct work *w)
{
    w->k->attend(w->a, CROWD, w->keys, w->values, DIM, POSITIONS, 0.088f, w->scratch, w->out);
}

static void run_attend16(struct work *w)
{
    w->k->attend16(w->a, HEADS, w->keys16, w->values16, DIM, POSITIONS, 0.088f, w->scratch, w->out);
}

static void run_attend8(struct work *w)
{
    w->k->attend8(w->a, HEADS, &w->kv8, DIM, POSITIONS, 0.088f, w->scratch, w->out);
}

static void run_add(struct work *w)
{
    w->k->add(w->a, w->b, w->out, COLS);
}

static void run_swiglu(struct work *w)
{
    w->k->swiglu(w->a, w->b, w->out, WIDE);
}

static void run_gelu(struct work *w)
{
    w->k->gelu(w->a, w->out, WIDE);
}

static void run_rms_norm(struct work *w)
{
    w->k->rms_norm(w->a, w->b, 1e-5f, w->out, COLS);
}

static void run_rope(struct work *w)
{
    w->k->rope(w->a, w->b, DIM, w->out);
}

static void run_argmax(struct work *w)
{
    w->column = w->k->argmax(w->a, VOCABULARY);
}

static void run_quantise(struct work *w)
{
    w->k->quantise(w->a, WIDE, w->q, w->out, w->sum);
}

static void run_quantise16(struct work *w)
{
    w->k->quantise16(w->a, WIDE, w->q16, w->out);
}

static void run_norm_round(struct work *w)
{
    const struct jm_forms y = { .q = w->q, .d = w->out, .sum = w->sum };
    w->k->norm_round(w->a, w->b, 1e-5f, COLS, &y);
}

static void run_swiglu_round(struct work *w)
{
    const struct jm_forms y = { .q = w->q, .d = w->out, .sum = w->sum };
    w->k->swiglu_round(w->a, w->b, WIDE, &y);
}

struct reading {
    double ns, cycles; /* a call; cycles < 0: not counted */
};

static struct reading read_batch(struct work *w, run_fn *run, uint64_t calls)
{
    uint64_t from = 0, to = 0;
    bool counted = jm_cycles_now(&from);
    int64_t start = jm_now_ns();
    for (uint64_t i = 0; i < calls; i++)
        run(w);
    int64_t ns = jm_now_ns() - start;
    counted = counted && jm_cycles_now(&to);
    return (struct reading){ .ns = (double)ns / (double)calls,
                             .cycles = counted ? (double)(to - from) / (double)calls : -1 };
}

static int by_ns(const void *a, const void *b)
{
    double x = ((const struct reading *)a)->ns, y = ((const struct reading *)b)->ns;
    return (x > y) - (x < y);
}

/* bytes: read and written by a call; ops: of arithmetic, a multiplication and an addition two. */
static void bench(struct work *w, run_fn *run, double seconds, const char *name, const char *shape,
                  double bytes, double ops)
{
    struct reading r[BATCHES];
    uint64_t calls = 1;
    double goal_ns = seconds / BATCHES * 1e9;
    while (calls < UINT64_C(1) << 40 && read_batch(w, run, calls).ns * (double)calls < goal_ns)
        calls *= 2;
    for (int i = 0; i < BATCHES; i++)
        r[i] = read_batch(w, run, calls);
    qsort(r, BATCHES, sizeof r[0], by_ns);
    const struct reading m = r[BATCHES / 2];
    printf("%-13s %-15s %-16s %12.1f ", w->k->isa, name, shape, m.ns);
    if (m.cycles >= 0)
        printf("%13.1f", m.cycles);
    else
        printf("%13s", "-");
    printf(" %8.2f %8.2f\n", bytes / m.ns, ops / m.ns);
    fflush(stdout);
}

static double activation_bytes(const struct jm_packed *w)
{
    return w->kind == JM_PACK_I16 ? 2.125 : jm_packed_is_quantised(w) ? 1.25 : 4;
}

/* What the multipliers that a linear uses reach without memory, at about the same moment. */
static void bench_peak(struct work *w, double seconds)
{
    static const char *const name[JM_ROOF_KINDS] = {
        [JM_ROOF_F32] = "peak FP32", [JM_ROOF_I8] = "peak INT8", [JM_ROOF_I16] = "peak INT16"
    };
    const struct jm_cpu_peaks *peaks = jm_cpu_peaks_for(w->k->isa);
    enum jm_roof_kind kind = jm_packed_is_quantised(&w->w) ? JM_ROOF_I8
                             : w->w.kind == JM_PACK_I16    ? JM_ROOF_I16
                                                           : JM_ROOF_F32;
    struct jm_peak_mul mul = { 0 };
    if (peaks)
        mul = jm_cpu_peaks_mul(peaks, kind);
    w->peak = mul.run;
    if (mul.run)
        bench(w, run_peak, seconds, name[kind], "registers", 0, 2.0 * mul.each * PEAK_ROUNDS);
}

/* The reference is not timed with the most rows: seconds a call. */
static void bench_linear(struct work *w, const struct options *opt, jm_format f)
{
    static const uint32_t rows[] = { 1, 16, MANY };
    const size_t shapes = w->k == &jm_cpu_scalar ? 2 : 3;
    jm_rng r = { .state = 1 };
    struct jm_tensor t = { .name = "w", .format = f, .cols = COLS, .rows = opt->outputs };
    void *data = jm_random_weight(&r, f, t.rows, t.cols, 1);
    t.data = data;
    if (jm_pack(&t, w->k->pack, &w->w, NULL) != JM_OK)
        abort();
    struct jm_random_acts a = jm_random_acts(&r, MANY, COLS, 1, w->w.kind == JM_PACK_I16 ? 14 : 8,
                                             jm_rounded_together(&w->w));
    w->x = jm_random_acts_from(&a, 0);
    double weights = w->w.kind == JM_PACK_NONE
                         ? (double)t.rows * (double)jm_format_row_bytes(f, COLS)
                         : (double)w->w.group_bytes * w->w.n_groups;
    bench_peak(w, opt->seconds);
    for (size_t i = 0; i < shapes; i++) {
        char name[32], shape[48];
        w->rows = rows[i];
        snprintf(name, sizeof name, "linear %s", jm_format_info(f)->name);
        snprintf(shape, sizeof shape, "%u x %u x %d", w->rows, t.rows, COLS);
        bench(w, run_linear, opt->seconds, name, shape,
              weights + w->rows * (COLS * activation_bytes(&w->w) + 4.0 * t.rows),
              2.0 * w->rows * t.rows * COLS);
    }
    jm_packed_free(&w->w);
    jm_random_acts_free(&a);
    free(data);
}

static void bench_set(struct work *w, const struct options *opt)
{
    static const jm_format formats[] = { JM_F32,  JM_F16,  JM_Q8_0,  JM_Q4_0,
                                         JM_Q4_K, JM_Q6_K, JM_STQ1_0 };
    const double s = opt->seconds;
    for (size_t f = 0; f < sizeof formats / sizeof formats[0]; f++)
        bench_linear(w, opt, formats[f]);
    bench(w, run_attend, s, "attention", "4 x 128, 512", 8.0 * POSITIONS * DIM,
          4.0 * HEADS * POSITIONS * DIM);
    bench(w, run_attend_crowd, s, "attention", "32 x 128, 512", 8.0 * POSITIONS * DIM,
          4.0 * CROWD * POSITIONS * DIM);
    bench(w, run_attend16, s, "attention F16", "4 x 128, 512", 4.0 * POSITIONS * DIM,
          4.0 * HEADS * POSITIONS * DIM);
    bench(w, run_attend8, s, "attention Q8_0", "4 x 128, 512", 2.125 * POSITIONS * DIM,
          4.0 * HEADS * POSITIONS * DIM);
    bench(w, run_add, s, "add", "2048", 12.0 * COLS, COLS);
    bench(w, run_swiglu, s, "SwiGLU", "6144", 12.0 * WIDE, WIDE);
    bench(w, run_gelu, s, "GELU", "6144", 8.0 * WIDE, WIDE);
    bench(w, run_rms_norm, s, "RMS norm", "2048", 12.0 * COLS, 4.0 * COLS);
    bench(w, run_rope, s, "rope", "128", 12.0 * DIM, 3.0 * DIM);
    bench(w, run_argmax, s, "argmax", "32768", 4.0 * VOCABULARY, VOCABULARY);
    bench(w, run_quantise, s, "quantise", "6144", 5.25 * WIDE, 2.0 * WIDE);
    if (w->k->quantise16)
        bench(w, run_quantise16, s, "quantise16", "6144", 6.125 * WIDE, 2.0 * WIDE);
    if (w->k->norm_round)
        bench(w, run_norm_round, s, "norm, rounded", "2048", 9.25 * COLS, 6.0 * COLS);
    if (w->k->swiglu_round)
        bench(w, run_swiglu_round, s, "SwiGLU, rounded", "6144", 9.25 * WIDE, 3.0 * WIDE);
}

static float *random_floats(jm_rng *r, size_t n)
{
    float *f = malloc(n * sizeof *f);
    for (size_t i = 0; f && i < n; i++)
        f[i] = jm_random_float(r, 1);
    return f;
}

/* In any order: all are random. One block: levels of keys, of values, scales of both. */
static struct jm_kv8 random_kv8(jm_rng *r)
{
    size_t n = (size_t)PADDED * DIM;
    int8_t *levels = malloc(2 * n + 2 * n / BLOCK * sizeof(uint16_t));
    uint16_t *scales = (uint16_t *)(void *)(levels + 2 * n);
    for (size_t i = 0; i < 2 * n; i++)
        levels[i] = (int8_t)((int)jm_rng_below(r, 255) - 127);
    for (size_t i = 0; i < 2 * n / BLOCK; i++)
        scales[i] = jm_f32_to_f16(jm_random_float(r, 1.0f / 127));
    return (struct jm_kv8){ levels, scales, levels + n, scales + n / BLOCK };
}

static void bench_all(const struct options *opt)
{
    jm_rng r = { .state = 2 };
    size_t out = (size_t)MANY * opt->outputs;
    struct work w = { .a = random_floats(&r, VOCABULARY),
                      .b = random_floats(&r, WIDE),
                      .keys = random_floats(&r, (size_t)PADDED * DIM),
                      .values = random_floats(&r, (size_t)PADDED * DIM),
                      .out = random_floats(&r, out > WIDE ? out : WIDE),
                      .scratch = random_floats(&r, jm_linear_scratch(COLS)),
                      .keys16 = malloc((size_t)PADDED * DIM * sizeof(uint16_t)),
                      .values16 = malloc((size_t)PADDED * DIM * sizeof(uint16_t)),
                      .kv8 = random_kv8(&r),
                      .q = malloc(WIDE),
                      .q16 = malloc(WIDE * sizeof(int16_t)),
                      .sum = malloc(WIDE / BLOCK * sizeof(int32_t)) };
    struct jm_kernel_set s;
    jm_cpu_scalar.to_half(w.keys, w.keys16, PADDED * DIM);
    jm_cpu_scalar.to_half(w.values, w.values16, PADDED * DIM);
    for (size_t i = 0; jm_cpu_kernel_set(i, &s); i++) {
        w.k = jm_cpu_kernels_for(s.name);
        if (w.k && (!opt->set || strcmp(opt->set, s.name) == 0))
            bench_set(&w, opt);
    }
    free(w.a);
    free(w.b);
    free(w.keys);
    free(w.values);
    free(w.keys16);
    free(w.values16);
    free((void *)(uintptr_t)w.kv8.k); /* all of it */
    free(w.out);
    free(w.scratch);
    free(w.q);
    free(w.q16);
    free(w.sum);
}

/* A number in [least, most]. */
static bool parse(const char *text, double least, double most, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return end != text && *end == '\0' && *out >= least && *out <= most;
}

int jm_bench_kernels(int argc, char **argv)
{
    struct options opt = defaults;
    double n = opt.outputs;
    bool ok = argc > 1 && strcmp(argv[1], "--bench") == 0;
    for (int i = 2; ok && i < argc; i++) {
        if (strcmp(argv[i], "--set") == 0 && i + 1 < argc) {
            opt.set = argv[++i];
            ok = jm_cpu_kernels_for(opt.set) != NULL;
        } else if (strcmp(argv[i], "--outputs") == 0 && i + 1 < argc) {
            ok = parse(argv[++i], 1, 1 << 20, &n);
        } else {
            ok = parse(argv[i], 1e-6, 60, &opt.seconds);
        }
    }
    if (!ok) {
        fputs(usage, stderr);
        return 2;
    }
    opt.outputs = (uint32_t)n;
    printf("%s\nGB/s: 10^9 bytes read and written; GOP/s: 10^9 operations, a multiplication and an "
           "addition two\n%-13s %-15s %-16s %12s %13s %8s %8s\n",
           jm_cycles_open(), "set", "kernel", "shape", "ns/call", "cycles/call", "GB/s", "GOP/s");
    bench_all(&opt);
    return 0;
}
