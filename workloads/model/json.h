/* SPDX-License-Identifier: Apache-2.0 */
/* JSON from files that may be hostile, through cJSON. */
#ifndef JM_WORKLOADS_MODEL_JSON_H
#define JM_WORKLOADS_MODEL_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum {
    JM_JSON_MAX_BYTES = 32 << 20, /* a tokenizer.json has some 11 MB */
    JM_JSON_MAX_DEPTH = 32,
    JM_JSON_MAX_VALUES = 1 << 20, /* keeps what is parsed under some 100 MB */
};

/* text: one JSON value, at most JM_JSON_MAX_BYTES, and white space around it. name is for messages.
 * The caller frees *out with cJSON_Delete. JM_EINPUT, also past a limit above; JM_ENOMEM. */
jm_status jm_json_parse(const void *text, size_t bytes, const char *name, cJSON **out, jm_err *err);

/* A whole number from 0 to 2^53, which doubles hold exactly. */
bool jm_json_u64(const cJSON *item, uint64_t *out);

#endif
