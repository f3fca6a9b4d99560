/* SPDX-License-Identifier: Apache-2.0 */
/* The reference kernels: each is its formula, summed in f64 and rounded once. */
#include <math.h>
#include <string.h>

#include "backends/cpu/kernels.h"

enum { OUTPUTS = 4, ROWS = 4 };

/* The compiler makes a copy for each of these and picks one when the program is loaded. Nothing is
 * fused or reordered (-ffp-contract=off), so all of them give the same bits. */
#if defined(__x86_64__) && defined(__GLIBC__)
#define WIDER __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDER
#endif

/* y[r, o] for ROWS rows and OUTPUTS outputs: sixteen sums, each in order of k. That they stand side
 * by side is what lets a compiler use vectors. w: [k, OUTPUTS]. */
WIDER static void sums(const double *w, const float *const x[ROWS], uint32_t cols,
                       double s[ROWS][OUTPUTS])
{
    double t[ROWS][OUTPUTS] = { { 0 } }; /* no other pointer's, so that it stays in registers */
    for (uint32_t k = 0; k < cols; k++)
        for (int r = 0; r < ROWS; r++)
            for (int o = 0; o < OUTPUTS; o++)
                t[r][o] += w[(size_t)k * OUTPUTS + (size_t)o] * x[r][k];
    memcpy(s, t, sizeof t);
}

/* Weights of up to OUTPUTS rows from o on, as [k, OUTPUTS] in f64; rows that are missing are 0. */
static void decode(const struct jm_tensor *t, uint32_t o, uint32_t n, float *row, double *w)
{
    size_t bytes = jm_format_row_bytes(t->format, t->cols);
    for (uint32_t j = 0; j < OUTPUTS; j++) {
        if (j < n)
            jm_format_decode(t->format, (const uint8_t *)t->data + (o + j) * bytes, row, t->cols);
        for (uint32_t k = 0; k < t->cols; k++)
            w[(size_t)k * OUTPUTS + j] = j < n ? row[k] : 0.0;
    }
}

static void linear(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows, float *y,
                   size_t ldy, uint32_t g0, uint32_t g1, float *scratch)
{
    const struct jm_tensor *t = &w->t;
    double *wide = (double *)(void *)scratch, s[ROWS][OUTPUTS];
    for (uint32_t o = g0; o < g1; o += OUTPUTS) {
        uint32_t outputs = g1 - o < OUTPUTS ? g1 - o : OUTPUTS;
        decode(t, o, outputs, scratch + 2 * (size_t)OUTPUTS * t->cols, wide);
        for (uint32_t r = 0; r < n_rows; r += ROWS) {
            uint32_t rows = n_rows - r < ROWS ? n_rows - r : ROWS;
            const float *in[ROWS];
            for (uint32_t i = 0; i < ROWS; i++) /* rows that are missing repeat the last one */
                in[i] = x->f + (size_t)(i < rows ? r + i : n_rows - 1) * t->cols;
            sums(wide, in, t->cols, s);
            for (uint32_t i = 0; i < rows; i++)
                for (uint32_t j = 0; j < outputs; j++)
                    y[(r + i) * ldy + o + j] = (float)s[i][j];
        }
    }
}

/* Keys or values of one head. */
struct cache {
    const void *data;
    const uint16_t *scale; /* of Q8_0: one for 32 levels */
    jm_format format;      /* F32, F16 or Q8_0 */
};

static double kv(struct cache c, size_t at)
{
    if (c.format == JM_Q8_0)
        return (double)jm_f16_to_f32(c.scale[at / 32]) * ((const int8_t *)c.data)[at];
    return c.format == JM_F16 ? jm_f16_to_f32(((const uint16_t *)c.data)[at])
                              : ((const float *)c.data)[at];
}

/* Softmax with the largest score taken off first, so that exp cannot overflow. */
static void attend_head(const float *q, struct cache k, struct cache v, uint32_t dim, uint32_t n,
                        float scale, float *scores, float *out)
{
    double largest = -INFINITY, total = 0;
    for (uint32_t p = 0; p < n; p++) {
        double s = 0;
        for (uint32_t i = 0; i < dim; i++)
            s += q[i] * kv(k, (size_t)p * dim + i);
        scores[p] = (float)(s * scale);
        largest = fmax(largest, scores[p]);
    }
    for (uint32_t p = 0; p < n; p++) {
        double e = exp(scores[p] - largest);
        scores[p] = (float)e;
        total += e;
    }
    for (uint32_t i = 0; i < dim; i++) {
        double s = 0;
        for (uint32_t p = 0; p < n; p++)
            s += scores[p] * kv(v, (size_t)p * dim + i);
        out[i] = (float)(s / total);
    }
}

static void attend(const float *q, uint32_t n_heads, const float *k, const float *v, uint32_t dim,
                   uint32_t n, float scale, float *scores, float *out)
{
    struct cache keys = { .data = k, .format = JM_F32 }, values = { .data = v, .format = JM_F32 };
    for (uint32_t h = 0; h < n_heads; h++, q += dim, out += dim)
        attend_head(q, keys, values, dim, n, scale, scores, out);
}

static void attend16(const float *q, uint32_t n_heads, const uint16_t *k, const uint16_t *v,
                     uint32_t dim, uint32_t n, float scale, float *scores, float *out)
{
    struct cache keys = { .data = k, .format = JM_F16 }, values = { .data = v, .format = JM_F16 };
    for (uint32_t h = 0; h < n_heads; h++, q += dim, out += dim)
        attend_head(q, keys, values, dim, n, scale, scores, out);
}

