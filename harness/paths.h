/* SPDX-License-Identifier: Apache-2.0 */
/* Where the program's own files are, found relative to the program itself. */
#ifndef JM_HARNESS_PATHS_H
#define JM_HARNESS_PATHS_H

#include "base/status.h"

/* The folder share/joulemark beside the program's bin folder, or JM_SHARE when set. malloc'd; NULL
 * when it cannot be told. Holds data/, plots/ and suites/. */
char *jm_share_dir(void);

/**
 * A model or data file by path or by name: `name` itself when it exists, else share/data/name, also
 * with `suffix` added (".gguf", ".csv"). *out is malloc'd. JM_ENOTFOUND says where it looked.
 */
jm_status jm_find_file(const char *name, const char *suffix, char **out, jm_err *err);

#endif
