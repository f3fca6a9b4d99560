/* SPDX-License-Identifier: Apache-2.0 */
/* See sampler.h. */
#include "workloads/imagegen/sampler.h"

#include <math.h>

enum { MAX_SIDE = 1 << 15, DEFAULT_SIZE = 1024, DEFAULT_STEPS = 50 };

struct jm_sampling jm_sampling_default(const struct jm_neo *p)
{
    uint32_t cell = jm_neo_cell(p), size = p->default_size ? p->default_size : DEFAULT_SIZE;
    size = size < cell ? cell : size / cell * cell;
    return (struct jm_sampling){ .width = size,
                                 .height = size,
                                 .steps = p->default_steps ? p->default_steps : DEFAULT_STEPS,
                                 .cfg = p->default_cfg,
                                 .shift = p->default_shift };
}

static uint32_t nearest_multiple(uint32_t side, uint32_t cell)
{
    uint64_t n = ((uint64_t)side + cell / 2) / cell;
    return (uint32_t)(n ? n * cell : cell);
}

jm_status jm_sampling_check(const struct jm_neo *p, const struct jm_sampling *s, jm_err *err)
{
    uint32_t cell = jm_neo_cell(p);
    if (s->width == 0 || s->height == 0 || s->width > MAX_SIDE || s->height > MAX_SIDE)
        return jm_fail(err, JM_EUSAGE, "a picture of %u x %u pixels: each side is 1 to %d",
                       s->width, s->height, MAX_SIDE);
    if (s->width % cell || s->height % cell)
        return jm_fail(err, JM_EUSAGE,
                       "a picture of %u x %u pixels is not made of cells of %u; take %u x %u",
                       s->width, s->height, cell, nearest_multiple(s->width, cell),
                       nearest_multiple(s->height, cell));
    if (s->steps == 0 || s->steps > JM_MAX_STEPS)
        return jm_fail(err, JM_EUSAGE, "%u steps: take 1 to %d", s->steps, JM_MAX_STEPS);
    if (!(s->cfg >= 0 && s->cfg <= 1000.0f))
        return jm_fail(err, JM_EUSAGE, "guidance %g: take 0 to 1000", (double)s->cfg);
    if (!(s->shift > 0 && s->shift <= 1000.0f))
        return jm_fail(err, JM_EUSAGE, "time shift %g: take a positive number up to 1000",
                       (double)s->shift);
    return JM_OK;
}

uint32_t jm_sampling_cells(const struct jm_neo *p, const struct jm_sampling *s)
{
    return (s->width / jm_neo_cell(p)) * (s->height / jm_neo_cell(p));
}

float jm_sampling_noise_scale(const struct jm_neo *p, const struct jm_sampling *s)
{
    double scale = p->noise_scale;
    if (p->noise_by_resolution)
        scale *= sqrt((double)jm_sampling_cells(p, s) / p->noise_base_tokens);
    return (float)fmin(scale, p->noise_max);
}

float jm_sampling_time(const struct jm_sampling *s, uint32_t i)
{
    double left = 1.0 - (double)i / s->steps;
    left = s->shift * left / (1.0 + (s->shift - 1.0) * left);
    return (float)(1.0 - left);
}

/* Calls of f walk all values of a picture: cell by cell, patches in rows, in each patch channel,
 * row, column. at: index into the picture, f32 [3, height, width]. */
struct walk {
    uint32_t cells_w, merge, patch;
    size_t width, plane; /* of the picture, in values */
};

/* Where value i of a cell lies, relative to the cell's first pixel. */
static size_t offset_in_picture(const struct walk *k, uint32_t i)
{
    uint32_t per_patch = 3 * k->patch * k->patch, j = i / per_patch;
    uint32_t c = i % per_patch / (k->patch * k->patch), in = i % (k->patch * k->patch);
    size_t y = (size_t)(j / k->merge) * k->patch + in / k->patch;
    size_t x = (size_t)(j % k->merge) * k->patch + in % k->patch;
    return c * k->plane + y * k->width + x;
}

static struct walk walk_of(const struct jm_neo *p, const struct jm_sampling *s)
{
    return (struct walk){ .cells_w = s->width / jm_neo_cell(p),
                          .merge = p->merge,
                          .patch = p->patch,
                          .width = s->width,
                          .plane = (size_t)s->width * s->height };
}

static size_t cell_in_picture(const struct walk *k, uint32_t cell)
{
    size_t side = (size_t)k->merge * k->patch;
    return cell / k->cells_w * side * k->width + cell % k->cells_w * side;
}

void jm_cells_from_picture(const struct jm_neo *p, const struct jm_sampling *s, float scale,
                           const float *picture, float *cells)
{
    const struct walk k = walk_of(p, s);
    uint32_t n = jm_neo_cell_values(p), n_cells = jm_sampling_cells(p, s);
    for (uint32_t i = 0; i < n; i++) {
        const float *from = picture + offset_in_picture(&k, i);
        for (uint32_t c = 0; c < n_cells; c++)
            cells[(size_t)c * n + i] = scale * from[cell_in_picture(&k, c)];
    }
}

void jm_cells_to_picture(const struct jm_neo *p, const struct jm_sampling *s, const float *cells,
                         float *picture)
{
    const struct walk k = walk_of(p, s);
    uint32_t n = jm_neo_cell_values(p), n_cells = jm_sampling_cells(p, s);
    for (uint32_t i = 0; i < n; i++) {
        float *to = picture + offset_in_picture(&k, i);
        for (uint32_t c = 0; c < n_cells; c++)
            to[cell_in_picture(&k, c)] = cells[(size_t)c * n + i];
    }
}

/* Where the pixel head writes value i of a cell: row, column, channel. */
static uint32_t offset_in_prediction(const struct jm_neo *p, uint32_t i)
{
    const struct walk k = { .merge = p->merge,
                            .patch = p->patch,
                            .width = jm_neo_cell(p),
                            .plane = (size_t)jm_neo_cell(p) * jm_neo_cell(p) };
    size_t at = offset_in_picture(&k, i); /* channel, row, column of a picture of one cell */
    return (uint32_t)(at % k.plane * 3 + at / k.plane);
}

void jm_sampling_step(const struct jm_neo *p, const struct jm_sampling *s, uint32_t i, float *z,
                      const float *cond, const float *uncond)
{
    float t = jm_sampling_time(s, i), dt = jm_sampling_time(s, i + 1) - t;
    float span = fmaxf(1.0f - t, p->t_eps), cfg = s->cfg;
    uint32_t n = jm_neo_cell_values(p), n_cells = jm_sampling_cells(p, s);
    for (uint32_t k = 0; k < n; k++) {
        uint32_t at = offset_in_prediction(p, k);
        for (size_t c = 0; c < n_cells; c++) {
            float now = z[c * n + k], v = (cond[c * n + at] - now) / span;
            if (uncond) {
                float u = (uncond[c * n + at] - now) / span;
                v = u + cfg * (v - u);
            }
            z[c * n + k] = now + dt * v;
        }
    }
}
