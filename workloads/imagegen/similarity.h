/* SPDX-License-Identifier: Apache-2.0 */
/* How alike two pictures of one size are. Both figures are of the 8-bit RGB samples. */
#ifndef JM_WORKLOADS_IMAGEGEN_SIMILARITY_H
#define JM_WORKLOADS_IMAGEGEN_SIMILARITY_H

#include "workloads/imagegen/image.h"

/* Mean squared difference over all samples of all channels. JM_EUSAGE: sizes differ. */
jm_status jm_image_mse(const jm_image *a, const jm_image *b, double *out, jm_err *err);

/* Peak signal-to-noise ratio in dB: 10 log10(255^2 / mse); INFINITY when mse is 0. */
double jm_psnr_db(double mse);

/**
 * Structural similarity, -1..1, 1 for equal pictures: for each of the three channels the mean over
 * all places where an 11x11 Gaussian window of sigma 1.5 fits whole, K1 0.01, K2 0.03, range 255,
 * variances not bias-corrected; then the mean of the channels. Source: Wang, Bovik, Sheikh,
 * Simoncelli, "Image quality assessment", IEEE Trans. Image Processing 13(4), 2004.
 *
 * JM_EUSAGE: sizes differ, or a side is under 11 pixels. JM_ENOMEM.
 */
jm_status jm_ssim(const jm_image *a, const jm_image *b, double *out, jm_err *err);

#endif
