/* SPDX-License-Identifier: Apache-2.0 */
/* How far a word is from another, for "did you mean". */
#ifndef JM_BASE_EDIT_DISTANCE_H
#define JM_BASE_EDIT_DISTANCE_H

#include <stddef.h>

enum { JM_EDIT_MAX = 63 }; /* bytes of a word */

/* Levenshtein's distance in bytes, without the case of A to Z; SIZE_MAX where a word is longer than
 * JM_EDIT_MAX. */
size_t jm_edit_distance(const char *a, const char *b);

#endif
