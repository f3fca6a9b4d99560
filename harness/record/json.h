/* SPDX-License-Identifier: Apache-2.0 */
/* A record as JSON, for programs that read it. */
#ifndef JM_HARNESS_RECORD_JSON_H
#define JM_HARNESS_RECORD_JSON_H

#include <cjson/cJSON.h>

#include "harness/record/columns.h"

/* One object: the columns by name; an empty value is null. The caller deletes it; NULL: no memory.
 */
cJSON *jm_record_json(const struct jm_record *row);

#endif
