/* SPDX-License-Identifier: Apache-2.0 */
/* How much memory this process may still take. */
#ifndef JM_BASE_MEMORY_H
#define JM_BASE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

struct jm_memory_room {
    uint64_t bytes;
    const char *limit; /* what sets it: "MemAvailable", "cgroup" or "address space (ulimit -v)" */
};

/**
 * The least of: what Linux calls available, MemAvailable in /proc/meminfo; what each memory cgroup
 * around the process leaves, its limit less its use without the pages of files, which can be given
 * up; and the rest of RLIMIT_AS. root: "" for this machine, or a folder with proc/ and sys/ below
 * it; the resource limit is the process's own then too. false: none of them can be read.
 * Sources: proc_meminfo(5), proc_pid_statm(5), cgroups(7), kernel.org cgroup-v2.
 */
bool jm_memory_room(const char *root, struct jm_memory_room *out);

#endif
