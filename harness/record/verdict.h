/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a run's answers are good enough for its speed to count: quality against the reference's.
 */
#ifndef JM_HARNESS_RECORD_VERDICT_H
#define JM_HARNESS_RECORD_VERDICT_H

#include "harness/record/columns.h"

/* The highest of 0.999, 0.99, 0.97 and 0.95 that ratio reaches, or "below 0.95"; NAN: "". */
const char *jm_quality_tier(double ratio);

/**
 * Fills quality_tier, quality_valid and quality_reason from quality_ratio, quality_required,
 * quality_length_ratio and quality_length_reference. Valid: the ratio is at least what is required,
 * and answers are 0.9 to 1.1 times as long as the reference's, as a metric can be tricked by
 * answers that are cut short or run on. unknown: quality_ratio is NAN; then quality_reason is kept.
 *
 * Of pictures, where quality_psnr_db is no NAN, another rule holds: at least 30 dB, or a
 * quality_agreement of at least quality_required times the reference's.
 */
void jm_quality_judge(struct jm_record *row);

#endif
