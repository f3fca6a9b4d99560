/* SPDX-License-Identifier: Apache-2.0 */
/* The standard normal distribution. */
#ifndef JM_HARNESS_STATS_NORMAL_H
#define JM_HARNESS_STATS_NORMAL_H

/* P(Z <= z); precise in both tails. */
double jm_normal_cdf(double z);

/* The z with P(Z <= z) = p. p in (0, 1); -INFINITY at 0, INFINITY at 1, NAN elsewhere. */
double jm_normal_quantile(double p);

#endif
