/* SPDX-License-Identifier: Apache-2.0 */
/* See json.h. */
#include "workloads/model/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Depth and number of values, before cJSON takes memory for them. It needs no valid JSON. */
static jm_status check_limits(const char *s, size_t n, const char *name, jm_err *err)
{
    size_t depth = 0, values = 1;
    bool in_string = false;
    for (size_t i = 0; i < n; i++) {
        if (in_string) {
            if (s[i] == '\\')
                i++;
            else
                in_string = s[i] != '"';
            continue;
        }
        in_string = s[i] == '"';
        values += s[i] == ',' || s[i] == '[' || s[i] == '{';
        depth += s[i] == '[' || s[i] == '{';
        depth -= depth > 0 && (s[i] == ']' || s[i] == '}');
        if (depth > JM_JSON_MAX_DEPTH)
            return jm_fail(err, JM_EINPUT, "%s: JSON byte %zu: nested deeper than %d levels", name,
                           i, JM_JSON_MAX_DEPTH);
        if (values > JM_JSON_MAX_VALUES)
            return jm_fail(err, JM_EINPUT, "%s: JSON byte %zu: more than %d values", name, i,
                           JM_JSON_MAX_VALUES);
    }
    return JM_OK;
}

jm_status jm_json_parse(const void *text, size_t bytes, const char *name, cJSON **out, jm_err *err)
{
    *out = NULL;
    if (bytes > JM_JSON_MAX_BYTES)
        return jm_fail(err, JM_EINPUT, "%s: %zu bytes of JSON, more than the %d allowed", name,
                       bytes, JM_JSON_MAX_BYTES);
    jm_status st = check_limits(text, bytes, name, err);
    if (st != JM_OK)
        return st;
    /* Terminated: some cJSON releases read one byte past a given length. */
    char *copy = malloc(bytes + 1);
    if (!copy)
        return jm_fail(err, JM_ENOMEM, "%s: out of memory", name);
    if (bytes > 0)
        memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    const char *end = copy;
    cJSON *root = cJSON_ParseWithLengthOpts(copy, bytes + 1, &end, false);
    size_t at = (size_t)(end - copy);
    while (root && at < bytes && strchr(" \t\r\n", copy[at]) && copy[at])
        at++;
    if (root && at == bytes)
        *out = root;
    else
        st = jm_fail(err, JM_EINPUT, "%s: JSON byte %zu: %s", name, at,
                     root ? "more after the end" : "not JSON, or cut off");
    if (st != JM_OK)
        cJSON_Delete(root);
    free(copy);
    return st;
}

bool jm_json_u64(const cJSON *item, uint64_t *out)
{
    if (!cJSON_IsNumber(item))
        return false;
    double v = item->valuedouble;
    if (!(v >= 0.0 && v <= 0x1p53) || floor(v) != v)
        return false;
    *out = (uint64_t)v;
    return true;
}
