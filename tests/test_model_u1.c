/* SPDX-License-Identifier: Apache-2.0 */
/* The bundled picture model against a PyTorch run of the same file (tests/fixtures/tiny-u1-f16*):
 * the first prediction and the finished picture of three prompts. Backend: JM_TEST_BACKEND (cpu);
 * instruction set: JM_TEST_ISA or the first argument, otherwise all that the device opens with. */
#include <CUnit/Basic.h>
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/loader.h"
#include "base/file.h"
#include "workloads/imagegen/u1_model.h"

enum { CASES = 3, SIDE = 64, VALUES = 3 * SIDE * SIDE, MAX_PROMPT = 32 };

/* The largest difference from the reference that a value of a picture in -1..1 may have.
 *
 * Scalar and AVX2: weights are exact in F16 and all arithmetic is f32 or better on both sides. A
 * sum of k products in f32 is off by about sqrt(k) u of its magnitude (u = 2^-24, k up to
 * 768: 1.7e-6); 42 of them, 7 in each of 6 layers, add up to 1.1e-5 of a residual if they are
 * independent. 2e-3 leaves two orders for what layers and steps amplify; a wrong position, mask or
 * norm is off by more than 1e-2.
 *
 * AVX-512 holds weights and activations as 14-bit integers with a scale for 32 of them: a rounding
 * error of largest / 8191 / sqrt(12), or 1e-4 of an RMS value of a third of the largest, twice; the
 * same 42 products add up to sqrt(42) * 1.5e-4 = 1e-3 of a residual. Guidance of 2 weighs two
 * branches by 2 and -1, so by sqrt(5) together: 2.2e-3. 5e-3 is twice that. */
static double tolerance(const char *isa)
{
    return strncmp(isa, "avx512", 6) == 0 ? 5e-3 : 2e-3;
}

static jm_backend backend;
static const char *only_isa;

struct golden {
    uint32_t prompt[MAX_PROMPT], n_prompt;
    struct jm_sampling how;
    jm_map first, final;
};

static const uint32_t uncond[] = { 0, 2 };
static struct golden cases[CASES];
static jm_map noise;

static void open_f32(const char *name, jm_map *out)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", JM_FIXTURES, name);
    CU_ASSERT_EQUAL_FATAL(jm_map_open(path, out, NULL), JM_OK);
    CU_ASSERT_EQUAL_FATAL(out->bytes, VALUES * sizeof(float));
}

static void read_case(const cJSON *c, struct golden *g)
{
    const cJSON *v;
    cJSON_ArrayForEach(v, cJSON_GetObjectItem(c, "prompt_ids"))
    {
        CU_ASSERT_FATAL(g->n_prompt < MAX_PROMPT);
        g->prompt[g->n_prompt++] = (uint32_t)v->valueint;
    }
    g->how = (struct jm_sampling){
        .width = SIDE,
        .height = SIDE,
        .steps = (uint32_t)cJSON_GetObjectItem(c, "steps")->valueint,
        .cfg = (float)cJSON_GetObjectItem(c, "cfg_scale")->valuedouble,
        .shift = (float)cJSON_GetObjectItem(c, "timestep_shift")->valuedouble,
    };
    open_f32(cJSON_GetObjectItem(c, "xpred_step0")->valuestring, &g->first);
    open_f32(cJSON_GetObjectItem(c, "final")->valuestring, &g->final);
}

static void check_times(const cJSON *c, const struct golden *g)
{
    const cJSON *v;
    uint32_t i = 0;
    cJSON_ArrayForEach(v, cJSON_GetObjectItem(c, "times"))
        CU_ASSERT(fabs(jm_sampling_time(&g->how, i++) - v->valuedouble) <= 1e-6);
    CU_ASSERT_EQUAL(i, g->how.steps + 1);
}

