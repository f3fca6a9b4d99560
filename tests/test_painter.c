/* SPDX-License-Identifier: Apache-2.0 */
/* The sampler against its formulas, and continuous batching of pictures over a made-up backend
 * whose prediction is a hash of the text its slot has seen, the pixels, their places and the time,
 * so that any wrong row, slot or position changes the picture. It also checks the rules of struct
 * jm_batch. */
#include <CUnit/Basic.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "workloads/imagegen/engine.h"

enum {
    VOCAB = 50,
    CONTEXT = 12,
    SLOTS = 9,
    SIDE = 6, /* cells */
    CELL = 4,
    VALUES = 3 * CELL * CELL,
    FEATURES = 6,
    REQUESTS = 24,
    MAX_PIXELS = 3 * SIDE * SIDE * CELL * CELL
};

static const struct jm_neo model = { .layers = 1,
                                     .vocab = VOCAB,
                                     .context = CONTEXT,
                                     .patch = 2,
                                     .merge = 2,
                                     .time_features = FEATURES,
                                     .noise_features = FEATURES,
                                     .noise_scale = 1.5f,
                                     .noise_max = 8,
                                     .noise_by_resolution = true,
                                     .noise_base_tokens = 4,
                                     .t_eps = 0.05f,
                                     .default_size = 18,
                                     .default_cfg = 4,
                                     .default_shift = 3 };

/* ---- the made-up backend ---- */

struct jm_plan {
    struct jm_limits lim;
    uint32_t seen[SLOTS]; /* positions written */
    uint64_t hash[SLOTS];
    float *pred; /* [max_rows, VALUES] */
    uint32_t n_rows, text_rows, batches, most_runs;
    bool broken;   /* a rule of struct jm_batch was not kept */
    uint32_t fail; /* execute fails when this many batches have run; 0: never */
};

static uint64_t mix(uint64_t h, uint64_t v)
{
    jm_rng r = { .state = h ^ (v + 1) * 0x9e3779b9 };
    return jm_rng_u64(&r);
}

static void fake_text(jm_plan *p, const struct jm_batch *b)
{
    for (uint32_t i = 0; i < b->n_rows && !p->broken; i++) {
        uint32_t s = b->slot[i];
        p->broken |= s >= p->lim.max_slots || b->token[i] >= VOCAB || b->n_runs > 0;
        if (b->pos[i] == 0)
            p->seen[s] = 0, p->hash[s] = 7;
        p->broken |= b->pos[i] != p->seen[s]++ || b->pos[i] >= p->lim.max_context;
        p->hash[s] = mix(p->hash[s], b->token[i]);
    }
    p->text_rows += b->n_rows;
}

static uint64_t hash_floats(uint64_t h, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        h = mix(h, bits);
    }
    return h;
}

static void fake_picture(jm_plan *p, const struct jm_batch *b)
{
    p->broken |= b->n_runs == 0 || b->n_runs > p->lim.max_runs || b->run[0] != 0;
    for (uint32_t u = 0; u < b->n_runs && !p->broken; u++) {
        uint32_t end = u + 1 < b->n_runs ? b->run[u + 1] : b->n_rows, s = b->slot[b->run[u]];
        p->broken |= b->run[u] >= end || b->pos[b->run[u]] != p->seen[s];
        uint64_t run = p->hash[s]; /* every row sees all rows of its run */
        run = hash_floats(run, b->input[JM_NEO_TIME] + u * FEATURES, FEATURES);
        run = hash_floats(run, b->input[JM_NEO_NOISE] + u * FEATURES, FEATURES);
        run = hash_floats(run, b->input[JM_NEO_PIXELS] + (size_t)b->run[u] * VALUES,
                          (size_t)(end - b->run[u]) * VALUES);
        for (uint32_t r = b->run[u]; r < end; r++) {
            p->broken |= b->slot[r] != s || b->pos[r] != p->seen[s] || b->pos_h[r] >= SIDE ||
                         b->pos_w[r] >= SIDE;
            jm_rng g = { .state = mix(mix(run, b->pos_h[r]), b->pos_w[r]) };
            for (uint32_t i = 0; i < VALUES; i++)
                p->pred[r * VALUES + i] = (float)(jm_rng_double(&g) * 2 - 1);
        }
    }
    p->most_runs = b->n_runs > p->most_runs ? b->n_runs : p->most_runs;
}

