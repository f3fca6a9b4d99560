/* SPDX-License-Identifier: Apache-2.0 */
/* The line that says what memory a run takes, before it begins. */
#ifndef JM_HARNESS_MEMORY_LINE_H
#define JM_HARNESS_MEMORY_LINE_H

#include <stdint.h>
#include <stdio.h>

#include "backends/backend.h"

/* "WHO: memory: 1.130 GB weights, …; 20.1 GB more are available", or nothing below a quarter of a
 * GiB, which no machine lacks. other: bytes besides the plan's. */
void jm_memory_line(FILE *f, const char *who, const struct jm_plan_memory *m, uint64_t other);

#endif
