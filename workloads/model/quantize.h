/* SPDX-License-Identifier: Apache-2.0 */
/* Re-encodes the weights of a GGUF file in another number format. */
#ifndef JM_WORKLOADS_MODEL_QUANTIZE_H
#define JM_WORKLOADS_MODEL_QUANTIZE_H

#include "backends/format.h"
#include "base/status.h"

/* Matrices that could not take the wanted format. */
struct jm_quantized {
    size_t replaced; /* took `replacement` */
    size_t left;     /* stayed as they are */
    jm_format replacement;
};

/* The format of a name as a user gives it. JM_EUSAGE names those that there are. */
jm_status jm_quantize_format(const char *name, jm_format *out, jm_err *err);

/**
 * Reads src, writes dst, one tensor after the other.
 *
 * - Every matrix (rows > 1) whose row length is whole blocks of `to` is re-encoded. Where it is
 *   not, but whole blocks of 32, Q4_K gives way to Q5_0 and Q6_K to Q8_0; other matrices stay as
 *   they are. *out, which may be NULL, counts both.
 * - token_embd.weight and output.weight go to Q8_0 when `to` has fewer than 8 bits a weight: they
 *   decide the choice of each token, and errors there are not averaged away by later layers.
 * - fm_modules.* of picture models (patches in, time, pixels out) stay as they are: they are small,
 *   and every step's error passes through them.
 * - Vectors become F32, which norms need.
 * - Metadata, general.name among it, are kept; only general.file_type is set anew.
 *
 * JM_EUNSUPPORTED: `to` has no encoder. JM_EUSAGE: src and dst are the same file. JM_EINPUT: src is
 * damaged, or holds a weight that is not finite or too large for `to`. JM_ENOTFOUND, JM_EIO,
 * JM_ENOMEM. On failure dst is untouched.
 */
jm_status jm_quantize_file(const char *src, const char *dst, jm_format to, struct jm_quantized *out,
                           jm_err *err);

#endif
