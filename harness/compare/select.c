/* SPDX-License-Identifier: Apache-2.0 */
/* See select.h. */
#include "harness/compare/select.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/compare/metric.h"
#include "harness/record/csv.h"

void jm_run_objection(const struct jm_record *r, char out[512])
{
    char id[JM_TEXT_BYTES], status[JM_TEXT_BYTES], why[JM_TEXT_BYTES];
    out[0] = '\0';
    if (strcmp(r->status, "complete") == 0)
        return;
    jm_column_print(jm_column_find("run_id"), r, id);
    jm_column_print(jm_column_find("status"), r, status);
    jm_column_print(jm_column_find("status_reason"), r, why);
    (void)snprintf(out, 512, "run %.100s: status is %.60s%s%.200s", *id ? id : "(no id)",
                   *status ? status : "(empty)", *why ? ": " : "", why);
}

static int by_id(const void *x, const void *y)
{
    const struct jm_record *const *a = x, *const *b = y;
    return strcmp((*a)->run_id, (*b)->run_id);
}

/* malloc'd; NULL: no memory. */
static const struct jm_record **sorted_by_id(const struct jm_runs *r)
{
    const struct jm_record **p = calloc(r->n + 1, sizeof *p);
    if (p && r->n > 0) {
        memcpy(p, r->row, r->n * sizeof *p);
        qsort(p, r->n, sizeof *p, by_id);
    }
    return p;
}

jm_status jm_run_shared(const struct jm_runs *a, const struct jm_runs *b,
                        const struct jm_record **out, jm_err *err)
{
    const struct jm_record **x = sorted_by_id(a), **y = sorted_by_id(b);
    *out = NULL;
    if (!x || !y) {
        free(x);
        free(y);
        return jm_fail(err, JM_ENOMEM, "out of memory comparing runs");
    }
    for (size_t i = 0, k = a == b ? 1 : 0; i < a->n && k < b->n && !*out;) {
        const int order = strcmp(x[i]->run_id, y[k]->run_id);
        if (order == 0 && x[i]->run_id[0])
            *out = x[i];
        else if (a == b || order == 0)
            i++, k++;
        else if (order < 0)
            i++;
        else
            k++;
    }
    free(x);
    free(y);
    return JM_OK;
}

/* Splits "FIELD=VALUE"; *value points into filter. */
static jm_status parse_filter(const char *filter, const struct jm_column **column,
                              const char **value, jm_err *err)
{
    const char *equals = filter ? strchr(filter, '=') : NULL;
    char name[64];
    *column = NULL;
    *value = "";
    if (!filter)
        return JM_OK;
    if (!equals || (size_t)(equals - filter) >= sizeof name)
        return jm_fail(err, JM_EUSAGE, "'%.64s' is not FIELD=VALUE", filter);
    memcpy(name, filter, (size_t)(equals - filter));
    name[equals - filter] = '\0';
    *column = jm_column_find(name);
    *value = equals + 1;
    if (!*column)
        return jm_fail(err, JM_EUSAGE, "'%.64s' is no column of a results file", name);
    return JM_OK;
}

jm_status jm_side_read(const char *path, const char *filter, struct jm_side *out, jm_err *err)
{
    const struct jm_column *column;
    const char *value;
    *out = (struct jm_side){ .n_rows = 0 };
    jm_status st = parse_filter(filter, &column, &value, err);
    if (st == JM_OK)
        st = jm_csv_read(path, &out->rows, &out->n_rows, err);
    if (st != JM_OK)
        return st;
    out->runs.row = calloc(out->n_rows + 1, sizeof(*out->runs.row));
    if (!out->runs.row)
        return jm_fail(err, JM_ENOMEM, "%s: no memory for %zu rows", path, out->n_rows);
    for (size_t i = 0; i < out->n_rows; i++) {
        char text[JM_TEXT_BYTES], objection[512];
        if (column)
            jm_column_print(column, &out->rows[i], text);
        if (column && strcmp(text, value) != 0)
            continue;
        jm_run_objection(&out->rows[i], objection);
        if (!*objection)
            out->runs.row[out->runs.n++] = &out->rows[i];
        else if (out->left_out++ == 0)
            memcpy(out->reason, objection, sizeof objection);
    }
    const struct jm_record *twice;
    st = jm_run_shared(&out->runs, &out->runs, &twice, err);
    if (st == JM_OK && twice)
        st = jm_fail(err, JM_EINPUT, "%s: run %.100s stands in it twice; keep it once", path,
                     twice->run_id);
    return st;
}

void jm_side_free(struct jm_side *s)
{
    free(s->rows);
    free(s->runs.row);
    *s = (struct jm_side){ .n_rows = 0 };
}
