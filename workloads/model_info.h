/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of struct jm_model_info that every workload fills in the same way. */
#ifndef JM_WORKLOADS_MODEL_INFO_H
#define JM_WORKLOADS_MODEL_INFO_H

#include "workloads/model/gguf.h"
#include "workloads/model/safetensors.h"
#include "workloads/workload.h"

/* Name, parameters, format, bits a weight, size, and whether the weights are synthetic. */
void jm_model_info_gguf(const jm_gguf *f, struct jm_model_info *out);

/* The same of safetensors; the name is the folder's. */
void jm_model_info_safetensors(const jm_safetensors *f, struct jm_model_info *out);

/* One hash of all shards, and of config.json where it is: SHA-256 of what `sha256sum` prints in
 * their folder, in this order. JM_EIO, JM_ENOMEM. */
jm_status jm_safetensors_sha256(const jm_safetensors *f, char hex[JM_SHA256_HEX], jm_err *err);

/* What follows the last slash of a path, cut to room bytes. */
void jm_file_name(const char *path, char *out, size_t room);

#endif
