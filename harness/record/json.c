/* SPDX-License-Identifier: Apache-2.0 */
/* See json.h. */
#include "harness/record/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static cJSON *value_json(const struct jm_column *c, const struct jm_record *row)
{
    const char *src = (const char *)row + c->offset;
    char digits[24];
    uint64_t u;
    double d;
    switch (c->kind) {
    case JM_COLUMN_TEXT:
        return *src ? cJSON_CreateString(src) : cJSON_CreateNull();
    case JM_COLUMN_U64:
        memcpy(&u, src, sizeof u);
        if (u == JM_U64_EMPTY)
            return cJSON_CreateNull();
        /* Raw digits: a double would round 64-bit seeds. */
        (void)snprintf(digits, sizeof digits, "%" PRIu64, u);
        return cJSON_CreateRaw(digits);
    case JM_COLUMN_DOUBLE:
        memcpy(&d, src, sizeof d);
        return isfinite(d) ? cJSON_CreateNumber(d) : cJSON_CreateNull();
    }
    return NULL;
}

cJSON *jm_record_json(const struct jm_record *row)
{
    size_t n;
    const struct jm_column *c = jm_columns(&n);
    cJSON *o = cJSON_CreateObject();
    for (size_t i = 0; i < n && o; i++) {
        cJSON *v = value_json(&c[i], row);
        if (!v || !cJSON_AddItemToObject(o, c[i].name, v)) {
            cJSON_Delete(v);
            cJSON_Delete(o);
            return NULL;
        }
    }
    return o;
}

jm_status jm_json_print(FILE *f, cJSON *root, jm_err *err)
{
    char *text = root ? cJSON_Print(root) : NULL;
    cJSON_Delete(root);
    if (!text)
        return jm_fail(err, JM_ENOMEM, "out of memory for the JSON document");
    bool ok = fprintf(f, "%s\n", text) > 0 && fflush(f) == 0;
    cJSON_free(text);
    return ok ? JM_OK : jm_fail(err, JM_EIO, "the JSON document cannot be written");
}
