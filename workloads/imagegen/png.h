/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures as PNG files, through libpng. */
#ifndef JM_WORKLOADS_IMAGEGEN_PNG_H
#define JM_WORKLOADS_IMAGEGEN_PNG_H

#include "workloads/imagegen/image.h"

/* The file at path appears whole or not at all. JM_EIO, JM_ENOMEM. */
jm_status jm_png_write(const char *path, const jm_image *img, jm_err *err);

/* Any PNG as 8-bit RGB; transparent parts show white. JM_ENOTFOUND, JM_EIO, JM_ENOMEM; JM_EINPUT:
 * damaged, or more than max_pixels, which is checked before memory is taken. */
jm_status jm_png_read(const char *path, uint64_t max_pixels, jm_image *out, jm_err *err);
/* The same from memory; name is for messages. */
jm_status jm_png_decode(const void *data, size_t bytes, const char *name, uint64_t max_pixels,
                        jm_image *out, jm_err *err);

#endif
