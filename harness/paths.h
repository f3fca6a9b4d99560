/* SPDX-License-Identifier: Apache-2.0 */
/* Where the program's own files are, found relative to the program itself, and where in a results
 * folder its results go. */
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

/* What lies in a results folder besides RESULTS/SUITE.csv and RESULTS/SUITE/, the runs of a suite.
 */
enum jm_results_dir {
    JM_RESULTS_MODELS,     /* made in another format */
    JM_RESULTS_PLOTS,      /* of the last results */
    JM_RESULTS_REFERENCES, /* answers that quality is judged by */
    JM_RESULTS_ROOFLINE,
    JM_RESULTS_DIRS
};

/* malloc'd; NULL when out of memory. */
char *jm_results_dir(const char *results, enum jm_results_dir which);

/* "dir/default.ini" to "default"; *out is malloc'd. JM_EUSAGE: the runs of a suite of that name
 * would lie among other files. */
jm_status jm_suite_name(const char *file, char **out, jm_err *err);

#endif
