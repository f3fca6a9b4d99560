/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers in text, read strictly: decimal, with nothing before them and, where the whole text is
 * meant, nothing behind. What is none, does not fit or is out of bounds leaves *out as it was. */
#ifndef JM_BASE_NUMBER_H
#define JM_BASE_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/* The whole text is a number from least to most: digits, for i64 with a '-' before them or not. */
bool jm_number_u64(const char *s, uint64_t least, uint64_t most, uint64_t *out);
bool jm_number_u32(const char *s, uint32_t least, uint32_t most, uint32_t *out);
bool jm_number_i64(const char *s, int64_t least, int64_t most, int64_t *out);

/* The same of a finite number with a sign, a point and an exponent or without: "-2.5e-3". */
bool jm_number_real(const char *s, double least, double most, double *out);

/* A number at the beginning of a text that goes on at *end. */
bool jm_number_begins_u64(const char *s, uint64_t *out, const char **end);
bool jm_number_begins_real(const char *s, double *out, const char **end);

/* What a user gives as name, "--threads". JM_EUSAGE: with name, bounds and value in the text. */
jm_status jm_number_given_u64(const char *name, const char *s, uint64_t least, uint64_t most,
                              uint64_t *out, jm_err *err);
jm_status jm_number_given_u32(const char *name, const char *s, uint32_t least, uint32_t most,
                              uint32_t *out, jm_err *err);
jm_status jm_number_given_real(const char *name, const char *s, double least, double most,
                               double *out, jm_err *err);

#endif
