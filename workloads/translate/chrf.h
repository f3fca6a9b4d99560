/* SPDX-License-Identifier: Apache-2.0 */
/* chrF2 and chrF2++: F-score over character n-grams (and, for ++, word n-grams).
 * Source: Popović, "chrF++: words helping character n-grams", WMT 2017. */
#ifndef JM_WORKLOADS_TRANSLATE_CHRF_H
#define JM_WORKLOADS_TRANSLATE_CHRF_H

#include <stddef.h>

#include "base/status.h"

enum { JM_CHRF_CHAR_ORDER = 6, JM_CHRF_WORD_ORDER_MAX = 2 };

/**
 * Scores hypotheses against one reference each, 0..100, with the numbers of sacrebleu 2.x:
 * character order 6, beta 2, white space removed, case kept, effective order (eps_smoothing off),
 * one punctuation mark split off the end or else the start of a word.
 *
 * hyp, ref    [n] terminated UTF-8
 * word_order  0: chrF2; 2: chrF2++
 * corpus      score from the sums over all segments
 * sentence    [n] score of each segment; NULL: not wanted
 *
 * JM_EUSAGE   n == 0 or word_order above 2
 * JM_EINPUT   text is not UTF-8
 * JM_ENOMEM
 *
 * Outputs are unspecified on error. Reentrant.
 */
jm_status jm_chrf(const char *const *hyp, const char *const *ref, size_t n, unsigned word_order,
                  double *corpus, double *sentence, jm_err *err);

#endif
