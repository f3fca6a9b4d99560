/* SPDX-License-Identifier: Apache-2.0 */
/* See metric.h. Throughput is compared once, in tokens where there are any: the more metrics, the
 * stronger the correction for their number. */
#include "harness/compare/metric.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct jm_metric table[] = {
    { .column = "tokens_out_per_s", .title = "tokens/s", .kind = JM_METRIC_SPEED, .higher = true },
    { .column = "queries_per_s",
      .title = "queries/s",
      .kind = JM_METRIC_SPEED,
      .higher = true,
      .instead = "tokens_out_per_s" },
    { .column = "target_qps", .title = "peak queries/s", .kind = JM_METRIC_SPEED, .higher = true },
    { .column = "latency_p50_ms", .title = "latency p50 ms", .kind = JM_METRIC_LATENCY },
    { .column = "latency_p99_ms", .title = "latency p99 ms", .kind = JM_METRIC_LATENCY },
    { .column = "ttft_p50_ms", .title = "first token ms", .kind = JM_METRIC_LATENCY },
    { .column = "tpot_p50_ms", .title = "ms per token", .kind = JM_METRIC_LATENCY },
    { .column = "energy_j_per_query", .title = "J per query", .kind = JM_METRIC_ENERGY },
    { .column = "quality_value", .title = "quality", .kind = JM_METRIC_QUALITY, .higher = true },
    { .column = "quality_worst",
      .title = "worst language",
      .kind = JM_METRIC_QUALITY,
      .higher = true },
};
enum { N_METRICS = sizeof table / sizeof table[0] };

const struct jm_metric *jm_metrics(size_t *n)
{
    *n = N_METRICS;
    return table;
}

const struct jm_metric *jm_metric_find(const char *column)
{
    for (size_t i = 0; i < N_METRICS; i++)
        if (strcmp(table[i].column, column) == 0)
            return &table[i];
    return NULL;
}

double jm_metric_value(const struct jm_metric *m, const struct jm_record *r)
{
    const struct jm_column *c = jm_column_find(m->column);
    const struct jm_column *other = m->instead ? jm_column_find(m->instead) : NULL;
    const struct jm_column *probes = jm_column_find("peak_probes");
    if (strcmp(m->column, "target_qps") == 0 && (!probes || isnan(jm_column_number(probes, r))))
        return NAN; /* the rate was given, not found */
    if (!c || (m->kind == JM_METRIC_LATENCY && strcmp(r->scenario, "offline") == 0) ||
        (other && !isnan(jm_column_number(other, r))))
        return NAN;
    return jm_column_number(c, r);
}

const struct jm_column *jm_column_find(const char *name)
{
    size_t n;
    const struct jm_column *c = jm_columns(&n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(c[i].name, name) == 0)
            return &c[i];
    return NULL;
}

double jm_column_number(const struct jm_column *c, const struct jm_record *r)
{
    const char *at = (const char *)r + c->offset;
    double v = NAN;
    uint64_t u = JM_U64_EMPTY;
    if (c->kind == JM_COLUMN_DOUBLE)
        memcpy(&v, at, sizeof v);
    if (c->kind == JM_COLUMN_U64)
        memcpy(&u, at, sizeof u);
    return u == JM_U64_EMPTY ? v : (double)u;
}

void jm_column_print(const struct jm_column *c, const struct jm_record *r, char out[JM_TEXT_BYTES])
{
    const char *at = (const char *)r + c->offset;
    double v = jm_column_number(c, r);
    uint64_t u = 0;
    out[0] = '\0';
    if (c->kind == JM_COLUMN_TEXT) {
        memcpy(out, at, JM_TEXT_BYTES);
    } else if (c->kind == JM_COLUMN_U64 && !isnan(v)) {
        memcpy(&u, at, sizeof u);
        (void)snprintf(out, JM_TEXT_BYTES, "%" PRIu64, u);
    } else if (!isnan(v)) {
        (void)snprintf(out, JM_TEXT_BYTES, "%.9g", v);
    }
    for (char *s = out; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 127)
            *s = ' ';
}
