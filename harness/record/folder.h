/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of one run: samples.csv, machine.json, topology.xml, and manifest.json, which lists
 * the others with their SHA-256 and is written last. Every file is written whole or not at all. */
#ifndef JM_HARNESS_RECORD_FOLDER_H
#define JM_HARNESS_RECORD_FOLDER_H

#include <stdint.h>

#include "base/status.h"
#include "harness/suite.h"
#include "harness/record/columns.h"
#include "harness/sut.h"

/* Where the texts of samples come from. */
struct jm_folder_source {
    void *user;
    const char *(*lang)(void *user, uint32_t index); /* NULL: none */
    /* Valid until the next call. NULL: no answers recorded. */
    jm_status (*answer)(void *user, uint32_t id, const char **text, jm_err *err);
};

/* Makes dir and writes samples.csv: id,index,lang,issue_ns,first_ns,done_ns,tokens_in,tokens_out,
 * answer. Times are relative to start_ns, empty where unknown. timing: [n], by id; samples without
 * an answer have empty done_ns. */
jm_status jm_folder_samples(const char *dir, const struct jm_timing *timing, uint32_t n,
                            int64_t start_ns, const struct jm_folder_source *src, jm_err *err);

/* Writes machine.json and topology.xml. root: as jm_machine_read's. */
jm_status jm_folder_machine(const char *dir, const char *root, jm_err *err);

/* Writes manifest.json over the files already there. */
jm_status jm_folder_manifest(const char *dir, const struct jm_record *record,
                             const struct jm_run_config *config, jm_err *err);

/* Removes the folder of a run whose record could not be written whole, and what it holds of it. */
void jm_folder_remove(const char *dir);

#endif
