/* SPDX-License-Identifier: Apache-2.0 */
/* The results file: reading it strictly, and adding a row without ever leaving half a file. */
#ifndef JM_HARNESS_RECORD_CSV_H
#define JM_HARNESS_RECORD_CSV_H

#include <stddef.h>

#include "base/status.h"
#include "harness/record/columns.h"

/* Reads all rows. The header must name every column once, in any order. *rows is the caller's to
 * free (NULL when there are none). JM_ENOTFOUND, JM_EIO; JM_EINPUT: damaged, or over a limit
 * (64 MiB, 10000 rows, JM_TEXT_BYTES - 1 bytes a text); JM_EUNSUPPORTED: newer schema. */
jm_status jm_csv_read(const char *path, struct jm_record **rows, size_t *n, jm_err *err);

/* Writes the header and n rows in place of the whole file. JM_EIO leaves the old file. */
jm_status jm_csv_write(const char *path, const struct jm_record *rows, size_t n, jm_err *err);

/* Adds one row; the file is made where there is none. A damaged file is refused, not replaced.
 * Others that add rows wait meanwhile, where the file system locks folders; on one that does not,
 * as NFS, the row of one of two that add at the same moment may be lost. */
jm_status jm_csv_append(const char *path, const struct jm_record *row, jm_err *err);

#endif