static void test_golden_file(void)
{
    jm_map map;
    CU_ASSERT_EQUAL_FATAL(jm_map_open(JM_FIXTURES "/tiny-u1-f16.json", &map, NULL), JM_OK);
    cJSON *json = cJSON_ParseWithLength((const char *)map.data, map.bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(json);
    const cJSON *all = cJSON_GetObjectItem(json, "cases");
    CU_ASSERT_EQUAL_FATAL(cJSON_GetArraySize(all), CASES);
    for (int i = 0; i < CASES; i++) {
        read_case(cJSON_GetArrayItem(all, i), &cases[i]);
        check_times(cJSON_GetArrayItem(all, i), &cases[i]);
    }
    open_f32("tiny-u1-f16_noise.f32", &noise);
    cJSON_Delete(json);
    jm_map_close(&map);
}

/* One model on one device. */
struct rig {
    jm_device *device;
    jm_u1_model m;
};

/* false: the device has no such instruction set. */
static bool rig_open(struct rig *r, const char *isa, uint32_t threads, uint32_t pictures)
{
    jm_err err = { 0 };
    struct jm_device_options opt = { .threads = threads, .isa = isa };
    if (backend.ops->open(0, &opt, &r->device, &err) != JM_OK) {
        printf("\n  %s", err.text);
        return false;
    }
    jm_status st = jm_u1_open(JM_DATA "/tiny-u1-f16.gguf", backend.ops, r->device, &r->m, &err);
    struct jm_sampling how = st == JM_OK ? jm_sampling_default(&r->m.params) : cases[0].how;
    CU_ASSERT_EQUAL(how.width, SIDE);
    if (st == JM_OK)
        st = jm_u1_compile(&r->m, pictures, 32, &how, &err);
    if (st != JM_OK)
        printf("\n  %s", err.text);
    CU_ASSERT_EQUAL_FATAL(st, JM_OK);
    return true;
}

static void rig_close(struct rig *r)
{
    jm_u1_close(&r->m);
    backend.ops->close(r->device);
}

static double largest_difference(const float *a, const jm_map *b)
{
    double d = 0;
    for (uint32_t i = 0; i < VALUES; i++) {
        float want;
        memcpy(&want, b->data + i * sizeof want, sizeof want);
        double now = fabs((double)a[i] - want);
        d = now <= d ? d : now; /* a NaN stays */
    }
    return d;
}

/* All cases at once in one painter; with `first`, one step to t = 1 without guidance, which ends at
 * the prediction itself. */
static float pixels[CASES][VALUES];

static void check_cases(const struct rig *r, bool first, const char *isa)
{
    struct jm_painter_events quiet = { 0 };
    jm_painter *e;
    CU_ASSERT_EQUAL_FATAL(jm_u1_painter(&r->m, uncond, 2, CASES, &quiet, &e, NULL), JM_OK);
    for (uint32_t i = 0; i < CASES; i++) {
        struct jm_painter_request q = { .id = i,
                                        .prompt = cases[i].prompt,
                                        .n_prompt = cases[i].n_prompt,
                                        .how = cases[i].how,
                                        .pixels = pixels[i] };
        if (first) {
            q.how.steps = 1;
            q.how.cfg = 1;
        }
        memcpy(pixels[i], noise.data, noise.bytes);
        CU_ASSERT_EQUAL_FATAL(jm_painter_submit(e, &q, NULL), JM_OK);
    }
    while (jm_painter_pending(e) > 0)
        CU_ASSERT_EQUAL_FATAL(jm_painter_step(e, NULL), JM_OK);
    jm_painter_close(e);
    for (uint32_t i = 0; i < CASES; i++) {
        double d = largest_difference(pixels[i], first ? &cases[i].first : &cases[i].final);
        printf("\n  %s: case %u, %s: off by %.2g", isa, i, first ? "first prediction" : "picture",
               d);
        CU_ASSERT(d <= tolerance(isa));
    }
}

/* A picture drawn alone is, bit for bit, what check_cases drew among others. */
static void check_alone(const struct rig *r)
{
    static float one[VALUES];
    const struct golden *g = &cases[CASES - 1];
    struct jm_u1_prompts p = {
        .prompt = g->prompt, .n_prompt = g->n_prompt, .uncond = uncond, .n_uncond = 2
    };
    memcpy(one, noise.data, noise.bytes);
    CU_ASSERT_EQUAL_FATAL(jm_u1_draw(&r->m, &p, &g->how, one, NULL), JM_OK);
    CU_ASSERT_EQUAL(memcmp(one, pixels[CASES - 1], sizeof one), 0);
}

static void test_golden(void)
{
    static const char *const sets[] = { "scalar", "avx2", "avx512" };
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        struct rig r = { 0 };
        if (only_isa && strcmp(only_isa, sets[s]) != 0)
            continue;
        if (!rig_open(&r, sets[s], 2, CASES))
            continue;
        check_cases(&r, true, sets[s]);
        check_cases(&r, false, sets[s]);
        if (s > 0) /* the scalar kernels are slow, and know no tiles */
            check_alone(&r);
        rig_close(&r);
    }
}

int main(int argc, char **argv)
{
    const char *name = getenv("JM_TEST_BACKEND");
    jm_err err = { 0 };
    only_isa = argc > 1 ? argv[1] : getenv("JM_TEST_ISA");
    if (jm_backend_load(name ? name : "cpu", &backend, &err) != JM_OK) {
        fprintf(stderr, "%s\n", err.text);
        return EXIT_FAILURE;
    }
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("tiny-u1", NULL, NULL);
    CU_add_test(s, "golden file", test_golden_file);
    CU_add_test(s, "golden", test_golden);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    jm_map_close(&noise);
    for (int i = 0; i < CASES; i++) {
        jm_map_close(&cases[i].first);
        jm_map_close(&cases[i].final);
    }
    jm_backend_unload(&backend);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
