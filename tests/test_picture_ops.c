/* SPDX-License-Identifier: Apache-2.0 */
/* The operations that picture models add, through the backend's door, against their formulas in
 * f64: every instruction set that the device opens with, spans and widths around vector sizes.
 * Backend: JM_TEST_BACKEND (cpu). JM_SEED sets the seed. */
#include <CUnit/Basic.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/loader.h"
#include "base/rng.h"

enum { ROWS = 45, SLOTS = 4, CONTEXT = 21, RUNS = 6, SIDE = 7 };

static const struct jm_limits limits = {
    .max_rows = ROWS, .max_slots = SLOTS, .max_context = CONTEXT, .max_runs = RUNS, .max_side = SIDE
};

static const char *const sets[] = { "scalar", "avx2", "avx512" };
static jm_backend backend;
static jm_device *devices[3]; /* NULL: not on this machine */
static uint64_t seed = 20260501;
static jm_rng rng;

static float *random_floats(size_t n, float scale)
{
    float *x = malloc((n + 1) * sizeof *x);
    CU_ASSERT_PTR_NOT_NULL_FATAL(x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(jm_rng_double(&rng) * 2 - 1) * scale;
    return x;
}

/* Values as a format holds them: `value` is what they decode to. */
struct weight {
    struct jm_tensor t;
    void *data;
    float *value; /* [rows, cols] */
};

static struct weight random_weight(jm_format f, uint32_t rows, uint32_t cols)
{
    size_t bytes = jm_format_row_bytes(f, cols);
    struct weight w = { .data = malloc(rows * bytes),
                        .value = random_floats((size_t)rows * cols, 1) };
    CU_ASSERT_FATAL(w.data != NULL && bytes > 0);
    w.t =
        (struct jm_tensor){ .name = "w", .format = f, .cols = cols, .rows = rows, .data = w.data };
    for (uint32_t r = 0; r < rows; r++) {
        float *row = w.value + (size_t)r * cols;
        CU_ASSERT_FATAL(jm_format_encode(f, row, (uint8_t *)w.data + r * bytes, cols));
        jm_format_decode(f, (uint8_t *)w.data + r * bytes, row, cols);
    }
    return w;
}

static void weight_free(struct weight *w)
{
    free(w->data);
    free(w->value);
}

/* Positions and runs of every batch here, unless a test changes them. */
static uint32_t slot[ROWS], pos[ROWS], pos_h[ROWS], pos_w[ROWS], run[RUNS] = { 0, 1, 20, 38 };

static struct jm_batch make_batch(const float *x)
{
    for (uint32_t r = 0; r < ROWS; r++) {
        uint32_t i = r < 1 ? 0 : r < 20 ? 1 : r < 38 ? 2 : 3;
        static const uint32_t slots[] = { 1, 3, 1, 0 }, prefixes[] = { 5, CONTEXT, 4, 0 };
        slot[r] = slots[i];
        pos[r] = prefixes[i];
        pos_h[r] = r % SIDE;
        pos_w[r] = r / SIDE % SIDE;
    }
    return (struct jm_batch){ .n_rows = ROWS,
                              .slot = slot,
                              .pos = pos,
                              .pos_h = pos_h,
                              .pos_w = pos_w,
                              .n_runs = 4,
                              .run = run,
                              .input = { x } };
}

static uint32_t run_of(uint32_t r)
{
    uint32_t i = 0;
    while (i + 1 < 4 && run[i + 1] <= r)
        i++;
    return i;
}

static void execute(jm_plan *p, const struct jm_batch *b)
{
    jm_err err = { 0 };
    jm_status st = backend.ops->execute(p, b, &err);
    if (st == JM_OK)
        st = backend.ops->wait(p, &err);
    if (st != JM_OK)
        printf("\n  %s", err.text);
    CU_ASSERT_EQUAL_FATAL(st, JM_OK);
}

static jm_plan *compile(jm_device *dev, const jm_graph *g)
{
    jm_plan *p = NULL;
    jm_err err = { 0 };
    CU_ASSERT_PTR_NULL(jm_backend_missing(backend.ops, dev, g));
    jm_status st = backend.ops->compile(dev, g, &limits, &p, &err);
    if (st != JM_OK)
        printf("\n  %s", err.text);
    CU_ASSERT_EQUAL_FATAL(st, JM_OK);
    return p;
}

/* Runs g, whose output 0 has `cols` columns, on every set: value i of the result may be off by
 * bound[i] + FLT_MIN. Takes g. */
static void check(jm_graph *g, const struct jm_batch *b, uint32_t cols, const double *want,
                  const double *bound, const char *what)
{
    float *got = malloc(ROWS * cols * sizeof *got);
    CU_ASSERT_FATAL(got != NULL && jm_graph_check(g, NULL) == JM_OK);
    for (size_t s = 0; s < 3; s++) {
        uint32_t bad = 0;
        if (!devices[s])
            continue;
        jm_plan *p = compile(devices[s], g);
        execute(p, b);
        CU_ASSERT_EQUAL_FATAL(backend.ops->fetch(p, 0, 0, ROWS, got, NULL), JM_OK);
        for (uint32_t i = 0; i < ROWS * cols; i++) {
            bool same = isnan(want[i])   ? isnan(got[i])
                        : isinf(want[i]) ? isinf(got[i]) && (got[i] > 0) == (want[i] > 0)
                                         : fabs(got[i] - want[i]) <= bound[i] + FLT_MIN;
            bad += !same;
        }
        if (bad)
            printf("\n  %s, %s: %u wrong", what, sets[s], bad);
        CU_ASSERT_EQUAL(bad, 0);
        backend.ops->plan_close(p);
    }
    free(got);
    jm_graph_free(g);
}

static void check_linear(jm_format f, uint32_t outs, uint32_t cols, uint32_t times)
{
    struct weight w = random_weight(f, outs, cols), bias = random_weight(JM_BF16, 1, outs);
    float *x = random_floats(ROWS * cols * times, 2);
    double *want = calloc(ROWS * outs * times, sizeof *want);
    double *bound = calloc(ROWS * outs * times, sizeof *bound);
    /* Quantised weights may meet activations of 8 bits: off by half of largest / 127 each. */
    double each = jm_format_info(f)->block > 1 ? 2.0 / 254 : (cols + 8) * (double)FLT_EPSILON;
    for (uint32_t r = 0; r < ROWS * times; r++) {
        for (uint32_t o = 0; o < outs; o++) {
            double mag = fabs((double)bias.value[o]), s = bias.value[o];
            for (uint32_t k = 0; k < cols; k++) {
                s += (double)x[r * cols + k] * w.value[o * cols + k];
                mag += 2 * fabs((double)w.value[o * cols + k]); /* |x| <= 2 */
            }
            want[r * outs + o] = s;
            bound[r * outs + o] = each * mag;
        }
    }
    jm_graph *g = jm_graph_new();
    jm_value in = jm_input(g, cols * times, JM_ROWS_ALL);
    (void)jm_graph_output(g, jm_linear_bias(g, in, &w.t, &bias.t, times));
    struct jm_batch b = make_batch(x);
    check(g, &b, outs * times, want, bound, jm_format_info(f)->name);
    weight_free(&w);
    weight_free(&bias);
    free(x);
    free(want);
    free(bound);
}

static void test_linear_bias(void)
{
    check_linear(JM_F32, 17, 48, 4);
    check_linear(JM_F16, 64, 48, 4);
    check_linear(JM_F16, 5, 33, 1);
    check_linear(JM_Q8_0, 40, 64, 2);
}

static void check_norm(uint32_t head_dim, uint32_t at, uint32_t part, float scale)
{
    uint32_t cols = 3 * head_dim;
    struct weight w = random_weight(JM_F16, 1, part);
    float *x = random_floats(ROWS * cols, scale);
    double *want = calloc(ROWS * cols, sizeof *want), *bound = calloc(ROWS * cols, sizeof *bound);
    for (uint32_t h = 0; h < ROWS * 3; h++) {
        double sum = 0;
        for (uint32_t i = 0; i < part; i++)
            sum += pow(x[h * head_dim + at + i], 2);
        for (uint32_t i = 0; i < head_dim; i++) {
            uint32_t k = h * head_dim + i;
            bool in = i >= at && i < at + part;
            want[k] = in ? x[k] / sqrt(sum / part + 1e-6f) * w.value[i - at] : x[k];
            bound[k] = in ? (part + 8) * (double)FLT_EPSILON / 2 * fabs(want[k]) : 0;
        }
    }
    jm_graph *g = jm_graph_new();
    (void)jm_graph_output(
        g, jm_norm_part(g, jm_input(g, cols, JM_ROWS_ALL), &w.t, 1e-6f, head_dim, at));
    struct jm_batch b = make_batch(x);
    check(g, &b, cols, want, bound, "norm_part");
    weight_free(&w);
    free(x);
    free(want);
    free(bound);
}

static void test_norm_part(void)
{
    check_norm(64, 0, 32, 1);
    check_norm(64, 32, 32, 1e-3f);
    check_norm(24, 12, 12, 100);
    check_norm(7, 2, 5, 1);
    check_norm(128, 64, 64, 0); /* zeros stay zeros */
}

static void check_rope(const struct jm_rope *r, uint32_t heads)
{
    uint32_t cols = heads * r->head_dim, half = r->part / 2;
    float *x = random_floats(ROWS * cols, 3);
    double *want = calloc(ROWS * cols, sizeof *want), *bound = calloc(ROWS * cols, sizeof *bound);
    struct jm_batch b = make_batch(x);
    for (uint32_t k = 0; k < ROWS * cols; k++)
        want[k] = x[k];
    for (uint32_t k = 0; k < ROWS * heads; k++) {
        uint32_t row = k / heads, j = k % heads, at = k * r->head_dim + r->at;
        double p = r->axis == JM_AXIS_T ? pos[row] : r->axis == JM_AXIS_H ? pos_h[row] : pos_w[row];
        if (r->grid)
            p = p * r->grid + (r->axis == JM_AXIS_H ? j / r->grid : j % r->grid);
        for (uint32_t i = 0; i < half; i++) {
            double angle = p * pow((double)r->base, -2.0 * i / r->part);
            uint32_t a = at + (r->interleaved ? 2 * i : i);
            uint32_t c = r->interleaved ? a + 1 : a + half;
            want[a] = x[a] * cos(angle) - x[c] * sin(angle);
            want[c] = x[a] * sin(angle) + x[c] * cos(angle);
            bound[a] = bound[c] = 4 * (double)FLT_EPSILON * (fabs(x[a]) + fabs(x[c]));
        }
    }
    jm_graph *g = jm_graph_new();
    (void)jm_graph_output(g, jm_rope_part(g, jm_input(g, cols, JM_ROWS_ALL), r));
    check(g, &b, cols, want, bound, "rope_part");
    free(x);
    free(want);
    free(bound);
}

static void test_rope_part(void)
{
    static const struct jm_rope cases[] = {
        { .head_dim = 64, .part = 32, .axis = JM_AXIS_T, .base = 1e4f },
        { .head_dim = 64, .at = 32, .part = 16, .axis = JM_AXIS_H, .base = 1e4f },
        { .head_dim = 64, .at = 48, .part = 16, .axis = JM_AXIS_W, .base = 5e6f },
        { .head_dim = 128, .part = 128, .axis = JM_AXIS_T, .base = 1e4f },
        { .head_dim = 10, .at = 3, .part = 6, .axis = JM_AXIS_W, .base = 100, .interleaved = true },
        { .head_dim = 34, .at = 0, .part = 34, .axis = JM_AXIS_H, .base = 1e4f },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_rope(&cases[i], 3);
    for (uint32_t grid = 1; grid <= 3; grid++) {
        struct jm_rope r = { .head_dim = 64,
                             .part = 32,
                             .axis = JM_AXIS_W,
                             .base = 1e4f,
                             .interleaved = true,
                             .grid = grid };
        check_rope(&r, grid * grid);
        r.at = 32;
        r.axis = JM_AXIS_H;
        check_rope(&r, grid * grid);
    }
}

/* exp or erf to a few ulp, a division or a product; where 1 + erf cancels, an absolute error of
 * some 1e-7 of x is all that f32 allows. */
static void check_unary(bool is_gelu, uint32_t cols)
{
    static const float special[] = { 0,     -0.0f, 90,    -90, 1e30f,    -1e30f,   1e-30f,
                                     -0.5f, 5.5f,  -5.5f, NAN, INFINITY, -INFINITY };
    float *x = random_floats(ROWS * cols, 12);
    double *want = calloc(ROWS * cols, sizeof *want), *bound = calloc(ROWS * cols, sizeof *bound);
    for (uint32_t i = 0; i < sizeof special / sizeof *special && i < ROWS * cols; i++)
        x[i] = special[i];
    for (uint32_t i = 0; i < ROWS * cols; i++) {
        double v = x[i];
        want[i] = is_gelu ? v / 2 * erfc(-v / sqrt(2)) : v / (1 + exp(-v));
        bound[i] = 1e-6 * fabs(want[i]) + (is_gelu ? 3e-7 * fmin(fabs(v), 6) : 1e-35);
        if (isinf(x[i]))
            want[i] = x[i] > 0 ? v : NAN; /* 0 * inf, as the formula says */
    }
    jm_graph *g = jm_graph_new();
    jm_value in = jm_input(g, cols, JM_ROWS_ALL);
    (void)jm_graph_output(g, is_gelu ? jm_gelu(g, in) : jm_silu(g, in));
    struct jm_batch b = make_batch(x);
    check(g, &b, cols, want, bound, is_gelu ? "gelu" : "silu");
    free(x);
    free(want);
    free(bound);
}

static void test_silu_gelu(void)
{
    static const uint32_t cols[] = { 1, 7, 16, 33, 256 };
    for (size_t i = 0; i < sizeof cols / sizeof *cols; i++) {
        check_unary(false, cols[i]);
        check_unary(true, cols[i]);
    }
}

static void test_add_run_transpose(void)
{
    enum { COLS = 24, INNER = 6 };
    float *x = random_floats(ROWS * COLS, 1), *each = random_floats(RUNS * COLS, 1);
    double *want = calloc(ROWS * COLS, sizeof *want), *exact = calloc(ROWS * COLS, sizeof *exact);
    for (uint32_t r = 0; r < ROWS; r++) {
        for (uint32_t i = 0; i < COLS; i++) {
            uint32_t to = i % INNER * (COLS / INNER) + i / INNER;
            want[r * COLS + to] = x[r * COLS + i] + each[run_of(r) * COLS + i];
        }
    }
    jm_graph *g = jm_graph_new();
    jm_value a = jm_input(g, COLS, JM_ROWS_ALL), e = jm_input(g, COLS, JM_ROWS_RUN);
    (void)jm_graph_output(g, jm_transpose(g, jm_add_run(g, a, e), INNER));
    struct jm_batch b = make_batch(x);
    b.input[1] = each;
    check(g, &b, COLS, want, exact, "add_run and transpose");
    free(x);
    free(each);
    free(want);
    free(exact);
}

/* ---- attention over a prefix and a run ---- */

enum { HEADS = 4, KV = 2 };

struct attention {
    uint32_t dim;
    float *prefix;    /* [SLOTS, CONTEXT, KV * dim], keys and values alike */
    float *q, *k, *v; /* [ROWS, …] */
    jm_graph *g;
};

static struct attention make_attention(uint32_t dim)
{
    struct attention a = { .dim = dim,
                           .prefix = random_floats((size_t)SLOTS * CONTEXT * KV * dim, 1),
                           .q = random_floats((size_t)ROWS * HEADS * dim, 2),
                           .k = random_floats((size_t)ROWS * KV * dim, 2),
                           .v = random_floats((size_t)ROWS * KV * dim, 1),
                           .g = jm_graph_new() };
    jm_value t = jm_input(a.g, KV * dim, JM_ROWS_ALL);
    (void)jm_attention(a.g, t, t, t, KV, KV, dim, 1);
    CU_ASSERT_EQUAL(jm_graph_entry(a.g), 1);
    jm_value q = jm_input(a.g, HEADS * dim, JM_ROWS_ALL), k = jm_input(a.g, KV * dim, JM_ROWS_ALL);
    jm_value v = jm_input(a.g, KV * dim, JM_ROWS_ALL);
    (void)jm_graph_output(a.g, jm_attend_run(a.g, q, k, v, HEADS, KV, dim, 0.2f, 0));
    CU_ASSERT_EQUAL_FATAL(jm_graph_check(a.g, NULL), JM_OK);
    return a;
}

static void free_attention(struct attention *a)
{
    free(a->prefix);
    free(a->q);
    free(a->k);
    free(a->v);
    jm_graph_free(a->g);
}

static void fill_caches(const struct attention *a, jm_plan *p)
{
    for (uint32_t s = 0; s < SLOTS; s++) {
        uint32_t slots[CONTEXT], at[CONTEXT];
        for (uint32_t i = 0; i < CONTEXT; i++) {
            slots[i] = s;
            at[i] = i;
        }
        struct jm_batch b = { .n_rows = CONTEXT,
                              .slot = slots,
                              .pos = at,
                              .input = { a->prefix + (size_t)s * CONTEXT * KV * a->dim } };
        execute(p, &b);
    }
}

/* Key (or value) n of what row r sees: the prefix of its slot first, then its run. */
static const float *seen(const struct attention *a, uint32_t r, uint32_t n, const float *rows)
{
    size_t width = (size_t)KV * a->dim;
    if (n < pos[r])
        return a->prefix + (slot[r] * (size_t)CONTEXT + n) * width;
    return rows + (run[run_of(r)] + n - pos[r]) * width;
}

static double expected(const struct attention *a, uint32_t r, uint32_t head, uint32_t i)
{
    uint32_t u = run_of(r), end = u + 1 < 4 ? run[u + 1] : ROWS, n = pos[r] + end - run[u];
    size_t kv = (size_t)(head / (HEADS / KV)) * a->dim;
    const float *q = a->q + ((size_t)r * HEADS + head) * a->dim;
    double total = 0, sum = 0;
    for (uint32_t p = 0; p < n; p++) {
        double s = 0;
        for (uint32_t d = 0; d < a->dim; d++)
            s += (double)q[d] * seen(a, r, p, a->k)[kv + d];
        total += exp(s * (double)0.2f);
        sum += exp(s * (double)0.2f) * seen(a, r, p, a->v)[kv + i];
    }
    return sum / total;
}

/* A score is at most 0.2 * 2 * 2 * dim, off by 2^-24 of that a term: so is, relatively, its weight;
 * values are at most 1. */
static void check_attention(const struct attention *a, jm_plan *p, const char *set)
{
    uint32_t cols = HEADS * a->dim, bad = 0;
    float *got = malloc(ROWS * cols * sizeof *got);
    struct jm_batch b = make_batch(NULL);
    b.entry = 1;
    b.input[1] = a->q;
    b.input[2] = a->k;
    b.input[3] = a->v;
    execute(p, &b);
    CU_ASSERT_EQUAL_FATAL(backend.ops->fetch(p, 0, 0, ROWS, got, NULL), JM_OK);
    double bound = 2 * 0.8 * a->dim * (a->dim / 16.0 + 8) * FLT_EPSILON / 2 + 4e-6;
    for (uint32_t i = 0; i < ROWS * cols; i += i % 7 + 1)
        bad += !(fabs(got[i] - expected(a, i / cols, i % cols / a->dim, i % a->dim)) <= bound);
    if (bad)
        printf("\n  attend_run, heads of %u, %s: %u wrong", a->dim, set, bad);
    CU_ASSERT_EQUAL(bad, 0);
    free(got);
}

static void test_attend_run(void)
{
    static const uint32_t dims[] = { 5, 16, 64, 72 };
    for (size_t c = 0; c < sizeof dims / sizeof *dims; c++) {
        struct attention a = make_attention(dims[c]);
        for (size_t s = 0; s < 3; s++) {
            if (!devices[s])
                continue;
            jm_plan *p = compile(devices[s], a.g);
            fill_caches(&a, p);
            check_attention(&a, p, sets[s]);
            for (uint32_t i = 0; i < ROWS * KV * a.dim; i++)
                a.k[i] = -a.k[i]; /* a second step finds nothing of the first */
            check_attention(&a, p, sets[s]);
            backend.ops->plan_close(p);
        }
        free_attention(&a);
    }
}

/* ---- what is refused ---- */

static void refuse(jm_plan *p, struct jm_batch b, const char *what)
{
    jm_err err = { 0 };
    jm_status st = backend.ops->execute(p, &b, &err);
    if (st == JM_OK)
        st = backend.ops->wait(p, &err);
    if (st != JM_EUSAGE || !strstr(err.text, what))
        printf("\n  wanted: %s; got: %s", what, err.text);
    CU_ASSERT_EQUAL(st, JM_EUSAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, what));
}

static void test_refused_batches(void)
{
    static const uint32_t late[] = { 1 }, empty[] = { 0, 1, 1 }, many[RUNS + 1] = { 0, 1, 2 };
    struct attention a = make_attention(8);
    jm_plan *p = compile(devices[0], a.g);
    struct jm_batch good = make_batch(NULL), b;
    good.entry = 1;
    good.input[1] = a.q;
    good.input[2] = a.k;
    good.input[3] = a.v;
    b = good, b.entry = 2;
    refuse(p, b, "entry 2 does not exist");
    b = good, b.input[2] = NULL;
    refuse(p, b, "input 2 is missing");
    b = good, b.n_rows = 1, b.n_runs = 0;
    refuse(p, b, "no runs");
    b = good, b.run = late, b.n_runs = 1;
    refuse(p, b, "from row 1");
    b = good, b.run = empty, b.n_runs = 3;
    refuse(p, b, "run 1 has rows 1 to 1");
    b = good, b.run = many, b.n_runs = RUNS + 1;
    refuse(p, b, "7 runs");
    b = good, b.n_runs = 1;
    refuse(p, b, "row 1 is not like its run");
    pos_h[3] = SIDE;
    refuse(p, good, "row 3 stands outside");
    pos_h[3] = 0;
    pos[44] = CONTEXT + 1;
    refuse(p, good, "row 44");
    b = make_batch(a.prefix); /* the first entry appends to caches: it takes no runs */
    b.n_rows = 1;
    b.n_runs = 1;
    refuse(p, b, "takes no runs");
    backend.ops->plan_close(p);
    free_attention(&a);
}

static void wrong(jm_graph *g, const char *what)
{
    jm_err err = { 0 };
    CU_ASSERT_EQUAL(jm_graph_check(g, &err), JM_EUSAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, what));
    jm_graph_free(g);
}

