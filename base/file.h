/* SPDX-License-Identifier: Apache-2.0 */
/* Files: mapped to read, and written whole or not at all. */
#ifndef JM_BASE_FILE_H
#define JM_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

/* A read-only private mapping. data is NULL when bytes == 0. */
typedef struct jm_map {
    const uint8_t *data;
    size_t bytes;
} jm_map;

/* Maps a regular file. JM_ENOTFOUND, JM_EIO (a folder, a FIFO, no permission). */
jm_status jm_map_open(const char *path, jm_map *out, jm_err *err);
void jm_map_close(jm_map *map);

/**
 * A file being written in the folder of its final place. Readers see the old file or the whole new
 * one, never a part: commit flushes, fsyncs, renames, and fsyncs the folder. Until then it has no
 * name, so that whatever ends the process leaves nothing behind; where the file system has no
 * files without names, it is PATH.tmp-PID. A link stays, and what it leads to is written; a folder,
 * a device or a FIFO is refused (JM_EIO).
 *
 * Write to f with stdio; errors are caught at commit. Exactly one of commit and abort ends it;
 * both free everything and set *w to zero.
 */
typedef struct jm_writer {
    FILE *f;
    char *tmp;  /* owned */
    char *path; /* owned */
    bool named; /* tmp is there */
} jm_writer;

jm_status jm_writer_open(const char *path, jm_writer *w, jm_err *err);
jm_status jm_writer_commit(jm_writer *w, jm_err *err);
void jm_writer_abort(jm_writer *w);

/* Locks the folder of path against others that call this, and waits for them. A descriptor whose
 * close unlocks; -1 where there is no folder, or its file system does not lock folders. */
int jm_lock_beside(const char *path);

/* Bytes of the byte order mark that spreadsheets write before a text of UTF-8: 3 or 0. */
size_t jm_byte_order_mark(const void *text, size_t bytes);

/* Whole small text in one call, with the same guarantee. */
jm_status jm_write_file(const char *path, const void *data, size_t bytes, jm_err *err);

/* mkdir -p. */
jm_status jm_make_dirs(const char *path, jm_err *err);

/* Removes a folder that holds only files, if it is there, as far as that goes. */
void jm_remove_folder(const char *path);

/* PREFIX/rest of a program that is PREFIX/bin/NAME: where its own files lie. malloc'd; NULL when it
 * cannot be told. */
char *jm_beside_program(const char *rest);

/* printf into fresh memory; NULL when out of memory. The caller frees. */
char *jm_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
