/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of a roofline for people, and one JSON document for programs. */
#ifndef JM_HARNESS_ROOFLINE_PRINT_H
#define JM_HARNESS_ROOFLINE_PRINT_H

#include "harness/roofline/run.h"

/* To stdout. */
void jm_roofline_print(const struct jm_roofline *r);
/* JM_ENOMEM. */
jm_status jm_roofline_json(const struct jm_roofline *r, jm_err *err);

/* The model of a run: "NAME (FORMAT, synthetic weights)", without what NAME says already. */
enum { JM_ROOFLINE_MODEL = 128 };
void jm_roofline_model(const struct jm_roofline_run *run, char out[JM_ROOFLINE_MODEL]);

/* Wall time of a class of batches, in and between them, in seconds; > 0 where there are any. */
double jm_roofline_wall_s(const struct jm_profile_batches *b);

#endif
