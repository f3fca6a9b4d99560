/* SPDX-License-Identifier: Apache-2.0 */
/* What the reference kernels (cpu, scalar) answer: the measure of the answers that were timed. Runs
 * once for a model and data set, then is kept in a file named after both hashes. */
#ifndef JM_HARNESS_REFERENCE_H
#define JM_HARNESS_REFERENCE_H

#include <signal.h>

#include "workloads/workload.h"

struct jm_reference {
    char **answers; /* [n], of the data samples 0, stride, 2 * stride, …; owned */
    uint32_t n, stride;
    double quality;      /* the workload's metric over these samples */
    double length_ratio; /* answer characters over those of the data set's references; or NAN */
    double agreement;    /* of pictures with their captions; or NAN */
    char *folder;        /* of answers that are not text, by data sample; owned; NULL: they are */
};

/**
 * most: answers wanted; when the data set has more samples, every stride-th is taken.
 * dir: where the file is kept. like: model, data and settings; backend and batch are not used.
 * progress: called with 0..1 while the reference runs; may be NULL.
 * stop: may be NULL; non-zero ends it with JM_EINTERRUPTED, and nothing is kept.
 */
jm_status jm_reference_get(const struct jm_workload_ops *workload,
                           const struct jm_workload_config *like, uint32_t most, const char *dir,
                           void (*progress)(double fraction, void *user), void *user,
                           const volatile sig_atomic_t *stop, struct jm_reference *out,
                           jm_err *err);
void jm_reference_free(struct jm_reference *r);

#endif
