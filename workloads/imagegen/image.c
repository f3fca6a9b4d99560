/* SPDX-License-Identifier: Apache-2.0 */
/* See image.h. */
#include "workloads/imagegen/image.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

jm_status jm_image_new(uint32_t width, uint32_t height, jm_image *out, jm_err *err)
{
    size_t bytes;
    *out = (jm_image){ 0 };
    if (!jm_mul_size(width, height, &bytes) || !jm_mul_size(bytes, 3, &bytes) || bytes == 0 ||
        !(out->rgb = malloc(bytes)))
        return jm_fail(err, JM_ENOMEM, "no memory for a picture of %ux%u pixels", width, height);
    memset(out->rgb, 255, bytes);
    out->width = width;
    out->height = height;
    return JM_OK;
}

void jm_image_free(jm_image *img)
{
    free(img->rgb);
    *img = (jm_image){ 0 };
}

static uint8_t to_byte(float v)
{
    double x = 255.0 * (v * 0.5 + 0.5) + 0.5;
    if (!(x >= 0.0)) /* NaN too */
        return 0;
    return x >= 255.0 ? 255 : (uint8_t)x;
}

void jm_image_set_planes(jm_image *img, const float *planes)
{
    size_t n = (size_t)img->width * img->height;
    for (size_t c = 0; c < 3; c++)
        for (size_t i = 0; i < n; i++)
            img->rgb[3 * i + c] = to_byte(planes[c * n + i]);
}

jm_status jm_image_from_planes(const float *planes, uint32_t width, uint32_t height, jm_image *out,
                               jm_err *err)
{
    jm_status st = jm_image_new(width, height, out, err);
    if (st == JM_OK)
        jm_image_set_planes(out, planes);
    return st;
}

jm_status jm_image_shrink(const jm_image *src, uint32_t width, uint32_t height, jm_image *out,
                          jm_err *err)
{
    *out = (jm_image){ 0 };
    if (width == 0 || height == 0 || src->width % width || src->height % height)
        return jm_fail(err, JM_EUSAGE, "a picture of %ux%u pixels cannot be shrunk to %ux%u",
                       src->width, src->height, width, height);
    jm_status st = jm_image_new(width, height, out, err);
    if (st != JM_OK)
        return st;
    uint32_t bw = src->width / width, bh = src->height / height;
    uint64_t area = (uint64_t)bw * bh;
    for (size_t i = 0; i < (size_t)width * height * 3; i++) {
        size_t c = i % 3, x = i / 3 % width * bw, y = i / 3 / width * bh;
        uint64_t sum = 0;
        for (size_t r = y; r < y + bh; r++)
            for (size_t k = x; k < x + bw; k++)
                sum += src->rgb[(r * src->width + k) * 3 + c];
        out->rgb[i] = (uint8_t)((sum + area / 2) / area);
    }
    return JM_OK;
}

/* Bytes fit: jm_image_new has counted them. */
static void paste(const jm_image *src, jm_image *dst, size_t x, size_t y)
{
    for (size_t r = 0; r < src->height; r++)
        memcpy(dst->rgb + ((y + r) * dst->width + x) * 3, src->rgb + r * src->width * 3,
               (size_t)src->width * 3);
}

jm_status jm_image_sheet(const jm_image *pictures, uint32_t n, uint32_t columns, uint32_t gap,
                         jm_image *out, jm_err *err)
{
    *out = (jm_image){ 0 };
    if (n == 0)
        return jm_fail(err, JM_EUSAGE, "a sheet of no pictures");
    for (uint64_t c = 1; columns == 0; c++)
        columns = c * c >= n ? (uint32_t)c : 0;
    uint32_t w = pictures[0].width, h = pictures[0].height, rows = (n + columns - 1) / columns;
    uint64_t width = columns * ((uint64_t)w + gap) + gap, height = rows * ((uint64_t)h + gap) + gap;
    for (uint32_t i = 1; i < n; i++) {
        if (pictures[i].width != w || pictures[i].height != h)
            return jm_fail(err, JM_EUSAGE, "a sheet of pictures of different sizes");
    }
    if (width > UINT32_MAX || height > UINT32_MAX)
        return jm_fail(err, JM_ENOMEM, "a sheet of %u pictures is too large", n);
    jm_status st = jm_image_new((uint32_t)width, (uint32_t)height, out, err);
    for (uint32_t i = 0; st == JM_OK && i < n; i++)
        paste(&pictures[i], out, gap + i % columns * ((size_t)w + gap),
              gap + i / columns * ((size_t)h + gap));
    return st;
}
