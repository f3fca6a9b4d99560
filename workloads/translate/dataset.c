/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a translation data set with libcsv in strict mode. Rows are collected, sorted by id and
 * language to find repeats, and then put back into the file's order, one segment an id. */
#include "workloads/translate/dataset.h"

#include <csv.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "workloads/translate/text.h"

enum { COLUMNS = 3 };

struct row {
    char *field[COLUMNS]; /* id, lang, text; owned */
    size_t line;          /* of the file, from 1 */
};

struct segment {
    size_t first, rows; /* in jm_dataset.row */
    size_t line;        /* of its first row in the file */
    const char *source;
};

struct jm_dataset {
    struct row *row; /* [rows], sorted by id, then language */
    size_t rows, row_room;
    struct segment *segment; /* [segments], in the file's order */
    size_t segments;
    const char *lang[JM_DATASET_LANGS];
    size_t langs;
    char sha256[JM_SHA256_HEX];
};

/* State of the parse. */
struct reader {
    jm_dataset *ds;
    const char *path;
    jm_err *err;
    jm_status st;
    size_t line;     /* being fed */
    size_t row_line; /* where the row began */
    size_t column;
    bool header_done;
    struct row row; /* being filled */
};

static const char *const column_name[COLUMNS] = { "id", "lang", "text" };

static void row_free(struct row *r)
{
    for (size_t i = 0; i < COLUMNS; i++)
        free(r->field[i]);
    *r = (struct row){ .line = 0 };
}

void jm_dataset_close(jm_dataset *ds)
{
    if (!ds)
        return;
    for (size_t i = 0; i < ds->rows; i++)
        row_free(&ds->row[i]);
    free(ds->row);
    free(ds->segment);
    free(ds);
}

static bool valid_utf8(const char *s, size_t bytes)
{
    uint32_t code;

    for (size_t at = 0, len; at < bytes; at += len) {
        len = jm_utf8_next(s + at, bytes - at, &code);
        if (len == 0 || code == 0)
            return false;
    }
    return true;
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
    static const size_t most[COLUMNS] = { JM_DATASET_NAME_BYTES, JM_DATASET_LANG_BYTES,
                                          JM_DATASET_TEXT_BYTES };
    size_t c = r->column;

    if (c >= COLUMNS)
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
    jm_dataset *ds = r->ds;

    if (ds->rows >= JM_DATASET_ROWS)
        return jm_fail(r->err, JM_EINPUT, "%s: more than %d rows", r->path, JM_DATASET_ROWS);
    if (ds->rows == ds->row_room) {
        size_t room = ds->row_room ? ds->row_room * 2 : 256, bytes;
        struct row *row = jm_mul_size(room, sizeof *row, &bytes) ? realloc(ds->row, bytes) : NULL;
        if (!row)
            return jm_fail(r->err, JM_ENOMEM, "%s: out of memory", r->path);
        ds->row = row;
        ds->row_room = room;
    }
    r->row.line = r->row_line;
    ds->row[ds->rows++] = r->row;
    r->row = (struct row){ .line = 0 };
    return JM_OK;
}

