/* SPDX-License-Identifier: Apache-2.0 */
/* A record as JSON, for programs that read it. */
#ifndef JM_HARNESS_RECORD_JSON_H
#define JM_HARNESS_RECORD_JSON_H

#include <cjson/cJSON.h>
#include <stdio.h>

#include "base/status.h"
#include "harness/record/columns.h"

/* One object: the columns by name; an empty value is null. The caller deletes it; NULL: no memory.
 */
cJSON *jm_record_json(const struct jm_record *row);

/* Prints root and a newline, and deletes it. root NULL: there was no memory for it. JM_ENOMEM,
 * JM_EIO. */
jm_status jm_json_print(FILE *f, cJSON *root, jm_err *err);

#endif