static void attend8(const float *q, uint32_t n_heads, const struct jm_kv8 *kv8, uint32_t dim,
                    uint32_t n, float scale, float *scores, float *out)
{
    struct cache keys = { .data = kv8->k, .scale = kv8->dk, .format = JM_Q8_0 },
                 values = { .data = kv8->v, .scale = kv8->dv, .format = JM_Q8_0 };
    for (uint32_t h = 0; h < n_heads; h++, q += dim, out += dim)
        attend_head(q, keys, values, dim, n, scale, scores, out);
}

static void add(const float *a, const float *b, float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

static void from_half(const uint16_t *x, float *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        y[i] = jm_f16_to_f32(x[i]);
}

static void to_half(const float *x, uint16_t *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        y[i] = jm_f32_to_f16(x[i]);
}

static void swiglu(const float *gate, const float *up, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (float)(gate[i] / (1.0 + exp(-(double)gate[i])) * up[i]);
}

void jm_cpu_gelu(const float *x, float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (float)(0.5 * x[i] * (1.0 + erf(x[i] * 0.70710678118654752440)));
}

enum { BLOCK = 32 };

/* d = largest / 127, q = round(x / d). A block of zeros, or one that is not finite, has d 0 and
 * NaN: zeros stay zero, and NaN reaches the answer instead of being hidden. */
void jm_cpu_quantise(const float *x, uint32_t cols, int8_t *q, float *d, int32_t *sum)
{
    for (uint32_t b = 0; b < cols / BLOCK; b++, x += BLOCK, q += BLOCK) {
        float largest = 0.0f, sane = 0.0f;
        for (int i = 0; i < BLOCK; i++) {
            largest = fmaxf(largest, fabsf(x[i]));
            sane += x[i] * 0.0f;
        }
        float inverse = largest > 1e-30f && sane == 0.0f ? 127.0f / largest : 0.0f;
        int32_t total = 0;
        for (int i = 0; i < BLOCK; i++) {
            int32_t v = (int32_t)lrintf(sane == 0.0f ? x[i] * inverse : 0.0f);
            q[i] = (int8_t)v;
            total += v;
        }
        d[b] = sane == 0.0f ? largest / 127.0f : NAN;
        sum[b] = total;
    }
}

/* The same with 14 bits: d = largest / 8191. */
void jm_cpu_quantise16(const float *x, uint32_t cols, int16_t *q, float *d)
{
    for (uint32_t b = 0; b < cols / BLOCK; b++, x += BLOCK, q += BLOCK) {
        float largest = 0.0f, sane = 0.0f;
        for (int i = 0; i < BLOCK; i++) {
            largest = fmaxf(largest, fabsf(x[i]));
            sane += x[i] * 0.0f;
        }
        float inverse = largest > 1e-30f && sane == 0.0f ? 8191.0f / largest : 0.0f;
        for (int i = 0; i < BLOCK; i++)
            q[i] = (int16_t)lrintf(sane == 0.0f ? x[i] * inverse : 0.0f);
        d[b] = sane == 0.0f ? largest / 8191.0f : NAN;
    }
}

void jm_cpu_sums(const int8_t *q, const float *d, const int32_t *sum, uint32_t cols, float *dsum,
                 int32_t *sum16)
{
    for (uint32_t b = 0; b < cols / BLOCK; b++)
        dsum[b] = d[b] * (float)sum[b];
    for (uint32_t h = 0; h < cols / 16; h++) {
        int32_t s = 0;
        for (uint32_t i = 0; i < 16; i++)
            s += q[h * 16 + i];
        sum16[h] = s;
    }
}

void jm_cpu_rms_norm(const float *x, const float *w, float eps, float *out, uint32_t n)
{
    double s = 0;
    for (uint32_t i = 0; i < n; i++)
        s += (double)x[i] * x[i];
    float r = (float)(1.0 / sqrt(s / n + eps));
    for (uint32_t i = 0; i < n; i++)
        out[i] = x[i] * r * w[i];
}

void jm_cpu_rope(const float *x, const float *turn, uint32_t dim, float *out)
{
    uint32_t half = dim / 2;
    for (uint32_t i = 0; i < half; i++) {
        float c = turn[i], s = turn[half + i], a = x[i], b = x[half + i];
        out[i] = a * c - b * s;
        out[half + i] = a * s + b * c;
    }
}

int32_t jm_cpu_argmax(const float *x, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++) {
        if (x[i] > x[best] || (isnan(x[best]) && !isnan(x[i])))
            best = i;
    }
    return (int32_t)best;
}

const struct jm_cpu_kernels jm_cpu_scalar = {
    .isa = "scalar",
    .pack = { .group = 1 },
    .k_block = 1,
    .linear = linear,
    .attend = attend,
    .attend16 = attend16,
    .attend8 = attend8,
    .to_half = to_half,
    .from_half = from_half,
    .add = add,
    .swiglu = swiglu,
    .gelu = jm_cpu_gelu,
    .rms_norm = jm_cpu_rms_norm,
    .rope = jm_cpu_rope,
    .argmax = jm_cpu_argmax,
    .quantise = jm_cpu_quantise,
};
