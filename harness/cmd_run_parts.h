/* SPDX-License-Identifier: Apache-2.0 */
/* What cmd_run_one.c and the writers of its record share; nobody else includes it. */
#ifndef JM_HARNESS_CMD_RUN_PARTS_H
#define JM_HARNESS_CMD_RUN_PARTS_H

#include "backends/loader.h"
#include "harness/cmd_run_one.h"
#include "harness/energy/session.h"
#include "harness/load_record.h"
#include "harness/reference.h"
#include "harness/system/counters.h"
#include "workloads/workload.h"

/* A run from start to record. */
struct jm_run {
    const struct jm_run_config *c;
    const struct jm_run_place *place;
    struct jm_record *row;
    const struct jm_workload_ops *ops;
    jm_backend backend;
    jm_device *device;
    jm_workload *workload;
    jm_format kv_format;
    char *model, *reference_model, *tokenizer, *data, *references; /* paths */
    jm_session *meters;
    jm_counters *counters;
    struct jm_counts counts;
    struct jm_load_evidence load;
    struct jm_reference quality, same; /* of the reference model; of this run's own file */
};

/* The row's columns that are known before anything is opened; of model and device; of what was
 * measured and how good it is. whole: every query was answered. */
void jm_run_record_identity(struct jm_run *r);
void jm_run_record_model(struct jm_run *r);
jm_status jm_run_record_results(struct jm_run *r, bool whole, jm_err *err);

/* The run's folder, whole or not at all, and the row's record_dir. */
jm_status jm_run_write_folder(struct jm_run *r, jm_err *err);

#endif
