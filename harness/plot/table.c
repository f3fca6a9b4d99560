/* SPDX-License-Identifier: Apache-2.0 */
/* See table.h. */
#include "harness/plot/table.h"

#include <csv.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/number.h"
#include "harness/record/csv.h"

void jm_table_free(struct jm_table *t)
{
    for (size_t i = 0; i < t->cells; i++)
        free(t->cell[i]);
    free(t->cell);
    free(t->row);
    *t = (struct jm_table){ .cell = NULL };
}

static bool grow(void **p, size_t n, size_t *room, size_t size)
{
    size_t more = *room ? *room : 64, bytes;

    if (n < *room)
        return true;
    if (!jm_mul_size(more, 2, &more) || !jm_mul_size(more, size, &bytes))
        return false;
    void *q = realloc(*p, bytes);
    if (!q)
        return false;
    *p = q;
    *room = more;
    return true;
}

static void on_field(void *data, size_t bytes, void *user)
{
    struct jm_table *t = user;
    void *cells = t->cell;
    char *copy = malloc(bytes + 1);

    if (t->failed || !copy || !grow(&cells, t->cells, &t->cell_room, sizeof *t->cell)) {
        t->failed = true;
        free(copy);
        return;
    }
    if (bytes > 0)
        memcpy(copy, data, bytes);
    copy[bytes] = '\0';
    t->cell = cells;
    t->cell[t->cells++] = copy;
}

static void on_row(int end, void *user)
{
    struct jm_table *t = user;
    void *rows = t->row;

    (void)end;
    if (t->failed || !grow(&rows, t->rows + 1, &t->row_room, sizeof *t->row)) {
        t->failed = true;
        return;
    }
    t->row = rows;
    t->row[0] = 0;
    t->row[++t->rows] = t->cells;
}

jm_status jm_table_read(const char *path, struct jm_table *t, jm_err *err)
{
    struct csv_parser p;
    jm_map map;
    jm_status st = jm_map_open(path, &map, err);

    *t = (struct jm_table){ .cell = NULL };
    if (st != JM_OK)
        return st;
    if (csv_init(&p, CSV_STRICT | CSV_STRICT_FINI) != 0) {
        jm_map_close(&map);
        return jm_fail(err, JM_ENOMEM, "%s: out of memory", path);
    }
    size_t mark = jm_byte_order_mark(map.data, map.bytes), left = map.bytes - mark;
    bool ok = left == 0 || csv_parse(&p, map.data + mark, left, on_field, on_row, t) == left;
    ok = ok && csv_fini(&p, on_field, on_row, t) == 0;
    if (t->failed)
        st = jm_fail(err, JM_ENOMEM, "%s: out of memory", path);
    else if (!ok)
        st = jm_fail(err, JM_EINPUT, "%s: %s", path, csv_strerror(csv_error(&p)));
    else if (t->rows < 2)
        st = jm_fail(err, JM_EINPUT, "%s: holds no rows to draw", path);
    csv_free(&p);
    jm_map_close(&map);
    if (st != JM_OK)
        jm_table_free(t);
    return st;
}

const char *jm_table_text(const struct jm_table *t, size_t r, const char *column)
{
    for (size_t c = 0; c < t->row[1]; c++)
        if (strcmp(t->cell[c], column) == 0)
            return c < t->row[r + 1] - t->row[r] ? t->cell[t->row[r] + c] : "";
    return "";
}

double jm_table_number(const struct jm_table *t, size_t r, const char *column)
{
    const char *s = jm_table_text(t, r, column);
    double v;

    return jm_number_real(s, -DBL_MAX, DBL_MAX, &v) ? v : NAN;
}

bool jm_table_varies(const struct jm_table *t, const char *column)
{
    const char *first = "";

    for (size_t r = 1; r < t->rows; r++) {
        const char *v = jm_table_text(t, r, column);
        if (*v && *first && strcmp(v, first) != 0)
            return true;
        if (*v)
            first = v;
    }
    return false;
}

/* Empties the rows of runs that were interrupted or failed: their figures are no results. And those
 * of other workloads than the one wanted. */
static void drop_others(struct jm_table *t, const char *workload)
{
    for (size_t r = 1; r < t->rows; r++) {
        const char *status = jm_table_text(t, r, "status");
        bool wanted = !workload || strcmp(jm_table_text(t, r, "workload"), workload) == 0;
        if (!*status || (wanted && strcmp(status, "complete") == 0))
            continue;
        for (size_t c = t->row[r]; c < t->row[r + 1]; c++)
            t->cell[c][0] = '\0';
    }
}

/* Whether some weight format occurs with more than one model. */
static bool formats_are_shared(const struct jm_table *t)
{
    for (size_t r = 1; r < t->rows; r++) {
        for (size_t q = 1; q < r; q++) {
            if (strcmp(jm_table_text(t, q, "weight_format"),
                       jm_table_text(t, r, "weight_format")) == 0 &&
                strcmp(jm_table_text(t, q, "model"), jm_table_text(t, r, "model")) != 0)
                return true;
        }
    }
    return false;
}

jm_status jm_table_results(const char *path, const char *workload, struct jm_table *t, jm_err *err)
{
    struct jm_record *rows;
    size_t n;
    jm_status st = jm_csv_read(path, &rows, &n, err);

    *t = (struct jm_table){ .cell = NULL };
    if (st != JM_OK)
        return st;
    free(rows);
    st = jm_table_read(path, t, err);
    if (st == JM_OK) {
        drop_others(t, workload);
        t->name_models = formats_are_shared(t);
    }
    return st;
}
