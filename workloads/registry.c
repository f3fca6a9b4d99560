/* SPDX-License-Identifier: Apache-2.0 */
/* All workloads there are. A new one: its folder, and a line here. */
#include "workloads/imagegen/imagegen.h"
#include "workloads/translate/translate.h"
#include "workloads/workload.h"

static const struct jm_workload_ops *const workloads[] = { &jm_translate_workload,
                                                           &jm_imagegen_workload };

const struct jm_workload_ops *const *jm_workloads(size_t *n)
{
    *n = sizeof workloads / sizeof *workloads;
    return workloads;
}
