/* SPDX-License-Identifier: Apache-2.0 */
/* joulemark list --kernels: which kernel sets each backend has, what each does itself, and why one
 * is not used here. */
#ifndef JM_HARNESS_KERNEL_LIST_H
#define JM_HARNESS_KERNEL_LIST_H

#include <stdbool.h>

/* Prints to stdout, as text or as JSON. False when memory is short. */
bool jm_kernel_list_print(bool json);

#endif
