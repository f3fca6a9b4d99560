/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of struct jm_model_info that every workload fills in the same way. */
#ifndef JM_WORKLOADS_MODEL_INFO_H
#define JM_WORKLOADS_MODEL_INFO_H

#include "workloads/model/gguf.h"
#include "workloads/workload.h"

/* Name, parameters, format, bits a weight, size, and whether the weights are synthetic. */
void jm_model_info_gguf(const jm_gguf *f, struct jm_model_info *out);

/* What follows the last slash of a path, cut to room bytes. */
void jm_file_name(const char *path, char *out, size_t room);

#endif