static jm_status fake_execute(jm_plan *p, const struct jm_batch *b, jm_err *err)
{
    if (p->fail && ++p->batches >= p->fail)
        return jm_fail(err, JM_EDEVICE, "the device is gone");
    p->broken |= b->n_rows == 0 || b->n_rows > p->lim.max_rows;
    if (p->broken)
        return JM_OK;
    if (b->entry == JM_NEO_TEXT)
        fake_text(p, b);
    else
        fake_picture(p, b);
    p->n_rows = b->n_rows;
    return JM_OK;
}

static jm_status fake_wait(jm_plan *p, jm_err *err)
{
    (void)p;
    (void)err;
    return JM_OK;
}

static jm_status fake_fetch(jm_plan *p, uint32_t out, uint32_t first, uint32_t n, void *dst,
                            jm_err *err)
{
    if (out != 0 || first + n > p->n_rows)
        return jm_fail(err, JM_EUSAGE, "fetch out of range");
    memcpy(dst, p->pred + (size_t)first * VALUES, (size_t)n * VALUES * sizeof *p->pred);
    return JM_OK;
}

static const struct jm_backend_ops fake = {
    .name = "fake", .execute = fake_execute, .wait = fake_wait, .fetch = fake_fetch
};

/* ---- requests ---- */

static uint32_t prompts[REQUESTS][CONTEXT];
static float alone[REQUESTS][MAX_PIXELS], many[REQUESTS][MAX_PIXELS];
static uint32_t steps_told[REQUESTS], dones[REQUESTS], cancels[REQUESTS];
static const uint32_t uncond[] = { 3, 1, 4 };

static void on_step(void *user, uint32_t id, uint32_t step)
{
    (void)user;
    CU_ASSERT_EQUAL(step, ++steps_told[id]);
}

static void on_done(void *user, uint32_t id, bool cancelled)
{
    (void)user;
    dones[id]++;
    cancels[id] += cancelled;
}

/* Sizes, steps, guidance and prompts that differ from request to request. */
static struct jm_painter_request request(uint32_t id, float *pixels)
{
    jm_rng r = { .state = id + 99 };
    struct jm_painter_request q = { .id = id, .prompt = prompts[id], .pixels = pixels };
    q.n_prompt = 1 + (uint32_t)jm_rng_below(&r, CONTEXT);
    for (uint32_t i = 0; i < q.n_prompt; i++)
        prompts[id][i] = (uint32_t)jm_rng_below(&r, VOCAB);
    q.how = (struct jm_sampling){ .width = CELL * (1 + (uint32_t)jm_rng_below(&r, SIDE)),
                                  .height = CELL * (1 + (uint32_t)jm_rng_below(&r, SIDE)),
                                  .steps = 1 + (uint32_t)jm_rng_below(&r, 7),
                                  .cfg = id % 3 ? 2.5f : 1.0f,
                                  .shift = id % 2 ? 3.0f : 1.0f };
    for (uint32_t i = 0; i < 3 * q.how.width * q.how.height; i++)
        pixels[i] = (float)(jm_rng_double(&r) * 4 - 2);
    return q;
}

static jm_painter *make(jm_plan *p, uint32_t rows, uint32_t runs, uint32_t pictures)
{
    jm_painter *e = NULL;
    *p = (jm_plan){ .lim = { .max_rows = rows,
                             .max_slots = pictures + 1,
                             .max_context = CONTEXT,
                             .max_runs = runs,
                             .max_side = SIDE } };
    p->pred = calloc((size_t)rows * VALUES, sizeof *p->pred);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p->pred);
    struct jm_painter_config cfg = { .ops = &fake,
                                     .plan = p,
                                     .limits = p->lim,
                                     .model = model,
                                     .max_pictures = pictures,
                                     .max_cells = SIDE * SIDE,
                                     .max_queue = REQUESTS,
                                     .uncond = uncond,
                                     .n_uncond = 3,
                                     .events = { .step = on_step, .done = on_done } };
    CU_ASSERT_EQUAL_FATAL(jm_painter_open(&cfg, &e, NULL), JM_OK);
    memset(steps_told, 0, sizeof steps_told);
    memset(dones, 0, sizeof dones);
    memset(cancels, 0, sizeof cancels);
    return e;
}

