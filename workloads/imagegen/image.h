/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures of 8-bit RGB in memory. */
#ifndef JM_WORKLOADS_IMAGEGEN_IMAGE_H
#define JM_WORKLOADS_IMAGEGEN_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* rgb: [height, width, 3], owned; NULL when there is no picture. */
typedef struct jm_image {
    uint32_t width, height;
    uint8_t *rgb;
} jm_image;

/* White. width and height > 0. JM_ENOMEM, also for sizes whose product does not fit. */
jm_status jm_image_new(uint32_t width, uint32_t height, jm_image *out, jm_err *err);
void jm_image_free(jm_image *img);

/* planes: f32 [3, height, width] in [-1, 1]. A value v becomes 255 (v/2 + 1/2), clamped and
 * rounded to nearest; NaN becomes 0. */
jm_status jm_image_from_planes(const float *planes, uint32_t width, uint32_t height, jm_image *out,
                               jm_err *err);

/* The same into a picture that is there; its size tells that of planes. */
void jm_image_set_planes(jm_image *img, const float *planes);

/* Means of whole boxes of pixels; width and height must divide those of src (JM_EUSAGE). */
jm_status jm_image_shrink(const jm_image *src, uint32_t width, uint32_t height, jm_image *out,
                          jm_err *err);

/* A contact sheet: n > 0 pictures of one size row by row, `gap` white pixels between and around
 * them. columns 0: as near to a square as n allows. JM_EUSAGE: sizes differ. */
jm_status jm_image_sheet(const jm_image *pictures, uint32_t n, uint32_t columns, uint32_t gap,
                         jm_image *out, jm_err *err);

#endif
