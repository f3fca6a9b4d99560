/* SPDX-License-Identifier: Apache-2.0 */
/* The picture grid of joulemark plot: rows of pictures, one row a run. */
#ifndef JM_HARNESS_CMD_PLOT_GRID_H
#define JM_HARNESS_CMD_PLOT_GRID_H

#include <stddef.h>
#include <stdio.h>

enum { JM_GRID_ROWS = 16, JM_GRID_COLUMNS = 12, JM_GRID_LABEL = 96 };

struct jm_grid {
    size_t n;
    struct {
        char label[JM_GRID_LABEL];
        const char *folder; /* of the run's record; the caller's */
    } row[JM_GRID_ROWS];
};

/* n < JM_GRID_ROWS. */
void jm_grid_add(struct jm_grid *g, const char *label, const char *folder);

/* Puts answers/0.png, 1.png, … of each folder, at most JM_GRID_COLUMNS and as many as all have,
 * into PATH.png, and where the labels go into f: x, y, "label". Returns how many rows; 0 also where
 * a picture is missing or of another size than the first. */
size_t jm_grid_write(const struct jm_grid *g, FILE *f, const char *path);
/* Removes PATH.png, if it is there. path may be NULL. */
void jm_grid_remove(const char *path);

#endif