static void on_row(int end, void *user)
{
    struct reader *r = user;

    (void)end; /* the character that ended the row */
    if (r->st != JM_OK)
        return;
    if (r->column != COLUMNS)
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
    size_t at = 0;

    if (bytes >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
        at = 3; /* a byte order mark, as spreadsheets write */
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

static int by_id_and_lang(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    int c = strcmp(x->field[0], y->field[0]);

    if (c == 0)
        c = strcmp(x->field[1], y->field[1]);
    return c ? c : (x->line > y->line) - (x->line < y->line);
}

static int by_line(const void *a, const void *b)
{
    const struct segment *x = a, *y = b;
    return (x->line > y->line) - (x->line < y->line);
}

/* Notes the languages in the order of the file; run before rows are sorted. */
static jm_status find_languages(jm_dataset *ds, const char *path, jm_err *err)
{
    for (size_t i = 0; i < ds->rows; i++) {
        const char *lang = ds->row[i].field[1];
        size_t j = 0;
        if (strcmp(lang, "en") == 0)
            continue;
        while (j < ds->langs && strcmp(ds->lang[j], lang) != 0)
            j++;
        if (j < ds->langs)
            continue;
        if (ds->langs == JM_DATASET_LANGS)
            return jm_fail(err, JM_EINPUT, "%s: more than %d languages", path, JM_DATASET_LANGS);
        ds->lang[ds->langs++] = lang;
    }
    return JM_OK;
}

/* Groups sorted rows into segments. */
static jm_status make_segments(jm_dataset *ds, const char *path, jm_err *err)
{
    ds->segment = calloc(ds->rows, sizeof *ds->segment);
    if (!ds->segment)
        return jm_fail(err, JM_ENOMEM, "%s: out of memory", path);
    for (size_t i = 0; i < ds->rows; i++) {
        const struct row *row = &ds->row[i], *last = i ? row - 1 : NULL;
        bool same = last && strcmp(last->field[0], row->field[0]) == 0;
        if (same && strcmp(last->field[1], row->field[1]) == 0)
            return jm_fail(err, JM_EINPUT, "%s:%zu: id %s has text in %s already, at line %zu",
                           path, row->line, row->field[0], row->field[1], last->line);
        if (!same)
            ds->segment[ds->segments++] = (struct segment){ .first = i, .line = row->line };
        struct segment *s = &ds->segment[ds->segments - 1];
        s->rows++;
        if (row->line < s->line)
            s->line = row->line;
        if (strcmp(row->field[1], "en") == 0)
            s->source = row->field[2];
    }
    qsort(ds->segment, ds->segments, sizeof *ds->segment, by_line);
    for (size_t i = 0; i < ds->segments; i++)
        if (!ds->segment[i].source)
            return jm_fail(err, JM_EINPUT, "%s:%zu: id %s has no English text (lang en)", path,
                           ds->segment[i].line, ds->row[ds->segment[i].first].field[0]);
    return JM_OK;
}

static jm_status load(jm_dataset *ds, const char *path, const jm_map *map, jm_err *err)
{
    struct reader r = { .ds = ds, .path = path, .err = err, .st = JM_OK };

    if (map->bytes > JM_DATASET_FILE_BYTES)
        return jm_fail(err, JM_EINPUT, "%s: %zu bytes are more than a data set may have (%d)", path,
                       map->bytes, JM_DATASET_FILE_BYTES);
    jm_sha256(map->data, map->bytes, ds->sha256);
    jm_status st = parse(&r, (const char *)map->data, map->bytes);
    if (st != JM_OK)
        return st;
    if (ds->rows == 0)
        return jm_fail(err, JM_EINPUT, "%s: no data; expected a line id,lang,text and rows", path);
    st = find_languages(ds, path, err);
    if (st != JM_OK)
        return st;
    qsort(ds->row, ds->rows, sizeof *ds->row, by_id_and_lang);
    return make_segments(ds, path, err);
}

jm_status jm_dataset_open(const char *path, jm_dataset **out, jm_err *err)
{
    jm_map map;

    *out = NULL;
    jm_status st = jm_map_open(path, &map, err);
    if (st != JM_OK)
        return st;
    jm_dataset *ds = calloc(1, sizeof *ds);
    st = ds ? load(ds, path, &map, err) : jm_fail(err, JM_ENOMEM, "%s: out of memory", path);
    jm_map_close(&map);
    if (st == JM_OK)
        *out = ds;
    else
        jm_dataset_close(ds);
    return st;
}

size_t jm_dataset_segments(const jm_dataset *ds)
{
    return ds->segments;
}

size_t jm_dataset_languages(const jm_dataset *ds)
{
    return ds->langs;
}

const char *jm_dataset_language(const jm_dataset *ds, size_t language)
{
    return language < ds->langs ? ds->lang[language] : NULL;
}

const char *jm_dataset_id(const jm_dataset *ds, size_t segment)
{
    return segment < ds->segments ? ds->row[ds->segment[segment].first].field[0] : NULL;
}

const char *jm_dataset_source(const jm_dataset *ds, size_t segment)
{
    return segment < ds->segments ? ds->segment[segment].source : NULL;
}

const char *jm_dataset_reference(const jm_dataset *ds, size_t segment, const char *lang)
{
    if (segment >= ds->segments)
        return NULL;
    const struct segment *s = &ds->segment[segment];
    for (size_t i = s->first; i < s->first + s->rows; i++)
        if (strcmp(ds->row[i].field[1], lang) == 0)
            return ds->row[i].field[2];
    return NULL;
}

const char *jm_dataset_sha256(const jm_dataset *ds)
{
    return ds->sha256;
}
