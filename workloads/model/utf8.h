/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 as Unicode table 3-7 defines it: no surrogates, no overlong forms, at most U+10FFFF. */
#ifndef JM_WORKLOADS_MODEL_UTF8_H
#define JM_WORKLOADS_MODEL_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The character that p starts with, n > 0: its length 1..4; 0 when n bytes are a proper prefix of
 * some character; -1 when no character starts so. */
int jm_utf8_char(const uint8_t *p, size_t n);

/* Length of the longest prefix of p that is whole valid characters. */
size_t jm_utf8_valid(const uint8_t *p, size_t n);

#endif
