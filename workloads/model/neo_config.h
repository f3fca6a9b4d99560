/* SPDX-License-Identifier: Apache-2.0 */
/* neo_unify models from their original files: safetensors with config.json (model_type
 * "neo_chat"). */
#ifndef JM_WORKLOADS_MODEL_NEO_CONFIG_H
#define JM_WORKLOADS_MODEL_NEO_CONFIG_H

#include "workloads/model/neo_unify.h"
#include "workloads/model/safetensors.h"

/**
 * As jm_neo_read, from config.json; the pixel head's width from its weights. A configuration does
 * not say how many steps and how much guidance a model was made for: 50 and 4, as its authors use
 * for the base model, stand in default_steps and default_cfg.
 *
 * JM_EUNSUPPORTED  another model_type, or a variant not known here (named)
 * JM_EINPUT        no config.json, or a key is missing or makes no sense (named)
 */
jm_status jm_neo_read_config(const jm_safetensors *f, struct jm_neo *out, jm_err *err);

/* f as a source; f must outlive what is built from it. */
struct jm_neo_source jm_neo_safetensors(const jm_safetensors *f);

#endif
