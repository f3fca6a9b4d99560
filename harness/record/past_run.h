/* SPDX-License-Identifier: Apache-2.0 */
/* A run's folder read back: how it was made, what it measured, and whether its files are whole. */
#ifndef JM_HARNESS_RECORD_PAST_RUN_H
#define JM_HARNESS_RECORD_PAST_RUN_H

#include <stdio.h>

#include "base/status.h"
#include "harness/record/columns.h"
#include "harness/suite.h"

struct jm_past_run {
    struct jm_run_config config; /* the settings of manifest.json */
    struct jm_record record;     /* its row of the results file beside the folder */
};

/**
 * Reads DIR/manifest.json, checks the SHA-256 of the files it lists, and finds the run's row in
 * the results file DIR/.. + ".csv".
 *
 * JM_ENOTFOUND: no manifest, results file or row. JM_EINPUT: damaged, a file that is missing or
 * differs from its hash, a setting that is unknown or out of bounds; otherwise as jm_csv_read.
 */
jm_status jm_past_run_read(const char *dir, struct jm_past_run *out, jm_err *err);

/* Prints a line for each fact of DIR/machine.json that is not so on this machine now, and for
 * version and source revision; at most `most` lines. Returns how many differ; -1: no machine.json
 * that can be read. */
int jm_past_run_print_differences(FILE *f, const char *dir, const struct jm_past_run *past,
                                  int most);

#endif