static void test_refused_graphs(void)
{
    struct weight w = random_weight(JM_F32, 4, 8), v = random_weight(JM_F32, 1, 8);
    jm_graph *g = jm_graph_new();
    jm_value x = jm_input(g, 16, JM_ROWS_ALL);
    (void)jm_linear_bias(g, x, &w.t, &v.t, 2);
    wrong(g, "bias");
    g = jm_graph_new();
    (void)jm_linear_bias(g, jm_input(g, 16, JM_ROWS_ALL), &w.t, NULL, 3);
    wrong(g, "row length");
    g = jm_graph_new();
    (void)jm_norm_part(g, jm_input(g, 16, JM_ROWS_ALL), &v.t, 1, 8, 1);
    wrong(g, "outside the head");
    g = jm_graph_new();
    (void)jm_rope_part(g, jm_input(g, 16, JM_ROWS_ALL),
                       &(struct jm_rope){ .head_dim = 8, .part = 3, .base = 1 });
    wrong(g, "odd");
    g = jm_graph_new();
    x = jm_input(g, 16, JM_ROWS_ALL);
    (void)jm_attend_run(g, x, x, x, 2, 2, 8, 1, 0);
    wrong(g, "no earlier entry");
    g = jm_graph_new();
    x = jm_input(g, 16, JM_ROWS_ALL);
    (void)jm_graph_entry(g);
    (void)jm_gelu(g, x);
    wrong(g, "another entry");
    g = jm_graph_new();
    x = jm_input(g, 16, JM_ROWS_ALL);
    (void)jm_add_run(g, x, x);
    wrong(g, "one row a run");
    weight_free(&w);
    weight_free(&v);
}

