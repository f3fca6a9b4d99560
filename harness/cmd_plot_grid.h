/* SPDX-License-Identifier: Apache-2.0 */
/* The picture grid of joulemark plot: rows of pictures, one row a run. */
#ifndef JM_HARNESS_CMD_PLOT_GRID_H
#define JM_HARNESS_CMD_PLOT_GRID_H

#include <stddef.h>
#include <stdio.h>

enum { JM_GRID_ROWS = 16, JM_GRID_COLUMNS = 8, JM_GRID_LABEL = 96 };

struct jm_grid {
    size_t n;
    struct {
        char label[JM_GRID_LABEL];
        char *folder; /* of the run's record, owned; NULL: none */
    } row[JM_GRID_ROWS];
};

/* n < JM_GRID_ROWS. Takes folder, which is malloc'd. */
void jm_grid_add(struct jm_grid *g, const char *label, char *folder);
void jm_grid_free(struct jm_grid *g);

/* Puts answers/0.png, 1.png, … of each folder, at most JM_GRID_COLUMNS and as many as all have,
 * into PATH.png, and where texts go into f, blocks of x, y, "text": the labels of the rows, and
 * five for the lines of the captions of the columns from the lowest up, by captions.csv of the
 * first folder. Returns how many rows; 0 also where a picture is missing or of another size than
 * the first. */
size_t jm_grid_write(const struct jm_grid *g, FILE *f, const char *path);

#endif
