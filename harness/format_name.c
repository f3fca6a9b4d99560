/* SPDX-License-Identifier: Apache-2.0 */
/* See format_name.h. */
#include "harness/format_name.h"

#include <ctype.h>
#include <string.h>

bool jm_name_has_format(const char *name, const char *format)
{
    size_t n = strlen(format);
    for (const char *s = name; (s = strcasestr(s, format)) != NULL; s++) {
        bool begins = s == name || !isalnum((unsigned char)s[-1]);
        if (begins && !isalnum((unsigned char)s[n]))
            return true;
        if (!*s)
            break;
    }
    return n == 0;
}
