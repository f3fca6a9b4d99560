/* SPDX-License-Identifier: Apache-2.0 */
/* A roofline as files: roofs.csv, batches.csv and ops.csv. */
#ifndef JM_HARNESS_ROOFLINE_WRITE_H
#define JM_HARNESS_ROOFLINE_WRITE_H

#include "harness/roofline/run.h"

/* The three tables into dir, which exists; each is written whole or not at all. */
jm_status jm_roofline_write(const struct jm_roofline *r, const char *dir, jm_err *err);

#endif
