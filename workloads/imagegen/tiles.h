/* SPDX-License-Identifier: Apache-2.0 */
/* Small reference pictures of a prompt set, one a caption, to tell which caption a picture was
 * drawn for. They lie beside the set NAME.csv as NAME.tiles.png: squares row by row without gaps,
 * as many across as makes the sheet square. Made by
 *
 *     joulemark imagine --prompts NAME.csv --steps 64 --tile 16 -o NAME.tiles.png
 */
#ifndef JM_WORKLOADS_IMAGEGEN_TILES_H
#define JM_WORKLOADS_IMAGEGEN_TILES_H

#include "workloads/imagegen/image.h"

typedef struct jm_tiles {
    uint32_t n, side;
    jm_image *tile; /* [n], side x side */
} jm_tiles;

/* The tiles of a set of n captions. No such file: JM_OK and out->n == 0. JM_EINPUT: no sheet of n
 * square tiles. */
jm_status jm_tiles_open(const char *csv_path, uint32_t n, jm_tiles *out, jm_err *err);
void jm_tiles_close(jm_tiles *t);

/* The tile most like the picture once that is shrunk (least mean squared difference; the first of
 * equals). JM_EUSAGE: the picture's sides are no multiples of the tile's. */
jm_status jm_tiles_nearest(const jm_tiles *t, const jm_image *picture, uint32_t *out, jm_err *err);

#endif
