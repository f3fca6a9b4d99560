/* SPDX-License-Identifier: Apache-2.0 */
/* The data set reader: the bundled sets, order and look-up, and what it refuses and where. */
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "workloads/rows.h"
#include "workloads/translate/dataset.h"

#define HEAD "id,lang,text\n"

static char path[] = "/tmp/jm-test-dataset-XXXXXX";

static jm_status open_bytes(const void *data, size_t bytes, jm_dataset **ds, jm_err *err)
{
    *err = (jm_err){ .status = JM_OK };
    CU_ASSERT_EQUAL_FATAL(jm_write_file(path, data, bytes, NULL), JM_OK);
    return jm_dataset_open(path, ds, err);
}

static void test_good(void)
{
    static const char text[] = "\xef\xbb\xbfid,lang,text\r\n"
                               "b,de,\"Ja, \"\"gut\"\"\nund schön\"\r\n"
                               "b,en,Yes\r\n"
                               "\r\n"
                               "a,en,No\r\n"
                               "a,zh-Hant,不\r\n"
                               "a,de,Nein";
    jm_dataset *ds;
    jm_err err;

    CU_ASSERT_EQUAL_FATAL(open_bytes(text, sizeof text - 1, &ds, &err), JM_OK);
    CU_ASSERT_EQUAL(jm_dataset_segments(ds), 2);
    CU_ASSERT_EQUAL(jm_dataset_languages(ds), 2);
    CU_ASSERT_STRING_EQUAL(jm_dataset_language(ds, 0), "de");
    CU_ASSERT_STRING_EQUAL(jm_dataset_language(ds, 1), "zh-Hant");
    CU_ASSERT_PTR_NULL(jm_dataset_language(ds, 2));
    CU_ASSERT_STRING_EQUAL(jm_dataset_id(ds, 0), "b");
    CU_ASSERT_STRING_EQUAL(jm_dataset_id(ds, 1), "a");
    CU_ASSERT_PTR_NULL(jm_dataset_id(ds, 2));
    CU_ASSERT_STRING_EQUAL(jm_dataset_source(ds, 0), "Yes");
    CU_ASSERT_STRING_EQUAL(jm_dataset_reference(ds, 0, "de"), "Ja, \"gut\"\nund schön");
    CU_ASSERT_STRING_EQUAL(jm_dataset_reference(ds, 1, "zh-Hant"), "不");
    CU_ASSERT_PTR_NULL(jm_dataset_reference(ds, 0, "zh-Hant"));
    CU_ASSERT_PTR_NULL(jm_dataset_reference(ds, 2, "de"));
    char hex[JM_SHA256_HEX];
    CU_ASSERT_EQUAL(jm_sha256(text, sizeof text - 1, hex, NULL), JM_OK);
    CU_ASSERT_STRING_EQUAL(jm_dataset_sha256(ds), hex);
    jm_dataset_close(ds);
    jm_dataset_close(NULL);
}

