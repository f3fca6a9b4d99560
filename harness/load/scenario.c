/* SPDX-License-Identifier: Apache-2.0 */
/* See scenario.h. */
#include "harness/load/scenario.h"

#include <stdio.h>
#include <string.h>

static const struct jm_scenario_info table[] = {
    { .scenario = JM_SINGLE_STREAM,
      .name = "single-stream",
      .summary = "one sample at a time: latency" },
    { .scenario = JM_MULTI_STREAM,
      .name = "multi-stream",
      .summary = "several samples at a time: latency of the slowest" },
    { .scenario = JM_SERVER,
      .name = "server",
      .summary = "samples at random moments: latency under load" },
    { .scenario = JM_OFFLINE, .name = "offline", .summary = "all samples at once: throughput" },
};

enum { TABLE_N = sizeof table / sizeof table[0] };

const struct jm_scenario_info *jm_scenarios(size_t *n)
{
    *n = TABLE_N;
    return table;
}

jm_status jm_scenario_find(const char *name, enum jm_scenario *out, jm_err *err)
{
    char list[128] = "";
    size_t used = 0;

    for (size_t i = 0; i < TABLE_N; i++) {
        if (strcmp(table[i].name, name) == 0) {
            *out = table[i].scenario;
            return JM_OK;
        }
        int len = snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", table[i].name);
        if (len > 0 && (size_t)len < sizeof list - used)
            used += (size_t)len;
    }
    return jm_fail(err, JM_EUSAGE, "scenario '%.60s' does not exist; choose from: %s", name, list);
}

const char *jm_scenario_name(enum jm_scenario scenario)
{
    for (size_t i = 0; i < TABLE_N; i++)
        if (table[i].scenario == scenario)
            return table[i].name;
    return "unknown";
}
