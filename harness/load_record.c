/* SPDX-License-Identifier: Apache-2.0 */
/* See load_record.h. */
#include "harness/load_record.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void jm_record_bounds(struct jm_record *row, const struct jm_latency *l)
{
    const struct {
        double bound_s;
        const char *name;
        double *column;
    } all[] = {
        { l->p50_bound_s, "p50", &row->latency_p50_bound_ms },
        { l->p90_bound_s, "p90", &row->latency_p90_bound_ms },
        { l->p99_bound_s, "p99", &row->latency_p99_bound_ms },
        { l->p999_bound_s, "p99.9", &row->latency_p999_bound_ms },
    };
    char names[64] = "";
    size_t used = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        *all[i].column = all[i].bound_s * 1e3;
        if (isnan(all[i].bound_s))
            continue;
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? " " : "",
                                 all[i].name);
    }
    jm_record_text(row->percentiles_supported, used ? names : "none");
}
