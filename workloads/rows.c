/* SPDX-License-Identifier: Apache-2.0 */
/* See rows.h. libcsv in strict mode. */
#include "workloads/rows.h"

#include <csv.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "workloads/model/utf8.h"

/* State of the parse. */
struct reader {
    jm_row_list *rows;
    const char *path;
    jm_err *err;
    jm_status st;
    size_t line;     /* being fed */
    size_t row_line; /* where the row began */
    size_t column;
    bool header_done;
    struct jm_row row; /* being filled */
};

static const char *const column_name[JM_ROW_FIELDS] = { "id", "lang", "text" };

static void row_free(struct jm_row *r)
{
    for (size_t i = 0; i < JM_ROW_FIELDS; i++)
        free(r->field[i]);
    *r = (struct jm_row){ .line = 0 };
}

void jm_rows_free(jm_row_list *rows)
{
    for (size_t i = 0; i < rows->n; i++)
        row_free(&rows->row[i]);
    free(rows->row);
    *rows = (jm_row_list){ .n = 0 };
}

static bool valid_utf8(const char *s, size_t bytes)
{
    return !memchr(s, '\0', bytes) && jm_utf8_valid((const uint8_t *)s, bytes) == bytes;
}

static bool valid_lang(const char *s, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') ||
              (s[i] >= '0' && s[i] <= '9') || s[i] == '-'))
            return false;
    return true;
}

static jm_status check_field(const struct reader *r, const char *s, size_t bytes)
{
    static const size_t most[JM_ROW_FIELDS] = { JM_ROWS_NAME_BYTES, JM_ROWS_LANG_BYTES,
                                                JM_ROWS_TEXT_BYTES };
    size_t c = r->column;

    if (c >= JM_ROW_FIELDS)
        return jm_fail(r->err, JM_EINPUT,
                       "%s:%zu: more than three fields; put text with commas in quotes", r->path,
                       r->row_line);
    if (bytes == 0)
        return jm_fail(r->err, JM_EINPUT, "%s:%zu: the %s is empty", r->path, r->row_line,
                       column_name[c]);
    if (bytes > most[c])
        return jm_fail(r->err, JM_EINPUT, "%s:%zu: the %s has %zu bytes, more than %zu", r->path,
                       r->row_line, column_name[c], bytes, most[c]);
    if (!valid_utf8(s, bytes))
        return jm_fail(r->err, JM_EINPUT,
                       "%s:%zu: the %s is not UTF-8; convert the file, for example with iconv",
                       r->path, r->line, column_name[c]);
    if (!r->header_done && strcmp(s, column_name[c]) != 0)
        return jm_fail(r->err, JM_EINPUT, "%s:%zu: the first line must be id,lang,text", r->path,
                       r->row_line);
    if (r->header_done && c == 1 && !valid_lang(s, bytes))
        return jm_fail(r->err, JM_EINPUT,
                       "%s:%zu: '%s' is no language code of letters, digits and '-'", r->path,
                       r->row_line, s);
    return JM_OK;
}

static void on_field(void *data, size_t bytes, void *user)
{
    struct reader *r = user;
    const char *s = data ? data : ""; /* libcsv terminates it (CSV_APPEND_NULL) */

    if (r->st != JM_OK)
        return;
    if (r->column == 0)
        r->row_line = r->line;
    r->st = check_field(r, s, bytes);
    if (r->st != JM_OK)
        return;
    char *copy = malloc(bytes + 1);
    if (!copy) {
        r->st = jm_fail(r->err, JM_ENOMEM, "%s: out of memory", r->path);
        return;
    }
    memcpy(copy, s, bytes);
    copy[bytes] = '\0';
    r->row.field[r->column++] = copy;
}

/* Moves the finished row into the data set. */
static jm_status keep_row(struct reader *r)
{
    jm_row_list *rows = r->rows;

    if (rows->n >= JM_ROWS_MAX)
        return jm_fail(r->err, JM_EINPUT, "%s: more than %d rows", r->path, JM_ROWS_MAX);
    if (rows->n == rows->room) {
        size_t room = rows->room ? rows->room * 2 : 256, bytes;
        struct jm_row *row =
            jm_mul_size(room, sizeof *row, &bytes) ? realloc(rows->row, bytes) : NULL;
        if (!row)
            return jm_fail(r->err, JM_ENOMEM, "%s: out of memory", r->path);
        rows->row = row;
        rows->room = room;
    }
    r->row.line = r->row_line;
    rows->row[rows->n++] = r->row;
    r->row = (struct jm_row){ .line = 0 };
    return JM_OK;
}

static void on_row(int end, void *user)
{
    struct reader *r = user;

    (void)end; /* the character that ended the row */
    if (r->st != JM_OK)
        return;
    if (r->column != JM_ROW_FIELDS)
        r->st = jm_fail(r->err, JM_EINPUT, "%s:%zu: %zu fields instead of id,lang,text", r->path,
                        r->row_line, r->column);
    else if (r->header_done)
        r->st = keep_row(r);
    else
        row_free(&r->row);
    r->header_done = true;
    r->column = 0;
}

/* Feeds the parser line by line, so that its callbacks know where they are. */
static jm_status parse(struct reader *r, const char *data, size_t bytes)
{
    struct csv_parser p;
    size_t at = jm_byte_order_mark(data, bytes); /* as spreadsheets write it */

    if (csv_init(&p, CSV_STRICT | CSV_STRICT_FINI | CSV_APPEND_NULL) != 0)
        return jm_fail(r->err, JM_ENOMEM, "%s: out of memory", r->path);
    while (at < bytes && r->st == JM_OK) {
        const char *nl = memchr(data + at, '\n', bytes - at);
        size_t len = nl ? (size_t)(nl - (data + at)) + 1 : bytes - at;
        r->line++;
        if (csv_parse(&p, data + at, len, on_field, on_row, r) != len && r->st == JM_OK)
            r->st = jm_fail(r->err, JM_EINPUT, "%s:%zu: %s", r->path, r->line,
                            csv_strerror(csv_error(&p)));
        at += len;
    }
    if (r->st == JM_OK && csv_fini(&p, on_field, on_row, r) != 0 && r->st == JM_OK)
        r->st = jm_fail(r->err, JM_EINPUT, "%s:%zu: a quoted field is not closed", r->path,
                        r->row_line ? r->row_line : 1);
    csv_free(&p);
    row_free(&r->row);
    return r->st;
}

static jm_status read_map(jm_row_list *rows, const char *path, const jm_map *map, jm_err *err)
{
    struct reader r = { .rows = rows, .path = path, .err = err, .st = JM_OK };

    if (map->bytes > JM_ROWS_FILE_BYTES)
        return jm_fail(err, JM_EINPUT, "%s: %zu bytes are more than a data set may have (%d)", path,
                       map->bytes, JM_ROWS_FILE_BYTES);
    jm_status st = jm_sha256(map->data, map->bytes, rows->sha256, err);
    if (st == JM_OK)
        st = parse(&r, (const char *)map->data, map->bytes);
    if (st == JM_OK && rows->n == 0)
        st = jm_fail(err, JM_EINPUT, "%s: no data; expected a line id,lang,text and rows", path);
    return st;
}

jm_status jm_rows_read(const char *path, jm_row_list *out, jm_err *err)
{
    jm_map map;

    *out = (jm_row_list){ .n = 0 };
    jm_status st = jm_map_open(path, &map, err);
    if (st != JM_OK)
        return st;
    st = read_map(out, path, &map, err);
    jm_map_close(&map);
    if (st != JM_OK)
        jm_rows_free(out);
    return st;
}
