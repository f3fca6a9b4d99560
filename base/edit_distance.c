/* SPDX-License-Identifier: Apache-2.0 */
/* See edit_distance.h. One row of the table of Wagner and Fischer (1974) is kept. */
#include "base/edit_distance.h"

#include <stdint.h>
#include <string.h>

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

size_t jm_edit_distance(const char *a, const char *b)
{
    size_t row[JM_EDIT_MAX + 1];
    size_t na = strnlen(a, JM_EDIT_MAX + 1), nb = strnlen(b, JM_EDIT_MAX + 1);

    if (na > JM_EDIT_MAX || nb > JM_EDIT_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t best = diagonal + (lower(a[i - 1]) != lower(b[j - 1]));
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[nb];
}
