/* SPDX-License-Identifier: Apache-2.0 */
/* See option.h. */
#include "harness/compare/option.h"

#include <stdlib.h>
#include <string.h>

const char *jm_option_value(const char *name, int argc, char **argv, int *i)
{
    size_t n = strlen(name);
    if (strncmp(argv[*i], name, n) != 0)
        return NULL;
    if (argv[*i][n] == '=')
        return argv[*i] + n + 1;
    return argv[*i][n] == '\0' && *i + 1 < argc ? argv[++*i] : NULL;
}

bool jm_percent_parse(const char *s, double *out)
{
    char *end;
    double v = strtod(s, &end);
    if (end == s)
        return false;
    if (*end == '%') {
        v /= 100.0;
        end++;
    }
    *out = v;
    return !*end;
}

bool jm_share_parse(const char *s, double *out)
{
    return jm_percent_parse(s, out) && *out > 0.0 && *out < 10.0;
}
