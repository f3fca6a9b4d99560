/* SPDX-License-Identifier: Apache-2.0 */
/* BLEU with one reference. Source: Papineni et al., "BLEU: a method for automatic evaluation of
 * machine translation", ACL 2002; Post, "A call for clarity in reporting BLEU scores", WMT 2018. */
#ifndef JM_WORKLOADS_TRANSLATE_BLEU_H
#define JM_WORKLOADS_TRANSLATE_BLEU_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

enum { JM_BLEU_ORDER = 4 };

/**
 * Scores hypotheses against one reference each, 0..100, with the numbers of sacrebleu 2.x: case
 * kept, exponential smoothing; effective order for sentences, order 4 for the corpus.
 *
 * hyp, ref  [n] terminated UTF-8
 * zh        split Chinese characters ("zh" tokeniser) before the Western rules; otherwise "13a"
 * corpus    score from the sums over all segments
 * sentence  [n] score of each segment; NULL: not wanted
 *
 * JM_EUSAGE  n == 0
 * JM_EINPUT  text is not UTF-8
 * JM_ENOMEM
 *
 * Outputs are unspecified on error. Reentrant.
 */
jm_status jm_bleu(const char *const *hyp, const char *const *ref, size_t n, bool zh, double *corpus,
                  double *sentence, jm_err *err);

#endif
