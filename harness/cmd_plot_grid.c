/* SPDX-License-Identifier: Apache-2.0 */
/* See cmd_plot_grid.h. */
#include "harness/cmd_plot_grid.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "harness/plot/plot.h"
#include "workloads/imagegen/png.h"

/* A caption has so many lines of so many letters at most. A letter has up to 4 bytes, and there may
 * be an ellipsis. */
enum { GAP = 4, MAX_PIXELS = 1 << 24, LINES = 5, LINE = 14, LINE_BYTES = 4 * LINE + 4 };
enum { CAPTION = 256 };

void jm_grid_add(struct jm_grid *g, const char *label, char *folder)
{
    (void)snprintf(g->row[g->n].label, JM_GRID_LABEL, "%s", label);
    g->row[g->n++].folder = folder;
}

void jm_grid_free(struct jm_grid *g)
{
    for (size_t i = 0; i < g->n; i++)
        free(g->row[i].folder);
    g->n = 0;
}

/* Pictures 0..n-1 of a row that can be read and have the first's size. */
static uint32_t read_row(const char *folder, uint32_t most, jm_image *out)
{
    uint32_t n = 0;
    for (; n < most; n++) {
        char *path = folder ? jm_asprintf("%s/answers/%u.png", folder, n) : NULL;
        jm_status st = path ? jm_png_read(path, MAX_PIXELS, &out[n], NULL) : JM_ENOMEM;
        free(path);
        if (st != JM_OK)
            break;
        if (out[n].width != out[0].width || out[n].height != out[0].height) {
            jm_image_free(&out[n]);
            break;
        }
    }
    return n;
}

/* Bytes of the UTF-8 character at s, and how many letters wide it is: Chinese and emoji are two. */
static size_t character(const char *s, size_t *wide)
{
    size_t n = 1;
    while (((unsigned char)s[n] & 0xc0) == 0x80)
        n++;
    *wide = (unsigned char)*s >= 0xe3 ? 2 : 1;
    return n;
}

/* Bytes of s that go into a line of LINE letters: up to a blank where there is one, else as many
 * characters as fit. */
static size_t line_bytes(const char *s)
{
    size_t at = 0, letters = 0, blank = 0, wide;
    while (s[at]) {
        size_t n = character(s + at, &wide);
        if (s[at] == ' ')
            blank = at;
        if (letters + wide > LINE)
            return blank > 0 ? blank : at;
        letters += wide;
        at += n;
    }
    return at;
}

/* Cuts text into lines and returns how many; what is left after LINES of them is an ellipsis. */
static size_t wrap(const char *text, char out[LINES][LINE_BYTES])
{
    size_t n = 0;
    while (n < LINES && *text) {
        size_t bytes = line_bytes(text);
        const char *rest = text + bytes + strspn(text + bytes, " ");
        (void)snprintf(out[n], LINE_BYTES, "%.*s%s", (int)bytes, text,
                       n == LINES - 1 && *rest ? "\xe2\x80\xa6" : "");
        text = rest;
        n++;
    }
    return n;
}

/* The captions of samples 0..columns-1 above their pictures: a block of lowest lines, one of those
 * above them, and so on. */
static void write_captions(const struct jm_grid *g, const jm_image *first, uint32_t columns,
                           uint32_t top, FILE *f)
{
    struct jm_table t = { .rows = 0 };
    char *path = jm_asprintf("%s/captions.csv", g->row[0].folder);
    bool have = path && jm_table_read(path, &t, NULL) == JM_OK;
    for (size_t level = 0; level < LINES; level++) {
        fputs("\n\n? ? \"\"\n", f);
        for (size_t r = 1; have && r < t.rows; r++) {
            char text[CAPTION], line[LINES][LINE_BYTES];
            double k = jm_table_number(&t, r, "index");
            if (!(k >= 0 && k < columns))
                continue;
            (void)snprintf(text, sizeof text, "%s", jm_table_text(&t, r, "text"));
            jm_plot_clean(text);
            size_t n = wrap(text, line);
            if (level < n)
                (void)fprintf(f, "%.1f %u \"%s\"\n",
                              GAP + k * (first->width + GAP) + first->width / 2.0, top,
                              line[n - 1 - level]);
        }
    }
    if (have)
        jm_table_free(&t);
    free(path);
}

/* images: [n, columns]. */
static size_t write_sheet(const struct jm_grid *g, const jm_image *images, uint32_t columns,
                          FILE *f, const char *path)
{
    jm_image sheet;
    char *png = jm_asprintf("%s.png", path);
    size_t rows = g->n;
    if (!png ||
        jm_image_sheet(images, (uint32_t)rows * columns, columns, GAP, &sheet, NULL) != JM_OK) {
        free(png);
        return 0;
    }
    for (size_t i = 0; i < rows; i++) {
        double down = GAP + (double)i * (images[0].height + GAP) + images[0].height / 2.0;
        (void)fprintf(f, "0 %.1f \"%s\"\n", sheet.height - down, g->row[i].label);
    }
    write_captions(g, images, columns, sheet.height, f);
    if (jm_png_write(png, &sheet, NULL) != JM_OK)
        rows = 0;
    jm_image_free(&sheet);
    free(png);
    return rows;
}

size_t jm_grid_write(const struct jm_grid *g, FILE *f, const char *path)
{
    static const jm_image none;
    jm_image all[JM_GRID_ROWS * JM_GRID_COLUMNS];
    uint32_t columns = JM_GRID_COLUMNS, have[JM_GRID_ROWS] = { 0 }, n = 0;
    size_t written = 0;
    for (size_t i = 0; i < JM_GRID_ROWS * JM_GRID_COLUMNS; i++)
        all[i] = none;
    for (size_t i = 0; i < g->n; i++) {
        have[i] = read_row(g->row[i].folder, JM_GRID_COLUMNS, all + i * JM_GRID_COLUMNS);
        columns = have[i] < columns ? have[i] : columns;
    }
    if (g->n > 0 && columns > 0) {
        jm_image rows[JM_GRID_ROWS * JM_GRID_COLUMNS];
        for (size_t i = 0; i < g->n; i++)
            for (uint32_t k = 0; k < columns; k++)
                rows[n++] = all[i * JM_GRID_COLUMNS + k];
        written = write_sheet(g, rows, columns, f, path);
    }
    for (size_t i = 0; i < JM_GRID_ROWS * JM_GRID_COLUMNS; i++)
        jm_image_free(&all[i]);
    return written;
}