static void test_bad(void)
{
    static const struct {
        const char *text, *says; /* says: part of the sentence */
    } bad[] = {
        { "", "no data" },
        { HEAD, "no data" },
        { "a,en,Yes\n", ":1: the first line" },
        { "id,lang\na,en\n", ":1: 2 fields" },
        { "id,text,lang\n", ":1: the first line" },
        { HEAD "a,en\n", ":2: 2 fields" },
        { HEAD "a,en,one,two\n", ":2: more than three" },
        { HEAD "a,en,\n", ":2: the text is empty" },
        { HEAD ",en,x\n", ":2: the id is empty" },
        { HEAD "a,e n,x\n", ":2: 'e n' is no language" },
        { HEAD "a,en,x\na,de,y\nb,en,z\na,de,w\n", ":5: id a has text in de already, at line 3" },
        { HEAD "a,en,x\n\nb,de,y\n", ":4: id b has no English" },
        { HEAD "a,en,x\nb,en,\xc3(\n", ":3: the text is not UTF-8" },
        { HEAD "a,en,\xed\xa0\x80\n", ":2: the text is not UTF-8" },
        { HEAD "a,en,\"x\n", ":2: a quoted field is not closed" },
        { HEAD "a,en,x\"y\n", ":2: " },
        { HEAD "a,en,\"x\"y\n", ":2: " },
        { HEAD "a,abcdefghijklmnopq,x\n", ":2: the lang has 17 bytes" },
    };
    jm_dataset *ds;
    jm_err err;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CU_ASSERT_EQUAL(open_bytes(bad[i].text, strlen(bad[i].text), &ds, &err), JM_EINPUT);
        CU_ASSERT_PTR_NULL(ds);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, bad[i].says));
        if (!strstr(err.text, bad[i].says))
            printf("\n%s\nshould say: %s\n", err.text, bad[i].says);
    }
    static const char nul[] = HEAD "a,en,x\0y\n";
    CU_ASSERT_EQUAL(open_bytes(nul, sizeof nul - 1, &ds, &err), JM_EINPUT);
    CU_ASSERT_EQUAL(jm_dataset_open("/nonexistent/x.csv", &ds, &err), JM_ENOTFOUND);
    CU_ASSERT_EQUAL(jm_dataset_open("/", &ds, NULL), JM_EIO);
}

static void test_long_text(void)
{
    size_t head = strlen(HEAD "a,en,"), n = head + JM_ROWS_TEXT_BYTES + 1;
    char *text = malloc(n + 1);
    jm_dataset *ds;
    jm_err err;

    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    memset(text, 'x', n);
    memcpy(text, HEAD "a,en,", head);
    CU_ASSERT_EQUAL(open_bytes(text, n - 1, &ds, &err), JM_OK);
    jm_dataset_close(ds);
    CU_ASSERT_EQUAL(open_bytes(text, n, &ds, &err), JM_EINPUT);
    free(text);
}

/* Cut anywhere, a file is read or refused, and nothing leaks. */
static void test_cut(void)
{
    static const char text[] =
        HEAD "a,en,Yes\na,de,\"Ja, \"\"gut\"\"\"\nb,en,\"天\"\nb,de,\"x\n\"\n";
    jm_dataset *ds;
    jm_err err;

    for (size_t n = 0; n < sizeof text; n++) {
        jm_status st = open_bytes(text, n, &ds, &err);
        CU_ASSERT(st == JM_OK || st == JM_EINPUT);
        CU_ASSERT((st == JM_OK) == (ds != NULL));
        jm_dataset_close(ds);
    }
}

static void check_bundled(const char *file, size_t segments, size_t least_langs)
{
    jm_dataset *ds;
    jm_err err = { .status = JM_OK };

    CU_ASSERT_EQUAL(jm_dataset_open(file, &ds, &err), JM_OK);
    if (!ds) {
        printf("\n%s\n", err.text);
        return;
    }
    CU_ASSERT_EQUAL(jm_dataset_segments(ds), segments);
    CU_ASSERT(jm_dataset_languages(ds) >= least_langs);
    for (size_t i = 0; i < jm_dataset_segments(ds); i++)
        for (size_t j = 0; j < jm_dataset_languages(ds); j++)
            CU_ASSERT_PTR_NOT_NULL(jm_dataset_reference(ds, i, jm_dataset_language(ds, j)));
    jm_dataset_close(ds);
}

static void test_bundled(void)
{
    check_bundled(JM_DATA "/jm-ui.csv", 200, 4);
    check_bundled(JM_DATA "/jm38.csv", 40, 37);
}

int main(void)
{
    int fd = mkstemp(path);
    if (fd < 0 || CU_initialize_registry() != CUE_SUCCESS)
        return 2;
    close(fd);
    CU_pSuite s = CU_add_suite("dataset", NULL, NULL);
    CU_add_test(s, "good", test_good);
    CU_add_test(s, "bad", test_bad);
    CU_add_test(s, "long text", test_long_text);
    CU_add_test(s, "cut short", test_cut);
    CU_add_test(s, "bundled", test_bundled);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    unlink(path);
    return failed ? 1 : 0;
}
