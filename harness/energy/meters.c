/* SPDX-License-Identifier: Apache-2.0 */
/* See meter.h. */
#include "harness/energy/meter.h"

#include <string.h>

#include "harness/energy/battery.h"
#include "harness/energy/estimate.h"
#include "harness/energy/hwmon.h"
#include "harness/energy/ipmi.h"
#include "harness/energy/nvml.h"
#include "harness/energy/papi.h"
#include "harness/energy/powercap.h"
#include "harness/energy/powerlog.h"

/* sysfs first: PAPI's powercap component shows a whole counter where it should show nothing. */
static const struct jm_meter_ops *const table[] = {
    &jm_powercap_ops, &jm_papi_ops, &jm_nvml_ops,     &jm_hwmon_ops,
    &jm_battery_ops,  &jm_ipmi_ops, &jm_powerlog_ops, &jm_estimate_ops,
};

enum { TABLE_N = sizeof table / sizeof table[0] };

static const char *const scopes[] = { [JM_SCOPE_CHIP] = "chip",
                                      [JM_SCOPE_BOARD] = "board",
                                      [JM_SCOPE_NODE] = "node",
                                      [JM_SCOPE_WALL] = "wall" };

const struct jm_meter_ops *const *jm_meters(size_t *n)
{
    *n = TABLE_N;
    return table;
}

const struct jm_meter_ops *jm_meter_find(const char *name)
{
    for (size_t i = 0; i < TABLE_N; i++)
        if (strcmp(table[i]->name, name) == 0)
            return table[i];
    return NULL;
}

const char *jm_meter_scope_name(enum jm_meter_scope scope)
{
    return scopes[scope];
}

bool jm_meter_scope_find(const char *name, enum jm_meter_scope *out)
{
    for (size_t i = 0; i < sizeof scopes / sizeof scopes[0]; i++) {
        if (strcmp(scopes[i], name) == 0) {
            *out = (enum jm_meter_scope)i;
            return true;
        }
    }
    return false;
}
