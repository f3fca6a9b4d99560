/* SPDX-License-Identifier: Apache-2.0 */
/* See noise.h. */
#include "workloads/imagegen/noise.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"

static const double LN_2 = 0x1.62e42fefa39efp-1;
static const double TURN_32 = 0x1.921fb54442d18p-30; /* 2 pi / 2^32 */
static const double SQRT_2 = 0x1.6a09e667f3bcdp+0;

void jm_philox4x32_10(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t a = UINT64_C(0xD2511F53) * c0, b = UINT64_C(0xCD9E8D57) * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)a;
        k0 += UINT32_C(0x9E3779B9);
        k1 += UINT32_C(0xBB67AE85);
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* -ln(v / 2^32), 1 <= v <= 2^32. With v = m 2^e and m near 1, ln m = 2 atanh((m - 1) / (m + 1)),
 * whose series in s^2 <= 0.0295 falls below 2^-53 after 11 terms. */
static double minus_log(uint64_t v)
{
    int e = 63 - __builtin_clzll(v);
    double m = (double)v / (double)(UINT64_C(1) << e), sum = 0.0;
    if (m > SQRT_2) {
        m *= 0.5;
        e++;
    }
    double s = (m - 1.0) / (m + 1.0), s2 = s * s;
    for (int k = 10; k >= 0; k--)
        sum = sum * s2 + 1.0 / (2 * k + 1);
    return (32 - e) * LN_2 - 2.0 * s * sum;
}

/* Cosine and sine of 2 pi k / 2^32: the turn is cut into eighths, exactly; Taylor's series of
 * 0 .. pi/4 falls below 2^-53 after 9 terms. */
static void turn(uint32_t k, double *cosine, double *sine)
{
    uint32_t eighth = k >> 29, part = k & 0x1fffffff;
    double a = TURN_32 * (eighth & 1 ? (1 << 29) - (double)part : (double)part);
    double a2 = a * a, c = 1.0, s = 1.0;
    for (int i = 8; i > 0; i--) {
        c = 1.0 - c * a2 / ((2 * i - 1) * (2 * i));
        s = 1.0 - s * a2 / ((2 * i) * (2 * i + 1));
    }
    s *= a;
    bool swap = ((eighth + 1) & 2) != 0; /* eighths 1, 2, 5, 6 lie nearer the sine's axis */
    double x = swap ? s : c, y = swap ? c : s;
    *cosine = eighth >= 2 && eighth < 6 ? -x : x;
    *sine = eighth >= 4 ? -y : y;
}

static void box_muller(uint32_t x0, uint32_t x1, float out[2])
{
    double r = sqrt(2.0 * minus_log((uint64_t)x0 + 1)), c, s;
    turn(x1, &c, &s);
    out[0] = (float)(r * c);
    out[1] = (float)(r * s);
}

void jm_noise_fill(uint64_t seed, float *out, size_t n)
{
    const uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
    for (size_t at = 0; at < n; at += 4) {
        uint64_t block = at / 4;
        const uint32_t counter[4] = { (uint32_t)block, (uint32_t)(block >> 32), 0, 0 };
        uint32_t x[4];
        float four[4];
        jm_philox4x32_10(counter, key, x);
        box_muller(x[0], x[1], four);
        box_muller(x[2], x[3], four + 2);
        memcpy(out + at, four, (n - at < 4 ? n - at : 4) * sizeof *four);
    }
}

jm_status jm_noise_read(const char *path, float *out, size_t n, jm_err *err)
{
    jm_map map;
    size_t bytes;
    jm_status st = jm_map_open(path, &map, err);
    if (st != JM_OK)
        return st;
    if (!jm_mul_size(n, sizeof *out, &bytes) || map.bytes != bytes)
        st = jm_fail(err, JM_EINPUT, "%s: %zu bytes, but noise for this size is %zu f32 values",
                     path, map.bytes, n);
    for (size_t i = 0; i < n && st == JM_OK; i++) {
        memcpy(out + i, map.data + i * sizeof *out, sizeof *out);
        if (!isfinite(out[i]))
            st = jm_fail(err, JM_EINPUT, "%s: value %zu is not a finite number", path, i);
    }
    jm_map_close(&map);
    return st;
}
