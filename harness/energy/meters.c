/* SPDX-License-Identifier: Apache-2.0 */
/* See meter.h. */
#include "harness/energy/meter.h"

#include "harness/energy/papi.h"
#include "harness/energy/powercap.h"

/* sysfs first: PAPI's powercap component shows a whole counter where it should show nothing. */
static const struct jm_meter_ops *const table[] = { &jm_powercap_ops, &jm_papi_ops };

enum { TABLE_N = sizeof table / sizeof table[0] };

const struct jm_meter_ops *const *jm_meters(size_t *n)
{
    *n = TABLE_N;
    return table;
}

jm_status jm_meter_best(const struct jm_meter_config *config, const struct jm_meter_ops **ops,
                        jm_meter **out, jm_err *err)
{
    jm_err why = { .status = JM_OK };

    *ops = NULL;
    *out = NULL;
    for (size_t i = 0; i < TABLE_N; i++) {
        jm_err e = { .status = JM_OK };
        jm_status st = table[i]->open(config, out, &e);
        if (st == JM_OK) {
            *ops = table[i];
            return JM_OK;
        }
        if (why.status == JM_OK || (why.status == JM_EUNSUPPORTED && st != JM_EUNSUPPORTED)) {
            why = e;
            why.status = st;
        }
    }
    return jm_fail(err, why.status, "%s", why.text);
}
