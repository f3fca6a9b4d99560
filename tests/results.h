/* SPDX-License-Identifier: Apache-2.0 */
/* Made-up results for tests of comparisons: rows of a believable run, with seeded noise. */
#ifndef JM_TESTS_RESULTS_H
#define JM_TESTS_RESULTS_H

#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "harness/compare/metric.h"

/* Sets a text column by name, where the schema has it. */
static inline void set_text(struct jm_record *r, const char *column, const char *text)
{
    const struct jm_column *c = jm_column_find(column);
    if (c && c->kind == JM_COLUMN_TEXT)
        jm_record_text((char *)r + c->offset, text);
}

/* One run: noise moves speed by up to +-1%, factor scales it. */
static inline void make_run(struct jm_record *r, jm_rng *rng, double factor)
{
    double speed = 1000.0 * factor * (0.99 + 0.02 * jm_rng_double(rng));
    jm_record_clear(r);
    (void)snprintf(r->run_id, sizeof r->run_id, "run-%llx",
                   (unsigned long long)(jm_rng_u64(rng) >> 32));
    jm_record_text(r->status, "complete");
    jm_record_text(r->workload, "translate");
    jm_record_text(r->model, "tiny-mt");
    jm_record_text(r->model_sha256, "aa");
    jm_record_text(r->weight_format, "F16");
    jm_record_text(r->weights, "real");
    jm_record_text(r->data_set, "jm-ui");
    jm_record_text(r->data_sha256, "bb");
    jm_record_text(r->host_cpu, "Test CPU");
    jm_record_text(r->backend, "cpu");
    jm_record_text(r->device, "Test CPU");
    jm_record_text(r->simd, "avx2");
    jm_record_text(r->scenario, "single-stream");
    r->threads = 2;
    r->batch = 1;
    r->tokens_out_per_s = speed;
    r->queries_per_s = speed / 10.0;
    r->latency_p50_ms = 1e4 / speed;
    r->latency_p99_ms = 3e4 / speed;
    jm_record_text(r->energy_source, "powercap");
    jm_record_text(r->energy_scope, "package");
    set_text(r, "energy_valid", "yes"); /* of later schemas */
    r->energy_j_per_query = 200.0 / speed;
    jm_record_text(r->quality_metric, "chrF2++");
    jm_record_text(r->quality_valid, "yes");
    r->quality_value = 50.0;
    r->quality_worst = 40.0;
}

#endif
