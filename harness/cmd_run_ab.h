/* SPDX-License-Identifier: Apache-2.0 */
/* Two settings that take turns, A B B A …: whatever else the machine does falls on both. */
#ifndef JM_HARNESS_CMD_RUN_AB_H
#define JM_HARNESS_CMD_RUN_AB_H

#include <stdint.h>
#include <stdio.h>

#include "base/status.h"
#include "harness/cmd_run_one.h"

/* Runs of a session as they were recorded, in order. */
struct jm_session {
    struct jm_record *row; /* [n] */
    size_t n;
};

/**
 * Runs a and b in turn, `pairs` times each; b NULL: a alone. Each row is marked with its session,
 * side and pair (unless alone), is added to csv at once, and told in a line on out (NULL: not).
 * Goes on after a run that fails. Once *place->stop is set the run at hand is marked as
 * interrupted, and those that did not begin as not run.
 *
 * JM_EINTERRUPTED; JM_EIO or JM_EINPUT when a row cannot be added; JM_ENOMEM. *s holds what there
 * is, also then; its rows are the caller's to free.
 */
jm_status jm_session_run(const struct jm_run_config *a, const struct jm_run_config *b,
                         uint32_t pairs, const struct jm_run_place *place, const char *csv,
                         FILE *out, struct jm_session *s, jm_err *err);

/* Options in one text ("--threads 2 --format Q4_0", no blanks within a value) on top of *c.
 * JM_EUSAGE. */
jm_status jm_options_parse_text(struct jm_run_config *c, const char *text, jm_err *err);

/* Runs a session of `base` with two texts of options and prints the comparison; an exit code. */
int jm_run_ab(const struct jm_run_config *base, const char *text_a, const char *text_b,
              uint32_t pairs, const struct jm_run_place *place, const char *csv);

#endif
