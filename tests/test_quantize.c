/* SPDX-License-Identifier: Apache-2.0 */
/* workloads/model/quantize.h on the bundled model: what is kept, what is re-encoded and how well,
 * and what a failure leaves behind. */
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "workloads/model/gguf.h"
#include "workloads/model/gguf_write.h"
#include "workloads/model/quantize.h"

static const char source_path[] = JM_DATA "/tiny-mt-f16.gguf";
static char folder[] = "/tmp/jm-quantize-XXXXXX";
static char out_path[sizeof folder + 32];

static float *decode(const struct jm_tensor *t)
{
    float *x = calloc((size_t)t->rows * t->cols, sizeof *x);
    size_t row = jm_format_row_bytes(t->format, t->cols);
    for (size_t r = 0; x && r < t->rows; r++)
        jm_format_decode(t->format, (const uint8_t *)t->data + r * row, x + r * t->cols, t->cols);
    return x;
}

/* Root mean square of the error over that of the values. */
static double relative_error(const float *x, const float *y, size_t n)
{
    double wrong = 0.0, all = 0.0;
    for (size_t i = 0; i < n; i++) {
        wrong += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
        all += (double)x[i] * (double)x[i];
    }
    return sqrt(wrong / all);
}

static bool encodes_to(const struct jm_tensor *b, const float *x)
{
    size_t row = jm_format_row_bytes(b->format, b->cols);
    uint8_t *want = calloc(1, row);
    bool same = want != NULL;
    for (size_t r = 0; same && r < b->rows; r++)
        same = jm_format_encode(b->format, x + r * b->cols, want, b->cols) &&
               memcmp(want, (const uint8_t *)b->data + r * row, row) == 0;
    free(want);
    return same;
}

static void check_tensor(const struct jm_tensor *a, const struct jm_tensor *b, jm_format to,
                         double limit)
{
    CU_ASSERT(strcmp(a->name, b->name) == 0 && a->cols == b->cols && a->rows == b->rows);
    bool head = strcmp(a->name, "token_embd.weight") == 0;
    jm_format want = a->rows == 1 ? JM_F32
                     : head && (to == JM_Q4_0 || to == JM_Q5_0 || to == JM_Q4_K || to == JM_Q6_K)
                         ? JM_Q8_0
                         : to;
    CU_ASSERT_EQUAL(b->format, want);
    float *x = decode(a), *y = decode(b);
    if (x && y) {
        CU_ASSERT(encodes_to(b, x));
        double error = relative_error(x, y, (size_t)a->rows * a->cols);
        CU_ASSERT(error <= (a->rows == 1 ? 0.0 : limit));
    }
    free(x);
    free(y);
}

static void check_metadata(const jm_gguf *a, const jm_gguf *b, uint32_t file_type)
{
    uint32_t u = 99;
    size_t n = 0, m = 0;
    const jm_str *x = NULL, *y = NULL;
    jm_str s, t;
    CU_ASSERT_EQUAL(jm_gguf_version(b), 3);
    CU_ASSERT_EQUAL(jm_gguf_tensor_count(b), jm_gguf_tensor_count(a));
    CU_ASSERT(jm_gguf_u32(b, "general.file_type", &u) && u == file_type);
    CU_ASSERT(jm_gguf_str(a, "general.name", &s) && jm_gguf_str(b, "general.name", &t) &&
              s.n == t.n && memcmp(s.p, t.p, s.n) == 0);
    CU_ASSERT(jm_gguf_str_array(a, "tokenizer.ggml.merges", &x, &n) &&
              jm_gguf_str_array(b, "tokenizer.ggml.merges", &y, &m) && n == m &&
              x[n - 1].n == y[n - 1].n && memcmp(x[n - 1].p, y[n - 1].p, x[n - 1].n) == 0);
    CU_ASSERT(jm_gguf_str(b, "tokenizer.chat_template", &t) && t.n > 10);
}

