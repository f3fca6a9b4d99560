/* SPDX-License-Identifier: Apache-2.0 */
/* Suite files and options: defaults, inheritance, and errors with their line. */
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "harness/suite.h"

static char file[] = "/tmp/jm-test-suite-XXXXXX";

static jm_status load(const char *text, struct jm_run_config **runs, size_t *n, jm_err *err)
{
    *err = (jm_err){ .status = JM_OK };
    CU_ASSERT_EQUAL(jm_write_file(file, text, strlen(text), NULL), JM_OK);
    return jm_suite_load(file, runs, n, err);
}

static void test_good(void)
{
    struct jm_run_config *r;
    size_t n;
    jm_err e;
    CU_ASSERT_EQUAL_FATAL(
        load("; c\n[global]\nthreads = 2\n  seed=9\n[a]\n[b]\nthreads=3\n", &r, &n, &e), JM_OK);
    CU_ASSERT_EQUAL_FATAL(n, 2);
    CU_ASSERT_EQUAL(r[0].threads, 2);
    CU_ASSERT_EQUAL(r[1].threads, 3);
    CU_ASSERT_EQUAL(r[1].seed, 9);
    CU_ASSERT_STRING_EQUAL(r[0].name, "a");
    CU_ASSERT_STRING_EQUAL(r[0].workload, "translate");
    free(r);
    CU_ASSERT_EQUAL(jm_suite_load(JM_SOURCE "/suites/default.ini", &r, &n, NULL), JM_OK);
    free(r);
}

static void test_bad(void)
{
    static const char *const bad[][2] = {
        { "[a]\nthread = 2\n", ":2: unknown key 'thread'; did you mean 'threads'?" },
        { "[a]\nmin_duration_s = 2\n", "'min_duration_s'; did you mean 'min-duration-s'?" },
        { "[a]\nthreads = -2\n", ":2: threads must be" },
        { "[a]\nthreads = 5000\n", ":2: threads must be" },
        { "[a]\nwarmup-s = nan\n", ":2: warmup-s must be" },
        { "[a]\n[b]\n[a]\n", ":3: a second section [a]" },
        { "[a]\nseed=1\nseed=2\n", ":3: 'seed' is given twice" },
        { "[a]\n[global]\n", ":2: [global] must" },
        { "seed = 1\n", ":1: 'seed' stands before" },
        { "[a]\nnonsense\n", ":2: neither" },
        { "[a\n", ":1: a section is" },
        { "[global]\nseed=1\n", "no run" },
        { "", "no run" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct jm_run_config *r;
        size_t n;
        jm_err e;
        CU_ASSERT_EQUAL(load(bad[i][0], &r, &n, &e), JM_EINPUT);
        CU_ASSERT_PTR_NULL(r);
        if (!strstr(e.text, bad[i][1]))
            (void)printf("\n%s\n", e.text);
        CU_ASSERT_PTR_NOT_NULL(strstr(e.text, bad[i][1]));
    }
}

static void test_command_line(void)
{
    char *argv[] = { "run",    "--threads",      "2", "--min-queries=5", "--thread",
                     "--seed", "--min_queries=5" };
    struct jm_run_config c;
    jm_run_config_init(&c);
    int i = 1;
    CU_ASSERT_EQUAL(jm_option_parse(&c, 7, argv, &i, NULL), JM_OK);
    CU_ASSERT_EQUAL(i, 3);
    CU_ASSERT_EQUAL(jm_option_parse(&c, 7, argv, &i, NULL), JM_OK);
    CU_ASSERT_EQUAL(i, 4);
    CU_ASSERT(c.threads == 2 && c.min_queries == 5);
    CU_ASSERT_EQUAL(jm_option_parse(&c, 6, argv, &i, NULL), JM_EUSAGE);
    i = 5; /* the last of six: no value */
    CU_ASSERT_EQUAL(jm_option_parse(&c, 6, argv, &i, NULL), JM_EUSAGE);
    jm_err e = { .status = JM_OK };
    i = 6;
    CU_ASSERT_EQUAL(jm_option_parse(&c, 7, argv, &i, &e), JM_EUSAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "did you mean 'min-queries'?"));
}

static void test_changed(void)
{
    struct jm_run_config c;
    jm_run_config_init(&c);
    static const char *const set[][3] = { { "size", "0", "64" },
                                          { "cfg", "-1", "1.5" },
                                          { "seed", "1", "18446744073709551615" },
                                          { "find-peak", "no", "yes" },
                                          { "tokenizer", "", "x" } };
    CU_ASSERT(jm_option_set(&c, "tokenizer", "longer", "", NULL) == JM_OK);
    for (size_t i = 0; i < sizeof set / sizeof *set; i++) {
        CU_ASSERT(jm_option_set(&c, set[i][0], set[i][1], "", NULL) == JM_OK);
        CU_ASSERT(jm_option_given(&c, set[i][0]) && !jm_option_changed(&c, set[i][0]));
        CU_ASSERT(jm_option_set(&c, set[i][0], set[i][2], "", NULL) == JM_OK);
        CU_ASSERT(jm_option_changed(&c, set[i][0]));
    }
    CU_ASSERT(!jm_option_changed(&c, "threads") && !jm_option_changed(&c, "no such"));
}

static void test_flags(void)
{
    char *argv[] = { "--find-peak", "--find-peak=no", "--shuffle", "--find-peak=maybe" };
    struct jm_run_config c;
    jm_err e = { .status = JM_OK };
    jm_run_config_init(&c);
    CU_ASSERT(c.find_peak == 0 && c.shuffle == 0);
    int i = 0;
    CU_ASSERT_EQUAL(jm_option_parse(&c, 4, argv, &i, NULL), JM_OK);
    CU_ASSERT(i == 1 && c.find_peak == 1);
    CU_ASSERT_EQUAL(jm_option_parse(&c, 4, argv, &i, NULL), JM_OK);
    CU_ASSERT(i == 2 && c.find_peak == 0);
    CU_ASSERT_EQUAL(jm_option_parse(&c, 4, argv, &i, NULL), JM_OK);
    CU_ASSERT(i == 3 && c.shuffle == 1);
    CU_ASSERT_EQUAL(jm_option_parse(&c, 4, argv, &i, &e), JM_EUSAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "yes or no"));
}

int main(void)
{
    int fd = mkstemp(file);
    if (fd < 0 || CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    (void)close(fd);
    CU_pSuite s = CU_add_suite("suite", NULL, NULL);
    CU_add_test(s, "good", test_good);
    CU_add_test(s, "bad", test_bad);
    CU_add_test(s, "command line", test_command_line);
    CU_add_test(s, "changed", test_changed);
    CU_add_test(s, "flags", test_flags);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    (void)unlink(file);
    return failures != 0;
}
