/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the results file through libcsv. The parser's callbacks cannot stop it, so the first
 * failure is kept and the rest is skipped. */
#include "harness/record/csv.h"

#include <csv.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/number.h"

enum { MAX_BYTES = 64 << 20, MAX_ROWS = 10000, MAX_COLUMNS = 256 };

struct reader {
    const char *path;
    jm_err *err;
    jm_status st;
    const struct jm_column *column; /* [n_columns] */
    size_t n_columns;
    size_t order[MAX_COLUMNS]; /* field number to column */
    size_t n_header;           /* fields of the header so far */
    bool in_header;
    size_t field, line; /* field of this row; row number from 1, the header's */
    struct jm_record *rows;
    size_t n, capacity;
};

static void on_header(struct reader *r, const char *s, size_t len)
{
    for (size_t i = 0; i < r->n_columns; i++) {
        if (strlen(r->column[i].name) != len || memcmp(r->column[i].name, s, len) != 0)
            continue;
        for (size_t k = 0; k < r->n_header; k++)
            if (r->order[k] == i) {
                r->st = jm_fail(r->err, JM_EINPUT, "%s: column %s appears twice", r->path,
                                r->column[i].name);
                return;
            }
        r->order[r->n_header++] = i;
        return;
    }
    /* A newer file may have columns of its own; its version is only in the rows. */
    if (r->n_header >= MAX_COLUMNS)
        r->st = jm_fail(r->err, JM_EINPUT, "%s: more than %d columns", r->path, MAX_COLUMNS);
    else
        r->order[r->n_header++] = SIZE_MAX;
}

static bool parse_number(const struct jm_column *c, const char *s, void *dst)
{
    if (c->kind == JM_COLUMN_U64) {
        uint64_t v = JM_U64_EMPTY;
        if (*s && !jm_number_u64(s, 0, JM_U64_EMPTY - 1, &v))
            return false;
        memcpy(dst, &v, sizeof v);
        return true;
    }
    double v = NAN;
    if (*s && !jm_number_real(s, -DBL_MAX, DBL_MAX, &v))
        return false;
    memcpy(dst, &v, sizeof v);
    return true;
}

static void check_version(struct reader *r, const char *s)
{
    uint64_t v;
    if (!jm_number_u64(s, 1, UINT64_MAX, &v))
        r->st = jm_fail(r->err, JM_EINPUT, "%s: row %zu: schema_version is not a version", r->path,
                        r->line);
    else if (v > JM_SCHEMA_VERSION)
        r->st = jm_fail(r->err, JM_EUNSUPPORTED,
                        "%s: row %zu has schema version %" PRIu64 " and this joulemark reads up to "
                        "%d; use a joulemark that writes schema %" PRIu64 " or newer",
                        r->path, r->line, v, JM_SCHEMA_VERSION, v);
}

static void on_value(struct reader *r, const char *s, size_t len)
{
    if (r->field >= r->n_header) {
        r->st = jm_fail(r->err, JM_EINPUT, "%s: row %zu has more than the header's %zu fields",
                        r->path, r->line, r->n_header);
        return;
    }
    size_t i = r->order[r->field++];
    if (i == SIZE_MAX)
        return;
    const struct jm_column *c = &r->column[i];
    char *dst = (char *)&r->rows[r->n] + c->offset;
    if (len >= JM_TEXT_BYTES || memchr(s, 0, len)) {
        r->st = jm_fail(r->err, JM_EINPUT, "%s: row %zu: %s is longer than %d bytes or has a NUL",
                        r->path, r->line, c->name, JM_TEXT_BYTES - 1);
        return;
    }
    if (c->kind == JM_COLUMN_TEXT) {
        memcpy(dst, s, len);
        dst[len] = 0;
    } else if (c->offset == offsetof(struct jm_record, schema_version)) {
        check_version(r, s);
        if (r->st == JM_OK)
            (void)parse_number(c, s, dst);
    } else if (!parse_number(c, s, dst)) {
        r->st = jm_fail(r->err, JM_EINPUT, "%s: row %zu: %s is not a number: \"%.40s\"", r->path,
                        r->line, c->name, s);
    }
}

