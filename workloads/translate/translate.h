/* SPDX-License-Identifier: Apache-2.0 */
/* The translation workload: every pair of a segment and a target language is one sample. */
#ifndef JM_WORKLOADS_TRANSLATE_TRANSLATE_H
#define JM_WORKLOADS_TRANSLATE_TRANSLATE_H

#include "workloads/workload.h"

extern const struct jm_workload_ops jm_translate_workload;

#endif
