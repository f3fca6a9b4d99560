/* SPDX-License-Identifier: Apache-2.0 */
/* Size arithmetic that says when it overflows. Each returns true when *out holds the result. */
#ifndef JM_BASE_CHECKED_H
#define JM_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool jm_add_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

static inline bool jm_mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

static inline bool jm_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

static inline bool jm_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

/* Rounds n up to a multiple of align, a power of two. */
static inline bool jm_align_u64(uint64_t n, uint64_t align, uint64_t *out)
{
    if (!jm_add_u64(n, align - 1, out))
        return false;
    *out &= ~(align - 1);
    return true;
}

#endif
