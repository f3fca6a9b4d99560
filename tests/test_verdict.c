/* SPDX-License-Identifier: Apache-2.0 */
/* Quality tiers, and what makes a run invalid. */
#include <CUnit/Basic.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/record/verdict.h"

static void test_tiers(void)
{
    CU_ASSERT_STRING_EQUAL(jm_quality_tier(1.2), "0.999");
    CU_ASSERT_STRING_EQUAL(jm_quality_tier(0.999), "0.999");
    CU_ASSERT_STRING_EQUAL(jm_quality_tier(0.9989), "0.99");
    CU_ASSERT_STRING_EQUAL(jm_quality_tier(0.97), "0.97");
    CU_ASSERT_STRING_EQUAL(jm_quality_tier(0.9699), "0.95");
    CU_ASSERT_STRING_EQUAL(jm_quality_tier(0.916), "below 0.95");
    CU_ASSERT_STRING_EQUAL(jm_quality_tier(0), "below 0.95");
    CU_ASSERT_STRING_EQUAL(jm_quality_tier(NAN), "");
}

static struct jm_record judged(double ratio, double required, double length, double reference)
{
    struct jm_record row;
    jm_record_clear(&row);
    row.quality_ratio = ratio;
    row.quality_required = required;
    row.quality_length_ratio = length;
    row.quality_length_reference = reference;
    jm_record_text(row.quality_reason, "no reference");
    jm_quality_judge(&row);
    return row;
}

static void test_judge(void)
{
    struct jm_record row = judged(0.916, 0.99, 1, 1);
    CU_ASSERT_STRING_EQUAL(row.quality_valid, "no");
    CU_ASSERT_STRING_EQUAL(row.quality_reason, "quality is 91.6% of the reference's, needs 99%");
    row = judged(0.916, 0.9, 1, 1);
    CU_ASSERT_STRING_EQUAL(row.quality_valid, "yes");
    CU_ASSERT_STRING_EQUAL(row.quality_tier, "below 0.95");
    CU_ASSERT_STRING_EQUAL(row.quality_reason, "");
    row = judged(1, 0.99, 1.05, 0.9); /* 1.17 times as long */
    CU_ASSERT_STRING_EQUAL(row.quality_valid, "no");
    CU_ASSERT_PTR_NOT_NULL(strstr(row.quality_reason, "1.17 times as long"));
    CU_ASSERT_STRING_EQUAL(judged(1, 0.99, 0.8, 0.9).quality_valid, "no");
    CU_ASSERT_STRING_EQUAL(judged(1, 0.99, 0.82, 0.9).quality_valid, "yes");
    row = judged(NAN, 0.99, 1, NAN);
    CU_ASSERT_STRING_EQUAL(row.quality_valid, "unknown");
    CU_ASSERT_STRING_EQUAL(row.quality_reason, "no reference");
    CU_ASSERT_STRING_EQUAL(row.quality_tier, "");
}

static struct jm_record judged_pictures(double psnr_db, double agreement, double reference)
{
    struct jm_record row;
    jm_record_clear(&row);
    row.quality_ratio = 0.5; /* SSIM: decides nothing */
    row.quality_required = 0.99;
    row.quality_psnr_db = psnr_db;
    row.quality_agreement = agreement;
    row.quality_agreement_reference = reference;
    jm_quality_judge(&row);
    return row;
}

static void test_judge_pictures(void)
{
    CU_ASSERT_STRING_EQUAL(judged_pictures(30.0, NAN, NAN).quality_valid, "yes");
    CU_ASSERT_STRING_EQUAL(judged_pictures(INFINITY, 0.1, 1).quality_valid, "yes");
    CU_ASSERT_STRING_EQUAL(judged_pictures(12.0, 0.99, 1).quality_valid, "yes");
    struct jm_record row = judged_pictures(29.96, 0.9, 0.95);
    CU_ASSERT_STRING_EQUAL(row.quality_valid, "no");
    CU_ASSERT_STRING_EQUAL(row.quality_reason,
                           "PSNR is 29.96 dB, needs 30; agreement with captions is 94.7% of the "
                           "reference's, needs 99%");
    row = judged_pictures(12.0, NAN, NAN);
    CU_ASSERT_STRING_EQUAL(row.quality_valid, "no");
    CU_ASSERT_STRING_EQUAL(row.quality_reason, "PSNR is 12.00 dB, needs 30");
    CU_ASSERT_STRING_EQUAL(judged_pictures(12.0, 0.0, 0.0).quality_valid, "no");
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("verdict", NULL, NULL);
    CU_add_test(s, "tiers", test_tiers);
    CU_add_test(s, "judge", test_judge);
    CU_add_test(s, "judge pictures", test_judge_pictures);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
