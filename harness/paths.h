/* SPDX-License-Identifier: Apache-2.0 */
/* Where the program's own files are, found relative to the program itself. */
#ifndef JM_HARNESS_PATHS_H
#define JM_HARNESS_PATHS_H

#include "base/status.h"

/* A folder, data, plots or suites, of share/joulemark beside the program's bin folder, or of
 * JM_SHARE when that is set. malloc'd; NULL when it cannot be told. */
char *jm_share_dir(const char *folder);

/**
 * A model or data file by path or by name: `name` itself when it exists, else share/data/name, also
 * with `suffix` added (".gguf", ".csv"). *out is malloc'd. JM_ENOTFOUND says where it looked.
 */
jm_status jm_find_file(const char *name, const char *suffix, char **out, jm_err *err);

/* A suite by path, or by name ("default") from share/suites. *out is malloc'd. JM_ENOTFOUND. */
jm_status jm_find_suite(const char *name, char **out, jm_err *err);

#endif