static void end(jm_painter *e, jm_plan *p)
{
    CU_ASSERT(!p->broken);
    jm_painter_close(e);
    free(p->pred);
}

static void drain(jm_painter *e)
{
    for (uint32_t i = 0; i < 1000 && jm_painter_pending(e) > 0; i++)
        CU_ASSERT_EQUAL_FATAL(jm_painter_step(e, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_painter_pending(e), 0);
}

static void draw_alone(void)
{
    for (uint32_t i = 0; i < REQUESTS; i++) {
        jm_plan p;
        jm_painter *e = make(&p, SIDE * SIDE, 1, 1);
        struct jm_painter_request q = request(i, alone[i]);
        CU_ASSERT_EQUAL_FATAL(jm_painter_submit(e, &q, NULL), JM_OK);
        drain(e);
        CU_ASSERT_EQUAL(steps_told[i], q.how.steps);
        end(e, &p);
    }
}

/* Whatever the batch, and whenever they join, pictures are what they are alone. */
static void test_batch_invariance(void)
{
    static const struct {
        uint32_t rows, runs, pictures, every; /* steps between submissions */
    } cases[] = { { SIDE * SIDE, 1, 3, 0 },
                  { 5 * SIDE * SIDE, 4, 4, 1 },
                  { 16 * SIDE * SIDE, 16, 8, 0 },
                  { SIDE * SIDE + 7, 16, 8, 2 } };
    draw_alone();
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        jm_plan p;
        jm_painter *e = make(&p, cases[c].rows, cases[c].runs, cases[c].pictures);
        uint32_t text = 3;
        for (uint32_t i = 0; i < REQUESTS; i++) {
            struct jm_painter_request q = request(i, many[i]);
            text += q.n_prompt;
            CU_ASSERT_EQUAL_FATAL(jm_painter_submit(e, &q, NULL), JM_OK);
            for (uint32_t k = 0; k < cases[c].every; k++)
                CU_ASSERT_EQUAL_FATAL(jm_painter_step(e, NULL), JM_OK);
        }
        drain(e);
        for (uint32_t i = 0; i < REQUESTS; i++) {
            CU_ASSERT_EQUAL(dones[i], 1);
            CU_ASSERT_EQUAL(cancels[i], 0);
            CU_ASSERT_EQUAL(memcmp(many[i], alone[i], sizeof alone[i]), 0);
        }
        CU_ASSERT_EQUAL(p.text_rows, text); /* each prompt once, the unconditional one once */
        CU_ASSERT_EQUAL(p.most_runs, c == 0 ? 1 : p.most_runs);
        CU_ASSERT(c == 0 || p.most_runs > 1);
        end(e, &p);
    }
}

