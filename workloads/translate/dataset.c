/* SPDX-License-Identifier: Apache-2.0 */
/* Rows are sorted by id and language to find repeats, and then put back into the file's order, one
 * segment an id. */
#include "workloads/translate/dataset.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "workloads/rows.h"

struct segment {
    size_t first, rows; /* in jm_dataset.rows */
    size_t line;        /* of its first row in the file */
    const char *source;
};

struct jm_dataset {
    jm_row_list rows;        /* sorted by id, then language */
    struct segment *segment; /* [segments], in the file's order */
    size_t segments;
    const char *lang[JM_DATASET_LANGS];
    size_t langs;
};

void jm_dataset_close(jm_dataset *ds)
{
    if (!ds)
        return;
    jm_rows_free(&ds->rows);
    free(ds->segment);
    free(ds);
}

static int by_id_and_lang(const void *a, const void *b)
{
    const struct jm_row *x = a, *y = b;
    int c = strcmp(x->field[JM_ROW_ID], y->field[JM_ROW_ID]);

    if (c == 0)
        c = strcmp(x->field[JM_ROW_LANG], y->field[JM_ROW_LANG]);
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
    for (size_t i = 0; i < ds->rows.n; i++) {
        const char *lang = ds->rows.row[i].field[JM_ROW_LANG];
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
    ds->segment = calloc(ds->rows.n, sizeof *ds->segment);
    if (!ds->segment)
        return jm_fail(err, JM_ENOMEM, "%s: out of memory", path);
    for (size_t i = 0; i < ds->rows.n; i++) {
        const struct jm_row *row = &ds->rows.row[i], *last = i ? row - 1 : NULL;
        bool same = last && strcmp(last->field[JM_ROW_ID], row->field[JM_ROW_ID]) == 0;
        if (same && strcmp(last->field[JM_ROW_LANG], row->field[JM_ROW_LANG]) == 0)
            return jm_fail(err, JM_EINPUT, "%s:%zu: id %s has text in %s already, at line %zu",
                           path, row->line, row->field[JM_ROW_ID], row->field[JM_ROW_LANG],
                           last->line);
        if (!same)
            ds->segment[ds->segments++] = (struct segment){ .first = i, .line = row->line };
        struct segment *s = &ds->segment[ds->segments - 1];
        s->rows++;
        if (row->line < s->line)
            s->line = row->line;
        if (strcmp(row->field[JM_ROW_LANG], "en") == 0)
            s->source = row->field[JM_ROW_TEXT];
    }
    qsort(ds->segment, ds->segments, sizeof *ds->segment, by_line);
    for (size_t i = 0; i < ds->segments; i++)
        if (!ds->segment[i].source)
            return jm_fail(err, JM_EINPUT, "%s:%zu: id %s has no English text (lang en)", path,
                           ds->segment[i].line,
                           ds->rows.row[ds->segment[i].first].field[JM_ROW_ID]);
    return JM_OK;
}

static jm_status load(jm_dataset *ds, const char *path, jm_err *err)
{
    jm_status st = jm_rows_read(path, &ds->rows, err);
    if (st == JM_OK)
        st = find_languages(ds, path, err);
    if (st != JM_OK)
        return st;
    qsort(ds->rows.row, ds->rows.n, sizeof *ds->rows.row, by_id_and_lang);
    return make_segments(ds, path, err);
}

jm_status jm_dataset_open(const char *path, jm_dataset **out, jm_err *err)
{
    *out = NULL;
    jm_dataset *ds = calloc(1, sizeof *ds);
    if (!ds)
        return jm_fail(err, JM_ENOMEM, "%s: out of memory", path);
    jm_status st = load(ds, path, err);
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
    return segment < ds->segments ? ds->rows.row[ds->segment[segment].first].field[JM_ROW_ID]
                                  : NULL;
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
        if (strcmp(ds->rows.row[i].field[JM_ROW_LANG], lang) == 0)
            return ds->rows.row[i].field[JM_ROW_TEXT];
    return NULL;
}

const char *jm_dataset_sha256(const jm_dataset *ds)
{
    return ds->rows.sha256;
}
