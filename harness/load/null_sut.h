/* SPDX-License-Identifier: Apache-2.0 */
/* A system under test that answers at once: what a run then takes is the harness's own cost. */
#ifndef JM_HARNESS_LOAD_NULL_SUT_H
#define JM_HARNESS_LOAD_NULL_SUT_H

#include <stdint.h>

#include "base/status.h"
#include "harness/sut.h"

struct jm_null_sut {
    struct jm_sample *queue; /* [capacity], owned */
    uint32_t capacity, n;
};

/* state must stay where it is while the returned system is used, and takes jm_null_sut_close. */
struct jm_sut jm_null_sut_open(struct jm_null_sut *state, uint32_t n_samples);
void jm_null_sut_close(struct jm_null_sut *state);

/* Wall time of a query in single-stream with the null system, nanoseconds: the median of five
 * windows of 20 ms or more. Takes about 0.15 s. */
jm_status jm_null_cost_ns(double *cost_ns, jm_err *err);

#endif
