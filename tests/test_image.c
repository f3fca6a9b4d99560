/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures: conversion, sheets, PNG files, and likeness against scikit-image's figures. */
#include <CUnit/Basic.h>
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "workloads/imagegen/png.h"
#include "workloads/imagegen/similarity.h"
#include "workloads/imagegen/tiles.h"

static char folder[] = "/tmp/jm_image_XXXXXX";

static jm_image blank(uint32_t width, uint32_t height)
{
    jm_image img;
    CU_ASSERT_EQUAL_FATAL(jm_image_new(width, height, &img, NULL), JM_OK);
    return img;
}

/* As in similarity_fixture.py. */
static void make_pair(jm_image *a, jm_image *b, int noise)
{
    uint32_t state = 12345;
    for (size_t i = 0; i < (size_t)a->width * a->height * 3; i++) {
        int c = (int)(i % 3), x = (int)(i / 3 % a->width), y = (int)(i / 3 / a->width);
        state = state * 1664525u + 1013904223u;
        int base = (x * (3 + c) + y * (5 - c)) % 256;
        int v = base + (int)((state >> 24) % (2 * (uint32_t)noise + 1)) - noise;
        a->rgb[i] = (uint8_t)base;
        b->rgb[i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
    }
}

static void check_case(const cJSON *item)
{
    uint32_t w = (uint32_t)cJSON_GetObjectItem(item, "width")->valueint;
    uint32_t h = (uint32_t)cJSON_GetObjectItem(item, "height")->valueint;
    const cJSON *psnr = cJSON_GetObjectItem(item, "psnr_db");
    double want = cJSON_GetObjectItem(item, "ssim")->valuedouble, ssim = NAN, mse = NAN;
    jm_image a = blank(w, h), b = blank(w, h);
    make_pair(&a, &b, cJSON_GetObjectItem(item, "noise")->valueint);
    CU_ASSERT_EQUAL(jm_image_mse(&a, &b, &mse, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_ssim(&a, &b, &ssim, NULL), JM_OK);
    /* Both sum some 100 products of f64 near 255^2 and subtract: 1e-9 is far above the error. */
    CU_ASSERT(fabs(ssim - want) <= 1e-9);
    if (cJSON_IsNull(psnr))
        CU_ASSERT(jm_psnr_db(mse) == INFINITY);
    if (cJSON_IsNumber(psnr))
        CU_ASSERT(fabs(jm_psnr_db(mse) - psnr->valuedouble) <= 1e-9);
    jm_image_free(&a);
    jm_image_free(&b);
}

static void test_likeness(void)
{
    jm_map map;
    CU_ASSERT_EQUAL_FATAL(jm_map_open(JM_FIXTURES "/similarity.json", &map, NULL), JM_OK);
    cJSON *root = cJSON_ParseWithLength((const char *)map.data, map.bytes);
    const cJSON *cases = cJSON_GetObjectItem(root, "cases"), *item;
    CU_ASSERT_EQUAL(cJSON_GetArraySize(cases), 7);
    cJSON_ArrayForEach(item, cases)
    {
        check_case(item);
    }
    cJSON_Delete(root);
    jm_map_close(&map);
}

static void test_likeness_refused(void)
{
    jm_image a = blank(20, 10), b = blank(10, 20);
    double v;
    CU_ASSERT_EQUAL(jm_image_mse(&a, &b, &v, NULL), JM_EUSAGE);
    CU_ASSERT_EQUAL(jm_ssim(&a, &b, &v, NULL), JM_EUSAGE);
    CU_ASSERT_EQUAL(jm_ssim(&a, &a, &v, NULL), JM_EUSAGE); /* 10 lines hold no window */
    jm_image_free(&a);
    jm_image_free(&b);
}

static void test_planes(void)
{
    /* 2x1 pixels: red plane, green plane, blue plane. 127.5 rounds up. */
    const float planes[] = { -1.0f, 1.0f, 0.0f, 2.0f, -7.0f, NAN };
    const uint8_t want[] = { 0, 128, 0, 255, 255, 0 };
    jm_image img;
    CU_ASSERT_EQUAL_FATAL(jm_image_from_planes(planes, 2, 1, &img, NULL), JM_OK);
    CU_ASSERT_EQUAL(memcmp(img.rgb, want, sizeof want), 0);
    jm_image_free(&img);
    CU_ASSERT_EQUAL(jm_image_new(UINT32_MAX, UINT32_MAX, &img, NULL), JM_ENOMEM);
    CU_ASSERT_EQUAL(jm_image_new(0, 4, &img, NULL), JM_ENOMEM);
    CU_ASSERT_PTR_NULL(img.rgb);
}

static void test_shrink(void)
{
    jm_image a = blank(4, 2), s;
    for (uint8_t i = 0; i < 24; i++)
        a.rgb[i] = i;
    CU_ASSERT_EQUAL_FATAL(jm_image_shrink(&a, 2, 1, &s, NULL), JM_OK);
    /* red of the left box: 0 3 12 15, mean 7.5 */
    const uint8_t want[] = { 8, 9, 10, 14, 15, 16 };
    CU_ASSERT_EQUAL(memcmp(s.rgb, want, sizeof want), 0);
    jm_image_free(&s);
    CU_ASSERT_EQUAL(jm_image_shrink(&a, 3, 1, &s, NULL), JM_EUSAGE);
    CU_ASSERT_EQUAL(jm_image_shrink(&a, 0, 1, &s, NULL), JM_EUSAGE);
    jm_image_free(&a);
}

static void test_sheet(void)
{
    jm_image p[5], sheet;
    for (int i = 0; i < 5; i++) {
        p[i] = blank(2, 1);
        memset(p[i].rgb, i + 1, 6);
    }
    CU_ASSERT_EQUAL_FATAL(jm_image_sheet(p, 5, 0, 1, &sheet, NULL), JM_OK);
    CU_ASSERT_EQUAL(sheet.width, 3 * 3 + 1);
    CU_ASSERT_EQUAL(sheet.height, 2 * 2 + 1);
    for (int i = 0; i < 5; i++) {
        size_t x = 1 + (size_t)(i % 3) * 3, y = 1 + (size_t)(i / 3) * 2;
        CU_ASSERT_EQUAL(sheet.rgb[(y * 10 + x + 1) * 3 + 2], i + 1);
        CU_ASSERT_EQUAL(sheet.rgb[(y * 10 + x - 1) * 3], 255);
    }
    jm_image_free(&sheet);
    p[4].height = 0;
    CU_ASSERT_EQUAL(jm_image_sheet(p, 5, 0, 1, &sheet, NULL), JM_EUSAGE);
    CU_ASSERT_EQUAL(jm_image_sheet(p, 0, 0, 1, &sheet, NULL), JM_EUSAGE);
    CU_ASSERT_EQUAL(jm_image_sheet(p, 4, 1, UINT32_MAX, &sheet, NULL), JM_ENOMEM);
    for (int i = 0; i < 5; i++)
        jm_image_free(&p[i]);
}

static void test_png(void)
{
    char *path = jm_asprintf("%s/a.png", folder);
    jm_image a = blank(37, 50), b = blank(37, 50), back;
    jm_err err = { 0 };
    make_pair(&a, &b, 60);
    CU_ASSERT_EQUAL_FATAL(jm_png_write(path, &b, &err), JM_OK);
    CU_ASSERT_EQUAL_FATAL(jm_png_read(path, 37 * 50, &back, &err), JM_OK);
    CU_ASSERT_EQUAL(back.width, 37);
    CU_ASSERT_EQUAL(back.height, 50);
    CU_ASSERT_EQUAL(memcmp(back.rgb, b.rgb, 37 * 50 * 3), 0);
    jm_image_free(&back);
    CU_ASSERT_EQUAL(jm_png_read(path, 37 * 50 - 1, &back, &err), JM_EINPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "37x50 pixels"));
    CU_ASSERT_PTR_NULL(back.rgb);
    err = (jm_err){ 0 };
    CU_ASSERT_EQUAL(jm_png_write("/nowhere/a.png", &b, &err), JM_EIO);
    unlink(path);
    CU_ASSERT_EQUAL(jm_png_read(path, 1000, &back, NULL), JM_ENOTFOUND);
    free(path);
    jm_image_free(&a);
    jm_image_free(&b);
}

/* Every cut of a file is refused, or is the same picture (the end mark carries nothing). */
static void test_png_cut(void)
{
    char *path = jm_asprintf("%s/b.png", folder);
    jm_image a = blank(13, 9), b = blank(13, 9), back;
    jm_map map;
    make_pair(&a, &b, 20);
    CU_ASSERT_EQUAL_FATAL(jm_png_write(path, &b, NULL), JM_OK);
    CU_ASSERT_EQUAL_FATAL(jm_map_open(path, &map, NULL), JM_OK);
    for (size_t n = 0; n < map.bytes; n++) {
        jm_status st = jm_png_decode(map.data, n, "cut", 1000, &back, NULL);
        CU_ASSERT(st == JM_EINPUT || (n + 12 >= map.bytes && st == JM_OK));
        if (st == JM_OK)
            CU_ASSERT_EQUAL(memcmp(back.rgb, b.rgb, 13 * 9 * 3), 0);
        jm_image_free(&back);
    }
    jm_map_close(&map);
    unlink(path);
    free(path);
    jm_image_free(&a);
    jm_image_free(&b);
}

/* Five captions: tiles three across, each of one grey. */
static void test_tiles(void)
{
    char *csv = jm_asprintf("%s/set.csv", folder), *png = jm_asprintf("%s/set.tiles.png", folder);
    jm_image sheet = blank(12, 8), picture = blank(8, 8);
    jm_err err = { 0 };
    jm_tiles t;
    uint32_t nearest;
    CU_ASSERT_EQUAL(jm_tiles_open(csv, 5, &t, &err), JM_OK);
    CU_ASSERT_EQUAL(t.n, 0); /* no file: unavailable */
    for (size_t i = 0; i < 12 * 8; i++)
        memset(sheet.rgb + 3 * i, (int)(40 * (i % 12 / 4 + i / 48 * 3)), 3);
    CU_ASSERT_EQUAL(jm_png_write(png, &sheet, &err), JM_OK);
    CU_ASSERT_EQUAL_FATAL(jm_tiles_open(csv, 5, &t, &err), JM_OK);
    CU_ASSERT(t.n == 5 && t.side == 4);
    for (uint32_t i = 0; i < 5; i++) {
        memset(picture.rgb, (int)(40 * i + 19), 8 * 8 * 3);
        CU_ASSERT_EQUAL(jm_tiles_nearest(&t, &picture, &nearest, &err), JM_OK);
        CU_ASSERT_EQUAL(nearest, i);
    }
    jm_image_free(&picture);
    picture = blank(6, 8);
    CU_ASSERT_EQUAL(jm_tiles_nearest(&t, &picture, &nearest, NULL), JM_EUSAGE);
    jm_tiles_close(&t);
    CU_ASSERT_EQUAL(jm_tiles_open(csv, 10, &t, &err), JM_EINPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "set.tiles.png"));
    CU_ASSERT_EQUAL(t.n, 0);
    unlink(png);
    free(csv);
    free(png);
    jm_image_free(&picture);
    jm_image_free(&sheet);
}

int main(void)
{
    if (CU_initialize_registry() != CUE_SUCCESS || !mkdtemp(folder))
        return 2;
    CU_pSuite s = CU_add_suite("image", NULL, NULL);
    CU_add_test(s, "PSNR and SSIM of scikit-image", test_likeness);
    CU_add_test(s, "likeness refused", test_likeness_refused);
    CU_add_test(s, "from planes", test_planes);
    CU_add_test(s, "shrink", test_shrink);
    CU_add_test(s, "sheet", test_sheet);
    CU_add_test(s, "tiles", test_tiles);
    CU_add_test(s, "PNG", test_png);
    CU_add_test(s, "PNG cut short", test_png_cut);
    CU_basic_run_tests();
    int failed = CU_get_number_of_failures() != 0;
    CU_cleanup_registry();
    rmdir(folder);
    return failed;
}
