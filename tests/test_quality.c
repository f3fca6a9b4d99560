/* SPDX-License-Identifier: Apache-2.0 */
/* BLEU and chrF against the numbers of sacrebleu 2.6.0 (fixtures/mt_metrics.json: two European
 * languages, Chinese, Arabic, and edge cases), and what they refuse. */
#include <CUnit/Basic.h>
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "workloads/translate/bleu.h"
#include "workloads/translate/chrf.h"

enum { MAX_SEGMENTS = 16 };

static void check(const cJSON *set, const char *key, double corpus, const double *sentence)
{
    char name[64];
    snprintf(name, sizeof name, "%s_sentence", key);
    const cJSON *one = cJSON_GetObjectItemCaseSensitive(set, key);
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(set, name), *item;
    const char *set_name = cJSON_GetObjectItemCaseSensitive(set, "name")->valuestring;
    int i = 0;

    CU_ASSERT(fabs(corpus - one->valuedouble) <= 1e-6);
    if (!(fabs(corpus - one->valuedouble) <= 1e-6))
        printf("\n%s %s: got %.12g, want %.12g\n", set_name, key, corpus, one->valuedouble);
    cJSON_ArrayForEach(item, list)
    {
        CU_ASSERT(fabs(sentence[i] - item->valuedouble) <= 1e-6);
        if (!(fabs(sentence[i] - item->valuedouble) <= 1e-6))
            printf("\n%s %s %d: got %.12g, want %.12g\n", set_name, key, i, sentence[i],
                   item->valuedouble);
        i++;
    }
}

static size_t strings(const cJSON *set, const char *key, const char *out[MAX_SEGMENTS])
{
    const cJSON *item;
    size_t n = 0;

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(set, key))
    {
        if (n < MAX_SEGMENTS)
            out[n++] = item->valuestring;
    }
    return n;
}

static void test_golden(void)
{
    jm_map map;
    jm_err err = { .status = JM_OK };
    const cJSON *set;
    int sets = 0;

    CU_ASSERT_EQUAL_FATAL(jm_map_open(JM_FIXTURES "/mt_metrics.json", &map, &err), JM_OK);
    cJSON *root = cJSON_ParseWithLength((const char *)map.data, map.bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(root);
    cJSON_ArrayForEach(set, cJSON_GetObjectItemCaseSensitive(root, "sets"))
    {
        const char *hyp[MAX_SEGMENTS], *ref[MAX_SEGMENTS];
        double corpus = NAN, sentence[MAX_SEGMENTS];
        size_t n = strings(set, "hyp", hyp);
        bool zh =
            strcmp(cJSON_GetObjectItemCaseSensitive(set, "bleu_tokenizer")->valuestring, "zh") == 0;
        CU_ASSERT_EQUAL_FATAL(strings(set, "ref", ref), n);
        CU_ASSERT_EQUAL(jm_bleu(hyp, ref, n, zh, &corpus, sentence, &err), JM_OK);
        check(set, "bleu", corpus, sentence);
        CU_ASSERT_EQUAL(jm_chrf(hyp, ref, n, 0, &corpus, sentence, &err), JM_OK);
        check(set, "chrf2", corpus, sentence);
        CU_ASSERT_EQUAL(jm_chrf(hyp, ref, n, 2, &corpus, sentence, &err), JM_OK);
        check(set, "chrf2++", corpus, sentence);
        CU_ASSERT_EQUAL(jm_bleu(hyp, ref, n, zh, &corpus, NULL, &err), JM_OK);
        CU_ASSERT_EQUAL(jm_chrf(hyp, ref, n, 2, &corpus, NULL, &err), JM_OK);
        sets++;
    }
    CU_ASSERT_EQUAL(sets, 6);
    cJSON_Delete(root);
    jm_map_close(&map);
}

static void test_refused(void)
{
    static const char *const bad[] = {
        "\xff", "a\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82"
    };
    const char *good = "a";
    double corpus;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        jm_err err = { .status = JM_OK };
        CU_ASSERT_EQUAL(jm_bleu(&bad[i], &good, 1, false, &corpus, NULL, &err), JM_EINPUT);
        CU_ASSERT(err.text[0] != '\0');
        CU_ASSERT_EQUAL(jm_bleu(&good, &bad[i], 1, true, &corpus, NULL, NULL), JM_EINPUT);
        CU_ASSERT_EQUAL(jm_chrf(&bad[i], &good, 1, 2, &corpus, NULL, NULL), JM_EINPUT);
        CU_ASSERT_EQUAL(jm_chrf(&good, &bad[i], 1, 0, &corpus, NULL, NULL), JM_EINPUT);
    }
    CU_ASSERT_EQUAL(jm_bleu(&good, &good, 0, false, &corpus, NULL, NULL), JM_EUSAGE);
    CU_ASSERT_EQUAL(jm_chrf(&good, &good, 0, 2, &corpus, NULL, NULL), JM_EUSAGE);
    CU_ASSERT_EQUAL(jm_chrf(&good, &good, 1, 3, &corpus, NULL, NULL), JM_EUSAGE);
}

static void test_empty(void)
{
    const char *hyp[] = { "", " \t", "word" }, *ref[] = { "", "word", "" };
    double corpus, one[3];

    CU_ASSERT_EQUAL(jm_bleu(hyp, ref, 3, false, &corpus, one, NULL), JM_OK);
    CU_ASSERT(one[0] <= 0.0 && one[1] <= 0.0 && one[2] <= 0.0 && corpus <= 0.0);
    CU_ASSERT_EQUAL(jm_chrf(hyp, ref, 3, 2, &corpus, one, NULL), JM_OK);
    CU_ASSERT(one[0] <= 0.0 && one[1] <= 0.0 && one[2] <= 0.0 && corpus <= 100.0);
}

/* Half a million identical words: a pairwise comparison would take hours. */
static void test_long(void)
{
    size_t words = 500000;
    char *text = malloc(words * 2 + 1);
    double corpus;

    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    for (size_t i = 0; i < words; i++)
        memcpy(text + 2 * i, "a ", 2);
    text[2 * words] = '\0';
    const char *both = text;
    int64_t start = jm_now_ns();
    CU_ASSERT_EQUAL(jm_bleu(&both, &both, 1, false, &corpus, NULL, NULL), JM_OK);
    CU_ASSERT(fabs(corpus - 100.0) <= 1e-6);
    CU_ASSERT_EQUAL(jm_chrf(&both, &both, 1, 2, &corpus, NULL, NULL), JM_OK);
    CU_ASSERT(fabs(corpus - 100.0) <= 1e-6);
    CU_ASSERT(jm_now_ns() - start < INT64_C(30000000000));
    free(text);
}

int main(void)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 2;
    CU_pSuite s = CU_add_suite("quality", NULL, NULL);
    CU_add_test(s, "sacrebleu's numbers", test_golden);
    CU_add_test(s, "refused", test_refused);
    CU_add_test(s, "empty", test_empty);
    CU_add_test(s, "long text", test_long);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed ? 1 : 0;
}
