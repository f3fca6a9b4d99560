/* SPDX-License-Identifier: Apache-2.0 */
/* See tiles.h. */
#include "workloads/imagegen/tiles.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "workloads/imagegen/png.h"
#include "workloads/imagegen/similarity.h"

enum { MAX_PIXELS = 1 << 24 };

void jm_tiles_close(jm_tiles *t)
{
    for (uint32_t i = 0; i < t->n; i++)
        jm_image_free(&t->tile[i]);
    free(t->tile);
    *t = (jm_tiles){ 0 };
}

static jm_status cut(const jm_image *sheet, const char *path, uint32_t n, jm_tiles *out,
                     jm_err *err)
{
    uint32_t columns = 1;
    while ((uint64_t)columns * columns < n)
        columns++;
    uint32_t side = sheet->width / columns, rows = (n + columns - 1) / columns;
    if (side == 0 || sheet->width != side * columns || sheet->height != (uint64_t)side * rows)
        return jm_fail(err, JM_EINPUT,
                       "%s: %ux%u pixels are no sheet of %u square tiles, %u across; make it again "
                       "with joulemark imagine --tile",
                       path, sheet->width, sheet->height, n, columns);
    out->tile = calloc(n, sizeof *out->tile);
    if (!out->tile)
        return jm_fail(err, JM_ENOMEM, "%s: out of memory", path);
    out->side = side;
    for (jm_status st; out->n < n;) {
        jm_image *tile = &out->tile[out->n];
        size_t x = (size_t)(out->n % columns) * side, y = (size_t)(out->n / columns) * side;
        if ((st = jm_image_new(side, side, tile, err)) != JM_OK)
            return st;
        for (size_t r = 0; r < side; r++)
            memcpy(tile->rgb + r * side * 3, sheet->rgb + ((y + r) * sheet->width + x) * 3,
                   (size_t)side * 3);
        out->n++;
    }
    return JM_OK;
}

jm_status jm_tiles_open(const char *csv_path, uint32_t n, jm_tiles *out, jm_err *err)
{
    jm_image sheet;
    jm_err why = { 0 };
    size_t stem = strlen(csv_path);
    *out = (jm_tiles){ 0 };
    if (stem > 4 && strcmp(csv_path + stem - 4, ".csv") == 0)
        stem -= 4;
    char *path = jm_asprintf("%.*s.tiles.png", (int)stem, csv_path);
    if (!path)
        return jm_fail(err, JM_ENOMEM, "%s: out of memory", csv_path);
    jm_status st = jm_png_read(path, MAX_PIXELS, &sheet, &why);
    if (st == JM_OK)
        st = cut(&sheet, path, n, out, &why);
    jm_image_free(&sheet);
    free(path);
    if (st == JM_OK || st == JM_ENOTFOUND)
        return JM_OK;
    jm_tiles_close(out);
    return jm_fail(err, st, "%s", why.text);
}

jm_status jm_tiles_nearest(const jm_tiles *t, const jm_image *picture, uint32_t *out, jm_err *err)
{
    jm_image small;
    double best = 0.0;
    jm_status st = jm_image_shrink(picture, t->side, t->side, &small, err);
    if (st != JM_OK)
        return st;
    for (uint32_t i = 0; i < t->n; i++) {
        double mse;
        (void)jm_image_mse(&small, &t->tile[i], &mse, NULL); /* the same size */
        if (i == 0 || mse < best) {
            best = mse;
            *out = i;
        }
    }
    jm_image_free(&small);
    return JM_OK;
}
