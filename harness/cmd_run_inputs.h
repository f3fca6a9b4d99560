/* SPDX-License-Identifier: Apache-2.0 */
/* What a run is made of, as its options name it. */
#ifndef JM_HARNESS_CMD_RUN_INPUTS_H
#define JM_HARNESS_CMD_RUN_INPUTS_H

#include "harness/suite.h"
#include "workloads/workload.h"

/* NULL with JM_EUSAGE in err: there is none of this name. */
const struct jm_workload_ops *jm_run_workload(const char *name, jm_err *err);

/* The model as the run wants it: the file itself, or made from it in another format once and kept
 * in results/models; and the file as it was named. Both are the caller's to free, after a failure
 * too. */
jm_status jm_run_model_file(const struct jm_run_config *c, const char *results, char **model,
                            char **source, jm_err *err);

/* The format of the keys and values of a run, which is the workload's own where c names none.
 * JM_EUSAGE: there is no such workload or format. */
jm_status jm_run_kv_format(const struct jm_run_config *c, jm_format *out, jm_err *err);

/* The names of the model and data files of a run, which are the workload's own where c names none;
 * "" where there is no such workload. */
const char *jm_run_model(const struct jm_run_config *c);
const char *jm_run_data(const struct jm_run_config *c);

/* What can be known to be wrong before any file is opened, so that a slip in a suite's last run is
 * told before its first. JM_EUSAGE. */
jm_status jm_run_check(const struct jm_run_config *c, jm_err *err);

/* The same of the run that a section of a file describes; the text says both. JM_EINPUT. */
jm_status jm_run_check_section(const struct jm_run_config *c, const char *file, const char *section,
                               jm_err *err);

#endif
