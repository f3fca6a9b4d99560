/* SPDX-License-Identifier: Apache-2.0 */
/* Models are often named after their weight format: titles say it once. */
#ifndef JM_HARNESS_FORMAT_NAME_H
#define JM_HARNESS_FORMAT_NAME_H

#include <stdbool.h>

/* Whether a model's name holds the format as a word of its own, in capitals or not: "hy-mt-q4_0"
 * and Q4_0, "x.Q4_K_M" and Q4_K; not "x-bf16" and F16. format "": yes. */
bool jm_name_has_format(const char *name, const char *format);

#endif
