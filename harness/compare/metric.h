/* SPDX-License-Identifier: Apache-2.0 */
/* What is compared: the columns that say how well a run did, and which way is better. */
#ifndef JM_HARNESS_COMPARE_METRIC_H
#define JM_HARNESS_COMPARE_METRIC_H

#include <stdbool.h>
#include <stddef.h>

#include "harness/record/columns.h"

enum jm_metric_kind { JM_METRIC_SPEED, JM_METRIC_LATENCY, JM_METRIC_ENERGY, JM_METRIC_QUALITY };

struct jm_metric {
    const char *column, *title;
    enum jm_metric_kind kind;
    bool higher;         /* is better */
    const char *instead; /* compared only where this column is empty; NULL: always */
};

/* All metrics; *n of them. */
const struct jm_metric *jm_metrics(size_t *n);

/* NULL: no such metric. */
const struct jm_metric *jm_metric_find(const char *column);

/* The metric's value, also of a whole-number column; NAN where it is empty, does not apply to the
 * run (a latency when all queries are issued at once) or another is compared instead. */
double jm_metric_value(const struct jm_metric *m, const struct jm_record *r);

/* ---- columns by name ---- */

/* NULL: no such column. */
const struct jm_column *jm_column_find(const char *name);

/* A number of any column; NAN where it is empty or text. */
double jm_column_number(const struct jm_column *c, const struct jm_record *r);

/* Any column as one printable line, "" where empty: control characters become blanks. */
void jm_column_print(const struct jm_column *c, const struct jm_record *r, char out[JM_TEXT_BYTES]);

#endif