/* ---- runs cut between threads ---- */

enum { CUT_DIM = 32, CUT_COLS = KV * CUT_DIM, CUT_ROWS = 44 };

/* A picture entry with everything that a run has: its own row, its cache, its neighbours. */
static jm_graph *run_graph(const struct weight *w, const struct weight *wide)
{
    jm_graph *g = jm_graph_new();
    jm_value t = jm_input(g, CUT_COLS, JM_ROWS_ALL);
    (void)jm_attention(g, t, t, t, KV, KV, CUT_DIM, 1);
    (void)jm_graph_entry(g);
    jm_value x = jm_linear(g, jm_input(g, CUT_COLS, JM_ROWS_ALL), &w->t);
    x = jm_add_run(g, x, jm_silu(g, jm_linear(g, jm_input(g, CUT_COLS, JM_ROWS_RUN), &w->t)));
    jm_value q = jm_linear(g, x, &wide->t), k = jm_linear(g, x, &w->t);
    x = jm_add(g, x, jm_attend_run(g, k, k, x, KV, KV, CUT_DIM, 0.2f, 0));
    (void)jm_graph_output(g, jm_swiglu(g, q, jm_linear(g, x, &wide->t)));
    CU_ASSERT_EQUAL_FATAL(jm_graph_check(g, NULL), JM_OK);
    return g;
}

