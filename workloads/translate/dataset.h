/* SPDX-License-Identifier: Apache-2.0 */
/* A translation data set: rows (workloads/rows.h) that share an id say the same thing; the one in
 * English (lang "en") is the source, the others references. */
#ifndef JM_WORKLOADS_TRANSLATE_DATASET_H
#define JM_WORKLOADS_TRANSLATE_DATASET_H

#include <stddef.h>

#include "base/sha256.h"
#include "base/status.h"

enum { JM_DATASET_LANGS = 256 }; /* languages besides English */

typedef struct jm_dataset jm_dataset;

/**
 * Reads a data set whole. Segments and languages keep the order of their first row.
 *
 * Any language code of letters, digits and '-' is taken; whether a model knows it is the caller's
 * affair. *out is NULL on failure. The sentence names the file and, where there is one, the line.
 *
 * JM_ENOTFOUND, JM_EIO  the file cannot be read
 * JM_EINPUT             not such a CSV, not UTF-8, an empty or NUL-bearing field, a repeated
 *                       (id, lang), an id without English text, nothing at all, or too large
 * JM_ENOMEM
 */
jm_status jm_dataset_open(const char *path, jm_dataset **out, jm_err *err);
void jm_dataset_close(jm_dataset *ds); /* NULL is allowed */

size_t jm_dataset_segments(const jm_dataset *ds);  /* >= 1 */
size_t jm_dataset_languages(const jm_dataset *ds); /* besides English; may be 0 */

/* Texts are terminated UTF-8, owned by ds. NULL where an index is out of range. */
const char *jm_dataset_language(const jm_dataset *ds, size_t language);
const char *jm_dataset_id(const jm_dataset *ds, size_t segment);
const char *jm_dataset_source(const jm_dataset *ds, size_t segment);
/* NULL also where the segment has no reference in that language. */
const char *jm_dataset_reference(const jm_dataset *ds, size_t segment, const char *lang);

const char *jm_dataset_sha256(const jm_dataset *ds); /* of the file's bytes, hexadecimal */

#endif
