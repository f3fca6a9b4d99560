/* SPDX-License-Identifier: Apache-2.0 */
/* The translation workload from issue to score, and plain translation, with the bundled model. */
#include <CUnit/Basic.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/loader.h"
#include "workloads/translate/translate.h"
#include "workloads/translate/translator.h"

#define MODEL JM_DATA "/tiny-mt-f16.gguf"

enum { N = 40 };

static jm_backend backend;
static jm_device *device;

static struct jm_workload_config config(const char *languages)
{
    return (struct jm_workload_config){ .model_path = MODEL,
                                        .data_path = JM_DATA "/jm-ui.csv",
                                        .languages = languages,
                                        .batch = 8,
                                        .ops = backend.ops,
                                        .device = device };
}

static void run_window(jm_workload *w, struct jm_timing *timing)
{
    const struct jm_sut *sut = jm_translate_workload.sut(w);
    struct jm_sink sink = { .timing = timing, .capacity = N };
    CU_ASSERT_FATAL(sut->n_samples >= N);
    memset(timing, 0, N * sizeof *timing); /* an answer counts once */
    CU_ASSERT_EQUAL_FATAL(sut->begin(sut->state, N, NULL), JM_OK);
    for (uint32_t i = 0; i < N; i++) {
        struct jm_sample s = { .id = i, .index = i };
        CU_ASSERT_EQUAL_FATAL(sut->issue(sut->state, &s, 1, NULL), JM_OK);
    }
    while (sink.done < N)
        CU_ASSERT_EQUAL_FATAL(sut->step(sut->state, &sink, NULL), JM_OK);
    for (uint32_t i = 0; i < N; i++) {
        CU_ASSERT(timing[i].tokens_in > 2 && timing[i].first_ns > 0);
        CU_ASSERT(timing[i].done_ns >= timing[i].first_ns);
    }
}

/* Answers by their ids: any order is the same set, a part is another, and a stranger is refused. */
static void test_score_of_some(jm_workload *w)
{
    uint32_t ids[N];
    struct jm_quality all, back, half;
    for (uint32_t i = 0; i < N; i++)
        ids[i] = N - 1 - i;
    CU_ASSERT_EQUAL(jm_translate_workload.score(w, NULL, N, &all, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_translate_workload.score(w, ids, N, &back, NULL), JM_OK);
    CU_ASSERT_DOUBLE_EQUAL(all.value, back.value, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(all.length_ratio, back.length_ratio, 1e-12);
    CU_ASSERT_EQUAL(jm_translate_workload.score(w, ids, N / 2, &half, NULL), JM_OK);
    CU_ASSERT(half.n == N / 2 && fabs(half.value - all.value) > 1e-6);
    ids[0] = N;
    CU_ASSERT_EQUAL(jm_translate_workload.score(w, ids, 1, &half, NULL), JM_EUSAGE);
}

static void test_workload(void)
{
    struct jm_timing timing[N] = { { 0 } };
    struct jm_workload_config cfg = config("de, fr,zh");
    jm_workload *w;
    jm_err err = { 0 };
    struct jm_quality q;
    struct jm_model_info info;
    char first[1024];
    const char *text;
    CU_ASSERT_EQUAL_FATAL(jm_translate_workload.open(&cfg, &w, &err), JM_OK);
    run_window(w, timing);
    CU_ASSERT_EQUAL(jm_translate_workload.score(w, NULL, N, &q, &err), JM_OK);
    CU_ASSERT_EQUAL(q.n, N);
    test_score_of_some(w);
    CU_ASSERT(q.value > 5 && q.value < 100 && q.worst <= q.value && q.length_ratio > 0.2);
    CU_ASSERT_EQUAL(jm_translate_workload.answer(w, 3, &text, &err), JM_OK);
    snprintf(first, sizeof first, "%s", text);
    run_window(w, timing); /* again, the same */
    CU_ASSERT_EQUAL(jm_translate_workload.answer(w, 3, &text, &err), JM_OK);
    CU_ASSERT_STRING_EQUAL(first, text);
    CU_ASSERT_EQUAL(jm_translate_workload.answer(w, N, &text, NULL), JM_EUSAGE);
    jm_translate_workload.info(w, &info);
    CU_ASSERT_STRING_EQUAL(info.format, "F16");
    CU_ASSERT_EQUAL(info.bits_per_weight_block, 16.0);
    CU_ASSERT_EQUAL(strlen(info.sha256), 64);
    jm_translate_workload.close(w);
}

static void test_languages(void)
{
    static const char *const bad[] = { "de,grman", "xx", "ja" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct jm_workload_config cfg = config(bad[i]);
        jm_workload *w;
        jm_err err = { 0 };
        CU_ASSERT_EQUAL(jm_translate_workload.open(&cfg, &w, &err), JM_EUSAGE);
        CU_ASSERT_PTR_NULL(w);
    }
}

static void append(void *user, const char *utf8, size_t n)
{
    char *out = user;
    size_t at = strlen(out);
    if (at + n < 512) {
        memcpy(out + at, utf8, n);
        out[at + n] = '\0';
    }
}

static void test_translator(void)
{
    static char text[4000];
    char out[512] = "";
    jm_translator *t;
    jm_err err = { 0 };
    CU_ASSERT_EQUAL_FATAL(jm_translator_open(MODEL, backend.ops, device, 1, JM_F16, &t, &err),
                          JM_OK);
    CU_ASSERT_EQUAL(jm_translate_line(t, "Save the file", 13, "de", append, out, &err), JM_OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(out, "Datei speichern"));
    *out = '\0';
    CU_ASSERT_EQUAL(jm_translate_line(t, " ", 1, "de", append, out, &err), JM_OK);
    CU_ASSERT_EQUAL(jm_translate_line(t, "", 0, "de", append, out, &err), JM_OK);
    CU_ASSERT_STRING_EQUAL(out, "");
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "abc de "[i % 7];
    CU_ASSERT_EQUAL(jm_translate_line(t, text, sizeof text, "de", append, out, &err), JM_EUSAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "256"));
    CU_ASSERT_EQUAL(jm_translate_line(t, "a", 1, "grman", append, out, NULL), JM_EUSAGE);
    CU_ASSERT_EQUAL(jm_translate_line(t, "a", 1, "ja", append, out, NULL), JM_EUNSUPPORTED);
    jm_translator_close(t);
}

static void test_registry(void)
{
    size_t n;
    const struct jm_workload_ops *const *all = jm_workloads(&n);
    CU_ASSERT_FATAL(n >= 1);
    CU_ASSERT_STRING_EQUAL(all[0]->name, "translate");
}

int main(void)
{
    const char *name = getenv("JM_TEST_BACKEND");
    const char *threads = getenv("JM_TEST_THREADS");
    struct jm_device_options opt = { .threads = threads ? (uint32_t)atoi(threads) : 1 };
    jm_err err = { 0 };
    if (jm_backend_load(name ? name : "cpu", &backend, &err) != JM_OK ||
        backend.ops->open(0, &opt, &device, &err) != JM_OK) {
        fprintf(stderr, "test_translate: %s\n", err.text);
        return EXIT_FAILURE;
    }
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("translate", NULL, NULL);
    CU_add_test(s, "workload", test_workload);
    CU_add_test(s, "languages", test_languages);
    CU_add_test(s, "translator", test_translator);
    CU_add_test(s, "registry", test_registry);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    backend.ops->close(device);
    jm_backend_unload(&backend);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