/* Four runs of eleven rows: two threads take two each, three must share all. */
static void draw_runs(uint32_t threads, const jm_graph *g, const struct attention *a,
                      const float *each, float *got)
{
    static const uint32_t equal[] = { 0, 11, 22, 33 };
    struct jm_device_options opt = { .threads = threads };
    jm_device *dev = NULL;
    CU_ASSERT_EQUAL_FATAL(backend.ops->open(0, &opt, &dev, NULL), JM_OK);
    jm_plan *p = compile(dev, g);
    fill_caches(a, p);
    struct jm_batch b = make_batch(NULL);
    for (uint32_t r = 0; r < CUT_ROWS; r++) {
        slot[r] = r / 11 % 3;
        pos[r] = 5 + r / 11;
    }
    b.n_rows = CUT_ROWS;
    b.run = equal;
    b.entry = 1;
    b.input[0] = NULL;
    b.input[1] = a->k;
    b.input[2] = each;
    for (int twice = 0; twice < 2; twice++)
        execute(p, &b);
    CU_ASSERT_EQUAL(backend.ops->fetch(p, 0, 0, CUT_ROWS, got, NULL), JM_OK);
    backend.ops->plan_close(p);
    backend.ops->close(dev);
}

static void test_threads_agree(void)
{
    enum { N = CUT_ROWS * 2 * CUT_COLS };
    static const jm_format formats[] = { JM_F16, JM_Q8_0 };
    static float want[N], got[N];
    for (size_t f = 0; f < 2; f++) {
        struct attention a = make_attention(CUT_DIM);
        struct weight w = random_weight(formats[f], CUT_COLS, CUT_COLS),
                      wide = random_weight(formats[f], 2 * CUT_COLS, CUT_COLS);
        float *each = random_floats(4 * CUT_COLS, 1);
        jm_graph *g = run_graph(&w, &wide);
        draw_runs(1, g, &a, each, want);
        for (uint32_t threads = 2; threads <= 4; threads++) {
            memset(got, 0, sizeof got);
            draw_runs(threads, g, &a, each, got);
            CU_ASSERT_EQUAL(memcmp(want, got, sizeof want), 0);
        }
        jm_graph_free(g);
        weight_free(&w);
        weight_free(&wide);
        free(each);
        free_attention(&a);
    }
}