static void test_cancel_and_clear(void)
{
    jm_plan p;
    draw_alone();
    jm_painter *e = make(&p, 4 * SIDE * SIDE, 8, 4);
    for (uint32_t i = 0; i < 12; i++) {
        struct jm_painter_request q = request(i, many[i]);
        CU_ASSERT_EQUAL_FATAL(jm_painter_submit(e, &q, NULL), JM_OK);
    }
    CU_ASSERT_EQUAL(jm_painter_step(e, NULL), JM_OK);
    uint32_t active = 4;
    while (active > 0 && dones[active - 1])
        active--; /* a picture of one step is done */
    CU_ASSERT_FATAL(active > 0);
    CU_ASSERT_EQUAL(jm_painter_cancel(e, active - 1, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_painter_cancel(e, 9, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_painter_cancel(e, 9, NULL), JM_ENOTFOUND);
    drain(e);
    for (uint32_t i = 0; i < 12; i++) {
        bool gone = i == active - 1 || i == 9;
        CU_ASSERT_EQUAL(dones[i], 1);
        CU_ASSERT_EQUAL(cancels[i], gone);
        if (!gone)
            CU_ASSERT_EQUAL(memcmp(many[i], alone[i], sizeof alone[i]), 0);
    }
    struct jm_painter_request q = request(0, many[0]);
    CU_ASSERT_EQUAL(jm_painter_submit(e, &q, NULL), JM_OK);
    jm_painter_clear(e);
    CU_ASSERT_EQUAL(jm_painter_pending(e), 0);
    CU_ASSERT_EQUAL(jm_painter_step(e, NULL), JM_OK); /* nothing pending, nothing happens */
    q = request(1, many[1]);
    steps_told[1] = 0;
    CU_ASSERT_EQUAL(jm_painter_submit(e, &q, NULL), JM_OK);
    drain(e);
    CU_ASSERT_EQUAL(memcmp(many[1], alone[1], sizeof alone[1]), 0);
    end(e, &p);
}

static void refuse(jm_painter *e, struct jm_painter_request q, const char *what)
{
    jm_err err = { 0 };
    CU_ASSERT_EQUAL(jm_painter_submit(e, &q, &err), JM_EUSAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, what));
}

static void test_refusals(void)
{
    static const uint32_t bad[] = { VOCAB };
    jm_plan p;
    jm_err err = { 0 };
    jm_painter *e = make(&p, SIDE * SIDE, 2, 2);
    struct jm_painter_request good = request(0, many[0]), q;
    q = good, q.n_prompt = 0;
    refuse(e, q, "0 tokens");
    q = good, q.n_prompt = CONTEXT + 1;
    refuse(e, q, "13 tokens");
    q = good, q.prompt = bad, q.n_prompt = 1;
    refuse(e, q, "token 50");
    q = good, q.how.width = 4 * CELL + 1;
    refuse(e, q, "take 16 x");
    q = good, q.how.width = (SIDE + 1) * CELL, q.how.height = CELL;
    refuse(e, q, "planned");
    q = good, q.how.height = 0;
    refuse(e, q, "each side");
    q = good, q.how.steps = 0;
    refuse(e, q, "0 steps");
    q = good, q.how.cfg = NAN;
    refuse(e, q, "guidance");
    q = good, q.how.shift = 0;
    refuse(e, q, "shift");
    for (uint32_t i = 0; i < REQUESTS; i++)
        CU_ASSERT_EQUAL(jm_painter_submit(e, &good, NULL), JM_OK);
    refuse(e, good, "wait already");
    p.fail = 2;
    CU_ASSERT_EQUAL(jm_painter_step(e, &err), JM_EDEVICE);
    end(e, &p);
    struct jm_painter_config cfg = { .ops = &fake,
                                     .plan = &p,
                                     .limits = p.lim,
                                     .model = model,
                                     .max_pictures = 3,
                                     .max_cells = 4,
                                     .max_queue = 1,
                                     .uncond = uncond,
                                     .n_uncond = 3 };
    CU_ASSERT_EQUAL(jm_painter_open(&cfg, &e, NULL), JM_EUSAGE); /* more pictures than slots */
    CU_ASSERT_PTR_NULL(e);
    cfg.max_pictures = 2;
    cfg.n_uncond = 0;
    CU_ASSERT_EQUAL(jm_painter_open(&cfg, &e, NULL), JM_EUSAGE);
    cfg.uncond = bad;
    cfg.n_uncond = 1;
    CU_ASSERT_EQUAL(jm_painter_open(&cfg, &e, NULL), JM_EUSAGE);
    jm_painter_close(NULL);
}

/* ---- the sampler ---- */

static void test_times_and_scale(void)
{
    struct jm_sampling s = jm_sampling_default(&model);
    CU_ASSERT_EQUAL(s.width, 16); /* 18 is no multiple of the cell */
    CU_ASSERT_EQUAL(s.steps, 50);
    s.steps = 4;
    s.shift = 3;
    static const double want[] = { 0, 0.1, 0.25, 0.5, 1 };
    for (uint32_t i = 0; i <= 4; i++)
        CU_ASSERT(fabs(jm_sampling_time(&s, i) - want[i]) <= 1e-7);
    static const struct {
        uint32_t side;
        double scale; /* 1.5 sqrt(cells / 4), at most 8 */
    } sizes[] = { { 1, 0.75 }, { 2, 1.5 }, { 4, 3.0 }, { 10, 7.5 }, { 11, 8.0 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        s.width = s.height = sizes[i].side * CELL;
        CU_ASSERT(fabs(jm_sampling_noise_scale(&model, &s) - sizes[i].scale) <= 1e-6);
    }
    struct jm_neo fixed = model;
    fixed.noise_by_resolution = false;
    CU_ASSERT(fabs(jm_sampling_noise_scale(&fixed, &s) - 1.5) <= 1e-6);
}

/* Value (patch, channel, row, column) of a cell, by the description of JM_NEO_PIXELS. */
static void test_cells(void)
{
    const struct jm_sampling s = { .width = 3 * CELL, .height = 2 * CELL };
    enum { N = 3 * 3 * CELL * 2 * CELL };
    float picture[N], cells[N], back[N];
    for (uint32_t i = 0; i < N; i++)
        picture[i] = (float)i;
    jm_cells_from_picture(&model, &s, 2, picture, cells);
    for (uint32_t i = 0; i < N; i++) {
        uint32_t cell = i / VALUES, patch = i % VALUES / 12, c = i % 12 / 4;
        uint32_t y = cell / 3 * CELL + patch / 2 * 2 + i % 4 / 2;
        uint32_t x = cell % 3 * CELL + patch % 2 * 2 + i % 2;
        CU_ASSERT(fabsf(cells[i] - 2 * picture[(c * 2 * CELL + y) * 3 * CELL + x]) <= 0);
    }
    jm_cells_to_picture(&model, &s, cells, back);
    for (uint32_t i = 0; i < N; i++)
        CU_ASSERT(fabsf(back[i] - 2 * picture[i]) <= 0);
}

/* A model that always predicts the same picture is obeyed: without guidance the last step ends at
 * it, provided that 1 - t is not below t_eps there. */
static void test_steps(void)
{
    struct jm_sampling s = { .width = CELL, .height = CELL, .steps = 10, .cfg = 1, .shift = 1 };
    float z[VALUES], pred[VALUES], none[VALUES], picture[VALUES];
    for (uint32_t i = 0; i < VALUES; i++) {
        z[i] = (float)(i % 5) - 2;
        pred[i] = (float)i / VALUES; /* row, column, channel */
        none[i] = pred[i] - 0.1f;
    }
    for (uint32_t i = 0; i < s.steps; i++)
        jm_sampling_step(&model, &s, i, z, pred, NULL);
    jm_cells_to_picture(&model, &s, z, picture);
    for (uint32_t i = 0; i < VALUES; i++) {
        uint32_t c = i / (CELL * CELL), pixel = i % (CELL * CELL);
        CU_ASSERT(fabsf(picture[i] - pred[pixel * 3 + c]) <= 1e-5f);
    }
    /* cfg 3: one step from z moves by dt / (1 - t) of none + 3 (pred - none) - z */
    s.cfg = 3;
    memset(z, 0, sizeof z);
    jm_sampling_step(&model, &s, 5, z, pred, none);
    jm_cells_to_picture(&model, &s, z, picture);
    for (uint32_t i = 0; i < VALUES; i++) {
        uint32_t c = i / (CELL * CELL), pixel = i % (CELL * CELL);
        double want = (none[pixel * 3 + c] + 3 * 0.1) * 0.1 / 0.5;
        CU_ASSERT(fabs(picture[i] - want) <= 1e-6);
    }
    /* the last of 100 steps divides by t_eps, not by 0.01 */
    s.steps = 100;
    memset(z, 0, sizeof z);
    jm_sampling_step(&model, &s, 99, z, pred, NULL);
    jm_cells_to_picture(&model, &s, z, picture);
    CU_ASSERT(fabs(picture[VALUES - 1] - pred[VALUES - 1] * 0.01 / 0.05) <= 1e-6);
}

static void test_features(void)
{
    float f[8];
    jm_neo_features(0.25f, 8, f);
    for (int i = 0; i < 4; i++) {
        double angle = 0.25 * pow(10000, -i / 4.0);
        CU_ASSERT(fabs(f[i] - cos(angle)) <= 1e-7);
        CU_ASSERT(fabs(f[4 + i] - sin(angle)) <= 1e-7);
    }
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("painter", NULL, NULL);
    CU_add_test(s, "times and noise scale", test_times_and_scale);
    CU_add_test(s, "cells", test_cells);
    CU_add_test(s, "steps", test_steps);
    CU_add_test(s, "features of a scalar", test_features);
    CU_add_test(s, "batch invariance", test_batch_invariance);
    CU_add_test(s, "cancel and clear", test_cancel_and_clear);
    CU_add_test(s, "refusals", test_refusals);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
