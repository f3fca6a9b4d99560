/* SPDX-License-Identifier: Apache-2.0 */
/* Flow matching, by Euler steps: from noise at t = 0 to a picture at t = 1 along the velocity that
 * the model's prediction of the clean picture implies.
 *
 *   v = (x_pred - z) / max(1 - t, t_eps)
 *   v = v_uncond + cfg * (v_cond - v_uncond)        unless cfg is 1
 *   z += (t_next - t) * v
 *
 * Source: Lipman et al., "Flow matching for generative modeling", ICLR 2023; Ho and Salimans,
 * "Classifier-free diffusion guidance", 2022; the time shift: Esser et al., ICML 2024. */
#ifndef JM_WORKLOADS_IMAGEGEN_SAMPLER_H
#define JM_WORKLOADS_IMAGEGEN_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "workloads/model/neo_unify.h"

enum { JM_MAX_STEPS = 10000 };

/* How a picture is drawn. */
struct jm_sampling {
    uint32_t width, height; /* pixels, multiples of the model's cell */
    uint32_t steps;         /* 1..JM_MAX_STEPS */
    float cfg;              /* guidance, >= 0; 1: no unconditional branch */
    float shift;            /* of time, > 0; 1: none */
};

/* The model's own defaults: a square picture. */
struct jm_sampling jm_sampling_default(const struct jm_neo *p);

/* JM_EUSAGE: a size that is no multiple of the cell (says the nearest that is), or a setting out of
 * range. */
jm_status jm_sampling_check(const struct jm_neo *p, const struct jm_sampling *s, jm_err *err);

/* Picture tokens. */
uint32_t jm_sampling_cells(const struct jm_neo *p, const struct jm_sampling *s);

/* What standard normal noise is multiplied by. */
float jm_sampling_noise_scale(const struct jm_neo *p, const struct jm_sampling *s);

/* The time at which step i begins, i = 0..steps; 0 and 1 at the ends. */
float jm_sampling_time(const struct jm_sampling *s, uint32_t i);

/* Between a picture, f32 [3, height, width], and the model's cells, f32 [cells, 3 cell^2] in the
 * order of JM_NEO_PIXELS. The first multiplies by scale. */
void jm_cells_from_picture(const struct jm_neo *p, const struct jm_sampling *s, float scale,
                           const float *picture, float *cells);
void jm_cells_to_picture(const struct jm_neo *p, const struct jm_sampling *s, const float *cells,
                         float *picture);

/* Step i over z, the cells of a picture. cond, uncond: JM_NEO_X_PRED of both branches, [cells, 3
 * cell^2]; uncond may be NULL when cfg is 1. */
void jm_sampling_step(const struct jm_neo *p, const struct jm_sampling *s, uint32_t i, float *z,
                      const float *cond, const float *uncond);

#endif