static void grow(struct reader *r)
{
    if (r->n >= MAX_ROWS) {
        r->st = jm_fail(r->err, JM_EINPUT, "%s: more than %d rows; start a new file", r->path,
                        MAX_ROWS);
        return;
    }
    if (r->n == r->capacity) {
        size_t want = r->capacity ? r->capacity * 2 : 16;
        struct jm_record *p = realloc(r->rows, want * sizeof *p);
        if (!p) {
            r->st = jm_fail(r->err, JM_ENOMEM, "%s: no memory for %zu rows", r->path, want);
            return;
        }
        r->rows = p;
        r->capacity = want;
    }
    jm_record_clear(&r->rows[r->n]);
}

static void on_field(void *s, size_t len, void *user)
{
    struct reader *r = user;
    if (r->st != JM_OK)
        return;
    if (r->in_header) {
        on_header(r, s, len);
        return;
    }
    if (r->field == 0)
        grow(r);
    if (r->st == JM_OK)
        on_value(r, s, len);
}

/* Rows of an older schema lack columns that came later; those are empty. */
static bool rows_are_older(const struct reader *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->rows[i].schema_version >= JM_SCHEMA_VERSION)
            return false;
    return r->n > 0;
}

/* Unknown columns are an error only here, where no row said that the file is newer. */
static void check_header(struct reader *r)
{
    bool older = rows_are_older(r);
    size_t known = 0;
    bool have[MAX_COLUMNS] = { false };
    for (size_t k = 0; k < r->n_header; k++)
        if (r->order[k] != SIZE_MAX) {
            have[r->order[k]] = true;
            known++;
        }
    for (size_t i = 0; i < r->n_columns && r->st == JM_OK; i++)
        if (!have[i] &&
            (!older || r->column[i].offset == offsetof(struct jm_record, schema_version)))
            r->st = jm_fail(r->err, JM_EINPUT,
                            "%s: no results of 'joulemark run': the header lacks column %s",
                            r->path, r->column[i].name);
    if (r->st == JM_OK && r->n_header != known)
        r->st = jm_fail(r->err, JM_EINPUT, "%s: the header has columns that schema %d does not",
                        r->path, JM_SCHEMA_VERSION);
}

static void on_row(int c, void *user)
{
    (void)c;
    struct reader *r = user;
    if (r->st != JM_OK)
        return;
    if (!r->in_header) {
        if (r->field != r->n_header)
            r->st = jm_fail(r->err, JM_EINPUT, "%s: row %zu has %zu fields and the header %zu",
                            r->path, r->line, r->field, r->n_header);
        else
            r->n++;
    }
    r->in_header = false;
    r->field = 0;
    r->line++;
}

static int no_space(unsigned char c)
{
    (void)c;
    return 0; /* RFC 4180: spaces belong to a field */
}

static void parse(struct reader *r, const jm_map *map)
{
    struct csv_parser p;
    if (csv_init(&p, CSV_STRICT | CSV_STRICT_FINI | CSV_APPEND_NULL) != 0) {
        r->st = jm_fail(r->err, JM_ENOMEM, "%s: no memory for the CSV parser", r->path);
        return;
    }
    csv_set_space_func(&p, no_space);
    size_t mark = jm_byte_order_mark(map->data, map->bytes);
    size_t done = mark + csv_parse(&p, map->data + mark, map->bytes - mark, on_field, on_row, r);
    if ((done != map->bytes || csv_fini(&p, on_field, on_row, r) != 0) && r->st == JM_OK)
        r->st = jm_fail(r->err, csv_error(&p) == CSV_ENOMEM ? JM_ENOMEM : JM_EINPUT,
                        "%s: row %zu: not valid CSV: %s", r->path, r->line,
                        csv_strerror(csv_error(&p)));
    csv_free(&p);
}

