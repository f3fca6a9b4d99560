/* SPDX-License-Identifier: Apache-2.0 */
/* Finds backends at run time: libjm_NAME.so in the folders of JM_BACKEND_PATH (colon separated)
 * or, without it, in ../lib/joulemark beside the running program. */
#ifndef JM_BACKENDS_LOADER_H
#define JM_BACKENDS_LOADER_H

#include "backends/backend.h"

typedef struct jm_backend {
    const struct jm_backend_ops *ops;
    void *handle; /* of dlopen; owned */
} jm_backend;

/* Loads one by name: letters, digits, '_' and '-' only. JM_ENOTFOUND; JM_EUNSUPPORTED on another
 * ABI or a missing hook, which it names. */
jm_status jm_backend_load(const char *name, jm_backend *out, jm_err *err);
void jm_backend_unload(jm_backend *b);

/* The names that can be tried, sorted; *names and each string are the caller's to free. */
jm_status jm_backend_names(char ***names, size_t *n, jm_err *err);

/* The first node that dev cannot run, or NULL when it can run all of g. */
const struct jm_node *jm_backend_missing(const struct jm_backend_ops *ops, const jm_device *dev,
                                         const jm_graph *g);

#endif
