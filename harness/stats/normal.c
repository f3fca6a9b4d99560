/* SPDX-License-Identifier: Apache-2.0 */
/* See normal.h. The quantile starts from the rational approximation of Abramowitz and Stegun
 * 26.2.23 (error below 4.5e-4) and is refined by Halley's method, which triples the digits. */
#include "harness/stats/normal.h"

#include <math.h>

double jm_normal_cdf(double z)
{
    return 0.5 * erfc(-z * M_SQRT1_2);
}

double jm_normal_quantile(double p)
{
    if (!(p >= 0.0 && p <= 1.0))
        return NAN;
    if (p == 0.0 || p == 1.0)
        return p == 0.0 ? -INFINITY : INFINITY;
    double tail = p < 0.5 ? p : 1.0 - p, t = sqrt(-2.0 * log(tail));
    double z = (2.515517 + t * (0.802853 + t * 0.010328)) /
                   (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308))) -
               t; /* negative: of the lower tail */
    for (int i = 0; i < 3; i++) {
        double e = (jm_normal_cdf(z) - tail) * sqrt(2.0 * M_PI) * exp(z * z / 2.0);
        z -= e / (1.0 + z * e / 2.0);
    }
    return p < 0.5 ? z : -z;
}
