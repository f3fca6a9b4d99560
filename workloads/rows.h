/* SPDX-License-Identifier: Apache-2.0 */
/* What all data sets are made of: a CSV file (RFC 4180) with the header id,lang,text. */
#ifndef JM_WORKLOADS_ROWS_H
#define JM_WORKLOADS_ROWS_H

#include <stddef.h>

#include "base/sha256.h"
#include "base/status.h"

enum {
    JM_ROWS_FILE_BYTES = 256 << 20, /* largest file */
    JM_ROWS_TEXT_BYTES = 64 << 10,  /* longest text */
    JM_ROWS_NAME_BYTES = 64,        /* longest id */
    JM_ROWS_LANG_BYTES = 16,        /* longest language code */
    JM_ROWS_MAX = 4000000,
};

enum { JM_ROW_ID, JM_ROW_LANG, JM_ROW_TEXT, JM_ROW_FIELDS };

struct jm_row {
    char *field[JM_ROW_FIELDS]; /* terminated UTF-8, never empty; owned */
    size_t line;                /* of the file, from 1 */
};

typedef struct jm_row_list {
    struct jm_row *row; /* [n], in the file's order */
    size_t n, room;
    char sha256[JM_SHA256_HEX]; /* of the file's bytes */
} jm_row_list;

/**
 * Reads a file whole; out->n > 0. *out is zero after a failure. The sentence names the file and,
 * where there is one, the line. Any language code of letters, digits and '-' is taken.
 *
 * JM_ENOTFOUND, JM_EIO  the file cannot be read
 * JM_EINPUT             not such a CSV, not UTF-8, an empty or NUL-bearing field, nothing at all,
 *                       or too large
 * JM_ENOMEM
 */
jm_status jm_rows_read(const char *path, jm_row_list *out, jm_err *err);
void jm_rows_free(jm_row_list *rows);

#endif
