/* SPDX-License-Identifier: Apache-2.0 */
/* The languages of the translation workload: 33 of Hy-MT and 5 further ones. */
#ifndef JM_WORKLOADS_TRANSLATE_LANGUAGE_H
#define JM_WORKLOADS_TRANSLATE_LANGUAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct jm_language {
    const char *code;    /* "zh-Hant" */
    const char *english; /* "Traditional Chinese" */
    const char *chinese; /* UTF-8 */
    bool is_chinese;     /* zh and zh-Hant */
};

/* All of them, *n rows, constant. */
const struct jm_language *jm_languages(size_t *n);

/* By code, upper or lower case; NULL: none. */
const struct jm_language *jm_language_find(const char *code);

/* What a mistyped code or name most likely meant; NULL: nothing is near. */
const struct jm_language *jm_language_nearest(const char *typed);

/* jm_language_find with a sentence: JM_ENOTFOUND, "did you mean". *out NULL then. */
jm_status jm_language_get(const char *code, const struct jm_language **out, jm_err *err);

#endif
