/* SPDX-License-Identifier: Apache-2.0 */
/* See verdict.h. */
#include "harness/record/verdict.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

static const double PSNR_MIN_DB = 30.0;
static const double LENGTH_MIN = 0.9, LENGTH_MAX = 1.1; /* of the reference's */

const char *jm_quality_tier(double ratio)
{
    static const struct {
        double ratio;
        const char *name;
    } tiers[] = { { 0.999, "0.999" }, { 0.99, "0.99" }, { 0.97, "0.97" }, { 0.95, "0.95" } };
    if (isnan(ratio))
        return "";
    for (size_t i = 0; i < sizeof tiers / sizeof tiers[0]; i++)
        if (ratio >= tiers[i].ratio)
            return tiers[i].name;
    return "below 0.95";
}

static void judge_pictures(struct jm_record *row)
{
    bool alike = row->quality_psnr_db >= PSNR_MIN_DB;
    double agreement = row->quality_agreement / row->quality_agreement_reference;
    if (alike || agreement >= row->quality_required) /* NAN is not */
        return;
    size_t n = (size_t)snprintf(row->quality_reason, sizeof row->quality_reason,
                                "PSNR is %.2f dB, needs %g", row->quality_psnr_db, PSNR_MIN_DB);
    if (!isnan(agreement))
        (void)snprintf(row->quality_reason + n, sizeof row->quality_reason - n,
                       "; agreement with captions is %.1f%% of the reference's, needs %g%%",
                       agreement * 100, row->quality_required * 100);
}

static void judge_texts(struct jm_record *row)
{
    double length = row->quality_length_ratio / row->quality_length_reference;
    if (!(row->quality_ratio >= row->quality_required))
        (void)snprintf(row->quality_reason, sizeof row->quality_reason,
                       "quality is %.1f%% of the reference's, needs %g%%", row->quality_ratio * 100,
                       row->quality_required * 100);
    else if (!isnan(length) && !(length >= LENGTH_MIN && length <= LENGTH_MAX))
        (void)snprintf(row->quality_reason, sizeof row->quality_reason,
                       "answers are %.2f times as long as the reference's, needs %g to %g", length,
                       LENGTH_MIN, LENGTH_MAX);
}

void jm_quality_judge(struct jm_record *row)
{
    jm_record_text(row->quality_tier, jm_quality_tier(row->quality_ratio));
    if (isnan(row->quality_ratio)) {
        jm_record_text(row->quality_valid, "unknown");
        return;
    }
    row->quality_reason[0] = 0;
    if (isnan(row->quality_psnr_db))
        judge_texts(row);
    else
        judge_pictures(row);
    jm_record_text(row->quality_valid, row->quality_reason[0] ? "no" : "yes");
}
