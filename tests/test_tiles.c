/* SPDX-License-Identifier: Apache-2.0 */
/* The small reference pictures of the bundled captions are what the reference kernels draw. */
#include <CUnit/Basic.h>
#include <stdlib.h>

#include "backends/loader.h"
#include "workloads/imagegen/kit.h"
#include "workloads/imagegen/noise.h"
#include "workloads/imagegen/tiles.h"

enum { CAPTIONS = 64, STEPS = 64, SIDE = 64, VALUES = 3 * SIDE * SIDE };

/* How a caption in row `row` of the set is drawn, and shrunk to the size of its small picture. */
static void draw(jm_u1_kit *kit, const char *text, uint32_t row, uint32_t side, jm_image *out)
{
    static float pixels[VALUES];
    jm_image whole;
    struct jm_sampling how = jm_sampling_default(&kit->model.params);
    struct jm_u1_prompts p = { .uncond = kit->uncond, .n_uncond = kit->n_uncond };
    uint32_t *ids;
    how.steps = STEPS;
    CU_ASSERT_FATAL(how.width == SIDE && how.height == SIDE);
    CU_ASSERT_EQUAL_FATAL(jm_u1_kit_encode(kit, text, &ids, &p.n_prompt, NULL), JM_OK);
    p.prompt = ids;
    CU_ASSERT_EQUAL_FATAL(jm_u1_compile(&kit->model, 1, 0, &how, NULL), JM_OK);
    jm_noise_fill(row, pixels, VALUES);
    CU_ASSERT_EQUAL(jm_u1_draw(&kit->model, &p, &how, pixels, NULL), JM_OK);
    CU_ASSERT_EQUAL_FATAL(jm_image_from_planes(pixels, SIDE, SIDE, &whole, NULL), JM_OK);
    CU_ASSERT_EQUAL_FATAL(jm_image_shrink(&whole, side, side, out, NULL), JM_OK);
    jm_image_free(&whole);
    free(ids);
}

/* Another C library's cosine or exponential may differ in its last bit, and a mean that lies
 * between two levels then falls to the other: one level is allowed, to one sample of fifty. */
static void test_first(void)
{
    struct jm_device_options how = { .isa = "scalar" };
    jm_backend backend = { 0 };
    jm_device *device;
    jm_u1_kit kit;
    jm_tiles tiles;
    jm_image drawn;
    uint32_t differ = 0;
    CU_ASSERT_EQUAL_FATAL(jm_tiles_open(JM_DATA "/u1-emoji.csv", CAPTIONS, &tiles, NULL), JM_OK);
    CU_ASSERT_EQUAL_FATAL(tiles.n, CAPTIONS);
    CU_ASSERT_EQUAL_FATAL(jm_backend_load("cpu", &backend, NULL), JM_OK);
    CU_ASSERT_EQUAL_FATAL(backend.ops->open(0, &how, &device, NULL), JM_OK);
    CU_ASSERT_EQUAL_FATAL(
        jm_u1_kit_open(JM_DATA "/tiny-u1-f16.gguf", NULL, backend.ops, device, &kit, NULL), JM_OK);
    draw(&kit, "red apple", 0, tiles.side, &drawn);
    uint32_t samples = 3 * tiles.side * tiles.side;
    for (uint32_t i = 0; i < samples; i++) {
        int d = drawn.rgb[i] - tiles.tile[0].rgb[i];
        differ += d != 0;
        CU_ASSERT(d >= -1 && d <= 1);
    }
    CU_ASSERT(differ <= samples / 50);
    jm_image_free(&drawn);
    jm_u1_kit_close(&kit);
    backend.ops->close(device);
    jm_backend_unload(&backend);
    jm_tiles_close(&tiles);
}

int main(void)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite s = CU_add_suite("tiles", NULL, NULL);
    CU_add_test(s, "the first caption's", test_first);
    CU_basic_run_tests();
    int failed = CU_get_number_of_failures() > 0;
    CU_cleanup_registry();
    return failed;
}
