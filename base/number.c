/* SPDX-License-Identifier: Apache-2.0 */
/* See number.h. strtoull takes spaces and a sign, strtod hexadecimals, infinity and NaN as well:
 * what a text begins with is looked at first. */
#include "base/number.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool jm_number_begins_u64(const char *s, uint64_t *out, const char **end)
{
    char *rest;
    if (!is_digit(*s))
        return false;
    errno = 0;
    unsigned long long v = strtoull(s, &rest, 10);
    _Static_assert(sizeof v == sizeof *out, "what overflows one overflows the other");
    if (errno)
        return false;
    *out = v;
    *end = rest;
    return true;
}

bool jm_number_begins_real(const char *s, double *out, const char **end)
{
    const char *digits = s + (*s == '-' || *s == '+');
    char *rest;
    bool hex = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
    if (hex || !is_digit(digits[*digits == '.']))
        return false;
    double v = strtod(s, &rest);
    if (!isfinite(v))
        return false;
    *out = v;
    *end = rest;
    return true;
}

bool jm_number_u64(const char *s, uint64_t least, uint64_t most, uint64_t *out)
{
    const char *end;
    uint64_t v;
    if (!jm_number_begins_u64(s, &v, &end) || *end || v < least || v > most)
        return false;
    *out = v;
    return true;
}

bool jm_number_u32(const char *s, uint32_t least, uint32_t most, uint32_t *out)
{
    uint64_t v;
    if (!jm_number_u64(s, least, most, &v))
        return false;
    *out = (uint32_t)v;
    return true;
}

bool jm_number_i64(const char *s, int64_t least, int64_t most, int64_t *out)
{
    bool minus = *s == '-';
    uint64_t size;
    if (!jm_number_u64(s + minus, 0, (uint64_t)INT64_MAX + minus, &size))
        return false;
    int64_t v = minus && size > 0 ? -(int64_t)(size - 1) - 1 : (int64_t)size;
    if (v < least || v > most)
        return false;
    *out = v;
    return true;
}

bool jm_number_real(const char *s, double least, double most, double *out)
{
    const char *end;
    double v;
    if (!jm_number_begins_real(s, &v, &end) || *end || !(v >= least && v <= most))
        return false;
    *out = v;
    return true;
}

jm_status jm_number_given_u64(const char *name, const char *s, uint64_t least, uint64_t most,
                              uint64_t *out, jm_err *err)
{
    if (jm_number_u64(s, least, most, out))
        return JM_OK;
    return jm_fail(err, JM_EUSAGE,
                   "%.64s must be a whole number from %" PRIu64 " to %" PRIu64 ", not '%.64s'",
                   name, least, most, s);
}

jm_status jm_number_given_u32(const char *name, const char *s, uint32_t least, uint32_t most,
                              uint32_t *out, jm_err *err)
{
    uint64_t v = 0;
    jm_status st = jm_number_given_u64(name, s, least, most, &v, err);
    if (st == JM_OK)
        *out = (uint32_t)v;
    return st;
}

jm_status jm_number_given_real(const char *name, const char *s, double least, double most,
                               double *out, jm_err *err)
{
    if (jm_number_real(s, least, most, out))
        return JM_OK;
    return jm_fail(err, JM_EUSAGE, "%.64s must be a number from %.12g to %.12g, not '%.64s'", name,
                   least, most, s);
}
