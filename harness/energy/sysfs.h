/* SPDX-License-Identifier: Apache-2.0 */
/* Small files of sysfs and procfs, as the meters read them. */
#ifndef JM_HARNESS_ENERGY_SYSFS_H
#define JM_HARNESS_ENERGY_SYSFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* The first line of a file without its end; empty on failure. Returns 0 or an errno. */
int jm_sysfs_text(const char *path, char *buf, size_t size);

/* The same of DIR/FILE; empty when there is none. */
void jm_sysfs_text_in(const char *dir, const char *file, char *buf, size_t size);

/* JM_EIO: cannot be read; without permission the text says how to allow it. JM_EINPUT: not a
 * number. *out is untouched then. */
jm_status jm_sysfs_u64(const char *path, uint64_t *out, jm_err *err);
jm_status jm_sysfs_i64(const char *path, int64_t *out, jm_err *err);

/* The kernel says that it runs in a virtual machine; cpuinfo: path of /proc/cpuinfo. */
bool jm_sysfs_is_virtual(const char *cpuinfo);

#endif