static void test_formats(void)
{
    /* Uniform rounding errs by step / sqrt(12) a weight. A block's largest value is seldom more
     * than 4 standard deviations, so the step is at most 4/127, 4/16 and 4/8 of one. Q4_K has 15
     * steps for the range of 32 weights, about 4.1; Q6_K has 32 for the largest of 16, about 2,
     * with some room for the weights of a trained model. */
    const struct {
        jm_format to;
        uint32_t file_type;
        double limit;
    } cases[] = {
        { .to = JM_Q8_0, .file_type = 7, .limit = 4.0 / 127 / 3.46 },
        { .to = JM_Q5_0, .file_type = 8, .limit = 4.0 / 16 / 3.46 },
        { .to = JM_Q4_0, .file_type = 2, .limit = 4.0 / 8 / 3.46 },
        { .to = JM_Q4_K, .file_type = 14, .limit = 4.1 / 15 / 3.46 },
        { .to = JM_Q6_K, .file_type = 18, .limit = 2.2 / 32 / 3.46 },
        { .to = JM_F32, .file_type = 0, .limit = 0.0 },
        { .to = JM_BF16, .file_type = 32, .limit = 0x1p-8 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        jm_gguf *a = NULL, *b = NULL;
        jm_err err = { 0 };
        CU_ASSERT_EQUAL(jm_quantize_file(source_path, out_path, cases[i].to, NULL, &err), JM_OK);
        CU_ASSERT_EQUAL(jm_gguf_open(source_path, &a, &err), JM_OK);
        CU_ASSERT_EQUAL(jm_gguf_open(out_path, &b, &err), JM_OK);
        CU_ASSERT_STRING_EQUAL(err.text, "");
        if (a && b)
            check_metadata(a, b, cases[i].file_type);
        for (size_t k = 0; a && b && k < jm_gguf_tensor_count(a); k++)
            check_tensor(jm_gguf_tensor_at(a, k), jm_gguf_tensor_at(b, k), cases[i].to,
                         cases[i].limit);
        jm_gguf_close(a);
        jm_gguf_close(b);
    }
    unlink(out_path);
}

/* A picture model: matrices of its layers change, convolutions, embedders and the pixel head stay,
 * and convolutions keep their dimensions. */
static void test_pictures(void)
{
    jm_err err = { 0 };
    jm_gguf *in, *out;
    size_t changed = 0, stayed = 0;
    CU_ASSERT_EQUAL(jm_quantize_file(JM_DATA "/tiny-u1-f16.gguf", out_path, JM_Q4_0, NULL, &err),
                    JM_OK);
    CU_ASSERT_EQUAL_FATAL(jm_gguf_open(JM_DATA "/tiny-u1-f16.gguf", &in, &err), JM_OK);
    CU_ASSERT_EQUAL_FATAL(jm_gguf_open(out_path, &out, &err), JM_OK);
    for (size_t i = 0; i < jm_gguf_tensor_count(in); i++) {
        const struct jm_tensor *a = jm_gguf_tensor_at(in, i), *b = jm_gguf_tensor(out, a->name);
        CU_ASSERT_PTR_NOT_NULL_FATAL(b);
        CU_ASSERT(a->rows == b->rows && a->cols == b->cols);
        bool small = strncmp(a->name, "fm_modules.", 11) == 0 || a->rows == 1;
        CU_ASSERT_EQUAL(b->format, small ? a->format : JM_Q4_0);
        stayed += small;
        changed += !small;
    }
    CU_ASSERT_EQUAL(changed, 1 + 6 * 14); /* the embedding; 7 matrices of each weight set */
    CU_ASSERT(stayed > 0);
    jm_gguf_close(in);
    jm_gguf_close(out);
    unlink(out_path);
}

/* Rows of n, all of 1 to n. */
static jm_status count_up(void *ctx, size_t i, uint64_t row, uint64_t n, void *dst, jm_err *err)
{
    const struct jm_gguf_new_tensor *t = (const struct jm_gguf_new_tensor *)ctx + i;
    float *x = dst;
    (void)row;
    (void)err;
    for (uint64_t k = 0; k < n * t->dims[0]; k++)
        x[k] = (float)(1 + k % t->dims[0]);
    return JM_OK;
}

/* Rows of 256, 96 and 20: the block fits, a shorter one of the same kind does, none does. */
static void quantize_odd(jm_format to, jm_format shorter)
{
    struct jm_gguf_new_tensor t[] = {
        { .name = "a", .format = JM_F32, .n_dims = 2, .dims = { 256, 3 } },
        { .name = "b", .format = JM_F32, .n_dims = 2, .dims = { 96, 3 } },
        { .name = "c", .format = JM_F32, .n_dims = 2, .dims = { 20, 3 } },
    };
    const jm_format want[] = { to, shorter, JM_F32 };
    struct jm_gguf_new n = { .tensors = t, .n_tensors = 3, .rows = count_up, .ctx = t };
    struct jm_quantized q = { 0 };
    char odd[sizeof out_path + 8];
    jm_err err = { 0 };
    jm_gguf *out;
    snprintf(odd, sizeof odd, "%s.odd", out_path);
    CU_ASSERT_EQUAL_FATAL(jm_gguf_create(odd, &n, &err), JM_OK);
    CU_ASSERT_EQUAL(jm_quantize_file(odd, out_path, to, &q, &err), JM_OK);
    CU_ASSERT_EQUAL_FATAL(jm_gguf_open(out_path, &out, &err), JM_OK);
    for (size_t i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(jm_gguf_tensor_at(out, i)->format, want[i]);
    CU_ASSERT(q.replaced == (shorter != JM_F32) && q.left == 2 - q.replaced);
    CU_ASSERT(q.replaced == 0 || q.replacement == shorter);
    jm_gguf_close(out);
    unlink(odd);
    unlink(out_path);
}

static void test_rows_that_do_not_fit(void)
{
    quantize_odd(JM_Q4_K, JM_Q5_0);
    quantize_odd(JM_Q6_K, JM_Q8_0);
    struct jm_quantized q = { .replaced = 1 };
    CU_ASSERT_EQUAL(jm_quantize_file(source_path, out_path, JM_Q4_K, &q, NULL), JM_OK);
    CU_ASSERT(q.replaced == 0 && q.left == 0);
    unlink(out_path);
}

/* What already has the wanted format is copied: doing it again changes no byte. */
static void test_same_format_copies(void)
{
    jm_err err = { 0 };
    jm_map a = { 0 }, b = { 0 };
    char again[sizeof out_path + 8];
    snprintf(again, sizeof again, "%s.2", out_path);
    CU_ASSERT_EQUAL(jm_quantize_file(source_path, out_path, JM_Q8_0, NULL, &err), JM_OK);
    CU_ASSERT_EQUAL(jm_quantize_file(out_path, again, JM_Q8_0, NULL, &err), JM_OK);
    CU_ASSERT_EQUAL(jm_map_open(out_path, &a, &err), JM_OK);
    CU_ASSERT_EQUAL(jm_map_open(again, &b, &err), JM_OK);
    CU_ASSERT(a.bytes > 0 && a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes) == 0);
    jm_map_close(&a);
    jm_map_close(&b);
    unlink(out_path);
    unlink(again);
}

static void refused(const char *src, const char *dst, jm_format to, jm_status want,
                    const char *words)
{
    jm_err err = { 0 };
    CU_ASSERT_EQUAL(jm_quantize_file(src, dst, to, NULL, &err), want);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, words));
}

