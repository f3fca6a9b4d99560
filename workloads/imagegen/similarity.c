/* SPDX-License-Identifier: Apache-2.0 */
/* See similarity.h. */
#include "workloads/imagegen/similarity.h"

#include <math.h>
#include <stdlib.h>

#include "base/checked.h"

enum { WINDOW = 11, SUMS = 5 };

static const double SIGMA = 1.5, C1 = (0.01 * 255) * (0.01 * 255), C2 = (0.03 * 255) * (0.03 * 255);

static jm_status same_size(const jm_image *a, const jm_image *b, jm_err *err)
{
    if (a->width == b->width && a->height == b->height)
        return JM_OK;
    return jm_fail(err, JM_EUSAGE, "pictures of %ux%u and %ux%u pixels cannot be compared",
                   a->width, a->height, b->width, b->height);
}

jm_status jm_image_mse(const jm_image *a, const jm_image *b, double *out, jm_err *err)
{
    jm_status st = same_size(a, b, err);
    if (st != JM_OK)
        return st;
    size_t n = (size_t)a->width * a->height * 3;
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        int d = a->rgb[i] - b->rgb[i];
        sum += d * d;
    }
    *out = sum / (double)n;
    return JM_OK;
}

double jm_psnr_db(double mse)
{
    return 10.0 * log10(255.0 * 255.0 / mse);
}

static void window_weights(double w[WINDOW])
{
    double sum = 0.0;
    for (int i = 0; i < WINDOW; i++) {
        double d = (i - WINDOW / 2) / SIGMA;
        w[i] = exp(-0.5 * d * d);
        sum += w[i];
    }
    for (int i = 0; i < WINDOW; i++)
        w[i] /= sum;
}

/* The window is a product, so rows are weighed first: a, b, a^2, b^2, ab of channel c at each
 * place of row y into out [SUMS, width - WINDOW + 1]. */
static void weigh_row(const jm_image *a, const jm_image *b, size_t c, size_t y,
                      const double w[WINDOW], double *out)
{
    size_t places = a->width - WINDOW + 1;
    const uint8_t *pa = a->rgb + y * a->width * 3 + c, *pb = b->rgb + y * b->width * 3 + c;
    for (size_t x = 0; x < places; x++) {
        double s[SUMS] = { 0 };
        for (size_t k = 0; k < WINDOW; k++) {
            double va = pa[(x + k) * 3], vb = pb[(x + k) * 3];
            s[0] += w[k] * va;
            s[1] += w[k] * vb;
            s[2] += w[k] * va * va;
            s[3] += w[k] * vb * vb;
            s[4] += w[k] * va * vb;
        }
        for (size_t i = 0; i < SUMS; i++)
            out[i * places + x] = s[i];
    }
}

/* rows: [height, SUMS, places] from weigh_row. */
static double window_ssim(const double *rows, size_t places, size_t x, size_t y,
                          const double w[WINDOW])
{
    double s[SUMS] = { 0 };
    for (size_t k = 0; k < WINDOW; k++)
        for (size_t i = 0; i < SUMS; i++)
            s[i] += w[k] * rows[((y + k) * SUMS + i) * places + x];
    double va = s[2] - s[0] * s[0], vb = s[3] - s[1] * s[1], vab = s[4] - s[0] * s[1];
    return (2 * s[0] * s[1] + C1) * (2 * vab + C2) /
           ((s[0] * s[0] + s[1] * s[1] + C1) * (va + vb + C2));
}

jm_status jm_ssim(const jm_image *a, const jm_image *b, double *out, jm_err *err)
{
    double w[WINDOW], total = 0.0;
    size_t bytes;
    jm_status st = same_size(a, b, err);
    if (st != JM_OK)
        return st;
    if (a->width < WINDOW || a->height < WINDOW)
        return jm_fail(err, JM_EUSAGE, "SSIM needs pictures of at least %dx%d pixels, not %ux%u",
                       WINDOW, WINDOW, a->width, a->height);
    size_t places = a->width - WINDOW + 1, lines = a->height - WINDOW + 1;
    double *rows = NULL;
    if (!jm_mul_size(places, a->height, &bytes) ||
        !jm_mul_size(bytes, SUMS * sizeof *rows, &bytes) || !(rows = malloc(bytes)))
        return jm_fail(err, JM_ENOMEM, "SSIM: no memory for %ux%u pixels", a->width, a->height);
    window_weights(w);
    for (size_t c = 0; c < 3; c++) {
        for (size_t y = 0; y < a->height; y++)
            weigh_row(a, b, c, y, w, rows + y * SUMS * places);
        for (size_t y = 0; y < lines; y++)
            for (size_t x = 0; x < places; x++)
                total += window_ssim(rows, places, x, y, w);
    }
    free(rows);
    *out = total / (3.0 * (double)places * (double)lines);
    return JM_OK;
}