int main(void)
{
    const char *name = getenv("JM_TEST_BACKEND");
    jm_err err = { 0 };
    if (getenv("JM_SEED"))
        seed = strtoull(getenv("JM_SEED"), NULL, 0);
    rng.state = seed;
    printf("seed %llu (JM_SEED)\n", (unsigned long long)seed);
    if (jm_backend_load(name ? name : "cpu", &backend, &err) != JM_OK) {
        fprintf(stderr, "%s\n", err.text);
        return EXIT_FAILURE;
    }
    for (size_t s = 0; s < 3; s++) {
        struct jm_device_options opt = { .threads = 1 + (uint32_t)s, .isa = sets[s] };
        if (backend.ops->open(0, &opt, &devices[s], &err) != JM_OK)
            printf("%s: not on this machine, skipped\n", sets[s]);
    }
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("picture operations", NULL, NULL);
    CU_add_test(s, "linear with bias", test_linear_bias);
    CU_add_test(s, "norm of a part", test_norm_part);
    CU_add_test(s, "rope of a part", test_rope_part);
    CU_add_test(s, "silu and gelu", test_silu_gelu);
    CU_add_test(s, "add_run and transpose", test_add_run_transpose);
    CU_add_test(s, "attention of a run", test_attend_run);
    CU_add_test(s, "the same on any number of threads", test_threads_agree);
    CU_add_test(s, "refused batches", test_refused_batches);
    CU_add_test(s, "refused graphs", test_refused_graphs);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    for (size_t i = 0; i < 3; i++)
        backend.ops->close(devices[i]);
    jm_backend_unload(&backend);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
