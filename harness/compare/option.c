/* SPDX-License-Identifier: Apache-2.0 */
/* See option.h. */
#include "harness/compare/option.h"

#include <string.h>

#include "base/number.h"

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
    const char *end;
    double v;
    if (!jm_number_begins_real(s, &v, &end) || (*end && strcmp(end, "%") != 0))
        return false;
    *out = *end ? v / 100.0 : v;
    return true;
}

jm_status jm_share_given(const char *name, const char *s, double most, double *out, jm_err *err)
{
    if (jm_percent_parse(s, out) && *out > 0.0 && *out <= most)
        return JM_OK;
    return jm_fail(err, JM_EUSAGE,
                   "%.64s must be above 0%% and at most %g%%, such as 3%%, not '%.64s'", name,
                   most * 100.0, s);
}
