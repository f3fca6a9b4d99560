/* SPDX-License-Identifier: Apache-2.0 */
/* A CSV file as cells of text, columns found by name. */
#ifndef JM_HARNESS_PLOT_TABLE_H
#define JM_HARNESS_PLOT_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* Cells of the header and rows; row 0 is the header. */
struct jm_table {
    bool name_models; /* some weight format occurs with more than one model */
    char **cell;      /* [cells] owned */
    size_t cells, cell_room;
    size_t *row; /* [rows + 1] first cell of each row; the last is the end */
    size_t rows, row_room;
    bool failed; /* out of memory */
};

/* JM_ENOTFOUND, JM_EIO, JM_ENOMEM; JM_EINPUT: no CSV, or no rows. *t is empty then. */
jm_status jm_table_read(const char *path, struct jm_table *t, jm_err *err);

/* Reads results: first strictly, by the schema, so that a damaged or newer file is refused. Rows of
 * runs that are not complete are emptied: their figures are no results. So are those of workloads
 * other than the one named; NULL: all are kept. */
jm_status jm_table_results(const char *path, const char *workload, struct jm_table *t, jm_err *err);
void jm_table_free(struct jm_table *t);

/* The cell in the named column, "" where there is none. r counts from 1. */
const char *jm_table_text(const struct jm_table *t, size_t r, const char *column);

/* NAN where there is no number. */
double jm_table_number(const struct jm_table *t, size_t r, const char *column);

/* Whether a column has more than one value. */
bool jm_table_varies(const struct jm_table *t, const char *column);

#endif
