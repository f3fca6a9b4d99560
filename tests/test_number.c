/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers in text: what is taken, what is refused, and that a refusal changes nothing. */
#include <CUnit/Basic.h>
#include <float.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"

static const char *const no_whole[] = {
    "",    " ",   " 1",   "1 ",  "+1",  "-1",   "-",
    "1.0", "1e3", "0x10", "1_0", "one", "\xb2", "18446744073709551616"
};

static void test_whole(void)
{
    uint64_t v = 7;
    for (size_t i = 0; i < sizeof no_whole / sizeof *no_whole; i++)
        CU_ASSERT(!jm_number_u64(no_whole[i], 0, UINT64_MAX, &v) && v == 7);
    CU_ASSERT(!jm_number_u64("4", 5, 9, &v) && !jm_number_u64("10", 5, 9, &v) && v == 7);
    CU_ASSERT(jm_number_u64("5", 5, 9, &v) && v == 5);
    CU_ASSERT(jm_number_u64("009", 5, 9, &v) && v == 9);
    CU_ASSERT(jm_number_u64("18446744073709551615", 0, UINT64_MAX, &v) && v == UINT64_MAX);
    uint32_t small = 7;
    CU_ASSERT(!jm_number_u32("4294967296", 0, UINT32_MAX, &small) && small == 7);
    CU_ASSERT(jm_number_u32("4294967295", 0, UINT32_MAX, &small) && small == UINT32_MAX);
}

static void test_signed(void)
{
    int64_t v = 7;
    static const char *const bad[] = {
        "", "-", "--1", "+1", " -1", "- 1", "9223372036854775808", "-9223372036854775809", "-1.5"
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CU_ASSERT(!jm_number_i64(bad[i], INT64_MIN, INT64_MAX, &v) && v == 7);
    CU_ASSERT(!jm_number_i64("-3", -2, 2, &v) && !jm_number_i64("3", -2, 2, &v) && v == 7);
    CU_ASSERT(jm_number_i64("-2", -2, 2, &v) && v == -2);
    CU_ASSERT(jm_number_i64("-0", -2, 2, &v) && v == 0);
    CU_ASSERT(jm_number_i64("-9223372036854775808", INT64_MIN, 0, &v) && v == INT64_MIN);
    CU_ASSERT(jm_number_i64("9223372036854775807", 0, INT64_MAX, &v) && v == INT64_MAX);
}

static void test_real(void)
{
    double v = 7;
    static const char *const bad[] = { "",     " 1", "1 ",   "nan",   "inf",    "-inf",    "0x1p3",
                                       "-0X1", "1e", "1e+",  ".",     "-.",     "+",       "--1",
                                       "1,5",  "e3", "1.5s", "1e999", "-1e999", "infinity" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CU_ASSERT(!jm_number_real(bad[i], -DBL_MAX, DBL_MAX, &v) && v == 7);
    CU_ASSERT(!jm_number_real("0.49", 0.5, 1, &v) && !jm_number_real("1.01", 0.5, 1, &v) && v == 7);
    CU_ASSERT(jm_number_real("-2.5e-3", -1, 1, &v) && v == -2.5e-3);
    CU_ASSERT(jm_number_real("+.5", 0.5, 1, &v) && v == 0.5);
    CU_ASSERT(jm_number_real("1.", 0.5, 1, &v) && v == 1);
}

static void test_begins(void)
{
    const char *end = NULL;
    uint64_t n = 7;
    double v = 7;
    CU_ASSERT(jm_number_begins_u64("12 kB", &n, &end) && n == 12 && strcmp(end, " kB") == 0);
    CU_ASSERT(!jm_number_begins_u64(" 12", &n, &end) && n == 12 && strcmp(end, " kB") == 0);
    CU_ASSERT(jm_number_begins_real("-1.5%", &v, &end) && v == -1.5 && strcmp(end, "%") == 0);
    CU_ASSERT(!jm_number_begins_real("0x1", &v, &end) && v == -1.5 && strcmp(end, "%") == 0);
}

static void test_given(void)
{
    uint64_t n = 7;
    uint32_t small = 7;
    double v = 7;
    jm_err e = { .status = JM_OK };
    CU_ASSERT_EQUAL(jm_number_given_u64("--seed", "-1", 0, UINT64_MAX, &n, &e), JM_EUSAGE);
    CU_ASSERT_STRING_EQUAL(
        e.text, "--seed must be a whole number from 0 to 18446744073709551615, not '-1'");
    e = (jm_err){ .status = JM_OK };
    CU_ASSERT_EQUAL(jm_number_given_u32("--n", "9", 1, 8, &small, &e), JM_EUSAGE);
    CU_ASSERT_STRING_EQUAL(e.text, "--n must be a whole number from 1 to 8, not '9'");
    e = (jm_err){ .status = JM_OK };
    CU_ASSERT_EQUAL(jm_number_given_real("--cfg", "x", 0, 0.5, &v, &e), JM_EUSAGE);
    CU_ASSERT_STRING_EQUAL(e.text, "--cfg must be a number from 0 to 0.5, not 'x'");
    CU_ASSERT(n == 7 && small == 7 && v == 7);
    CU_ASSERT_EQUAL(jm_number_given_u32("--n", "8", 1, 8, &small, NULL), JM_OK);
    CU_ASSERT_EQUAL(small, 8);
}

int main(void)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite s = CU_add_suite("number", NULL, NULL);
    CU_add_test(s, "whole", test_whole);
    CU_add_test(s, "signed", test_signed);
    CU_add_test(s, "real", test_real);
    CU_add_test(s, "at the beginning", test_begins);
    CU_add_test(s, "given by a user", test_given);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures != 0;
}
