/* SPDX-License-Identifier: Apache-2.0 */
/* Options of the commands that compare. */
#ifndef JM_HARNESS_COMPARE_OPTION_H
#define JM_HARNESS_COMPARE_OPTION_H

#include <stdbool.h>

#include "base/status.h"

/* The value of "--name VALUE" or "--name=VALUE" at argv[*i], moving *i to the last word used. NULL:
 * another option, or its value is missing. */
const char *jm_option_value(const char *name, int argc, char **argv, int *i);

/* A number, or with a percent sign a hundredth of it. */
bool jm_percent_parse(const char *s, double *out);

/* The value of option name, "3%" or "0.03": above 0, and most at most. JM_EUSAGE. */
jm_status jm_share_given(const char *name, const char *s, double most, double *out, jm_err *err);

#endif