jm_status jm_csv_read(const char *path, struct jm_record **rows, size_t *n, jm_err *err)
{
    *rows = NULL;
    *n = 0;
    jm_map map;
    jm_status st = jm_map_open(path, &map, err);
    if (st != JM_OK)
        return st;
    struct reader r = { .path = path, .err = err, .in_header = true, .line = 1 };
    r.column = jm_columns(&r.n_columns);
    if (map.bytes == 0)
        r.st = jm_fail(err, JM_EINPUT, "%s: empty; a results file starts with a header", path);
    else if (map.bytes > MAX_BYTES)
        r.st = jm_fail(err, JM_EINPUT, "%s: larger than 64 MiB; start a new file", path);
    else
        parse(&r, &map);
    jm_map_close(&map);
    if (r.st == JM_OK)
        check_header(&r);
    if (r.st != JM_OK || r.n == 0) {
        free(r.rows);
        return r.st;
    }
    *rows = r.rows;
    *n = r.n;
    return JM_OK;
}

static void write_field(FILE *f, const struct jm_column *c, const struct jm_record *row)
{
    const char *src = (const char *)row + c->offset;
    char buf[40] = "";
    if (c->kind == JM_COLUMN_TEXT) {
        (void)csv_fwrite(f, src, strnlen(src, JM_TEXT_BYTES - 1));
        return;
    }
    if (c->kind == JM_COLUMN_U64) {
        uint64_t v;
        memcpy(&v, src, sizeof v);
        if (v != JM_U64_EMPTY)
            (void)snprintf(buf, sizeof buf, "%llu", (unsigned long long)v);
    } else {
        double v;
        memcpy(&v, src, sizeof v);
        /* The fewest digits that read back as the same number. */
        for (int digits = 15; isfinite(v) && digits <= 17; digits++) {
            (void)snprintf(buf, sizeof buf, "%.*g", digits, v);
            double back = strtod(buf, NULL);
            if (memcmp(&back, &v, sizeof v) == 0)
                break;
        }
    }
    (void)csv_fwrite(f, buf, strlen(buf));
}

jm_status jm_csv_write(const char *path, const struct jm_record *rows, size_t n, jm_err *err)
{
    jm_writer w;
    jm_status st = jm_writer_open(path, &w, err);
    if (st != JM_OK)
        return st;
    size_t n_columns;
    const struct jm_column *c = jm_columns(&n_columns);
    for (size_t i = 0; i < n_columns; i++) {
        (void)csv_fwrite(w.f, c[i].name, strlen(c[i].name));
        (void)fputc(i + 1 < n_columns ? ',' : '\n', w.f);
    }
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < n_columns; i++) {
            write_field(w.f, &c[i], &rows[k]);
            (void)fputc(i + 1 < n_columns ? ',' : '\n', w.f);
        }
    return jm_writer_commit(&w, err);
}

static jm_status append(const char *path, const struct jm_record *row, jm_err *err)
{
    struct jm_record *rows;
    size_t n;
    jm_err read_err = { .status = JM_OK };
    jm_status st = jm_csv_read(path, &rows, &n, &read_err);
    if (st == JM_ENOTFOUND)
        return jm_csv_write(path, row, 1, err);
    if (st != JM_OK)
        return jm_fail(err, st, "%s", read_err.text);
    struct jm_record *all = realloc(rows, (n + 1) * sizeof *all);
    if (!all) {
        free(rows);
        return jm_fail(err, JM_ENOMEM, "%s: no memory for %zu rows", path, n + 1);
    }
    all[n] = *row;
    st = jm_csv_write(path, all, n + 1, err);
    free(all);
    return st;
}

jm_status jm_csv_append(const char *path, const struct jm_record *row, jm_err *err)
{
    int lock = jm_lock_beside(path);
    jm_status st = append(path, row, err);
    if (lock >= 0)
        close(lock);
    return st;
}