static void test_refusals(void)
{
    char linked[sizeof out_path + 8], missing[sizeof out_path + 16];
    refused(source_path, out_path, JM_Q5_K, JM_EUNSUPPORTED, "Q5_K cannot be written");
    refused(source_path, out_path, JM_STQ1_0, JM_EUNSUPPORTED, "STQ1_0 cannot be written");
    refused(source_path, source_path, JM_Q8_0, JM_EUSAGE, "same file");
    snprintf(linked, sizeof linked, "%s.link", out_path);
    CU_ASSERT_EQUAL(symlink(source_path, linked), 0);
    refused(source_path, linked, JM_Q8_0, JM_EUSAGE, "same file");
    unlink(linked);
    refused("/nonexistent/a.gguf", out_path, JM_Q8_0, JM_ENOTFOUND, "/nonexistent/a.gguf");
    snprintf(missing, sizeof missing, "%s/no/b.gguf", folder);
    refused(source_path, missing, JM_Q8_0, JM_EIO, "cannot write");
    CU_ASSERT_NOT_EQUAL(access(missing, F_OK), 0);
    CU_ASSERT_NOT_EQUAL(access(out_path, F_OK), 0);
}

/* A weight that is not finite stops the work, and neither file nor half a file remains. */
static void test_not_finite(void)
{
    char bad[sizeof out_path + 8];
    jm_err err = { 0 };
    jm_map map = { 0 };
    snprintf(bad, sizeof bad, "%s.bad", out_path);
    CU_ASSERT_EQUAL(jm_map_open(source_path, &map, &err), JM_OK);
    uint8_t *copy = map.bytes > 0 ? malloc(map.bytes) : NULL;
    if (copy) {
        memcpy(copy, map.data, map.bytes);
        copy[map.bytes - 1] = 0x7c; /* the last F16 weight: infinity or NaN */
        CU_ASSERT_EQUAL(jm_write_file(bad, copy, map.bytes, &err), JM_OK);
        refused(bad, out_path, JM_Q8_0, JM_EINPUT, "blk.5.ffn_down.weight");
        CU_ASSERT_NOT_EQUAL(access(out_path, F_OK), 0);
        unlink(bad);
    }
    free(copy);
    jm_map_close(&map);
    CU_ASSERT_EQUAL(rmdir(folder), 0); /* empty: no temporary file was left */
}

int main(void)
{
    if (!mkdtemp(folder) || CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    snprintf(out_path, sizeof out_path, "%s/out.gguf", folder);
    CU_pSuite s = CU_add_suite("quantize", NULL, NULL);
    CU_add_test(s, "formats", test_formats);
    CU_add_test(s, "a picture model", test_pictures);
    CU_add_test(s, "rows that do not fit", test_rows_that_do_not_fit);
    CU_add_test(s, "same format copies", test_same_format_copies);
    CU_add_test(s, "refusals", test_refusals);
    CU_add_test(s, "not finite", test_not_finite);
    CU_basic_run_tests();
    int failed = CU_get_number_of_failures() > 0;
    CU_cleanup_registry();
    return failed;
}
