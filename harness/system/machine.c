/* SPDX-License-Identifier: Apache-2.0 */
/* Facts of the machine from /proc and /sys, and of the build from macros. */
#include "harness/system/machine.h"

#include <ctype.h>
#include <errno.h>
#include <hwloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/number.h"
#include "harness/commit.h" /* made at every build */

#ifndef JM_VERSION
#define JM_VERSION "unknown"
#endif
#ifndef JM_BUILD_FLAGS
#define JM_BUILD_FLAGS "unknown"
#endif
#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

struct jm_build jm_machine_build(void)
{
    return (struct jm_build){ .version = JM_VERSION,
                              .commit = *JM_COMMIT ? JM_COMMIT : "unknown",
                              .compiler = COMPILER,
                              .flags = JM_BUILD_FLAGS };
}

static struct jm_fact *add(struct jm_machine *m, const char *name)
{
    struct jm_fact *f = &m->fact[m->n < JM_MACHINE_FACTS - 1 ? m->n++ : JM_MACHINE_FACTS - 1];
    *f = (struct jm_fact){ .name = name };
    return f;
}

static void set(struct jm_fact *f, const char *value)
{
    f->known = true;
    (void)snprintf(f->value, sizeof f->value, "%s", value);
}

static void unset(struct jm_fact *f, const char *path, const char *why)
{
    (void)snprintf(f->value, sizeof f->value, "unavailable");
    (void)snprintf(f->reason, sizeof f->reason, "%.100s: %.50s", path, why);
}

static FILE *open_at(const char *root, const char *path)
{
    char full[1024];
    int n = snprintf(full, sizeof full, "%s%s", root, path);
    if (n < 0 || (size_t)n >= sizeof full) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    return fopen(full, "re");
}

/* The first line of a file, without spaces at its end. */
static void read_line(struct jm_machine *m, const char *root, const char *name, const char *path)
{
    struct jm_fact *f = add(m, name);
    char line[192];
    FILE *in = open_at(root, path);
    if (!in) {
        unset(f, path, strerror(errno));
        return;
    }
    if (!fgets(line, sizeof line, in))
        line[0] = 0;
    (void)fclose(in);
    size_t n = strlen(line);
    while (n > 0 && isspace((unsigned char)line[n - 1]))
        line[--n] = 0;
    if (n == 0)
        unset(f, path, "empty");
    else
        set(f, line);
}

/* The value of the first "key : value" line; with count, how many such lines there are. */
static void read_key(struct jm_machine *m, const char *root, const char *name, const char *path,
                     const char *key, bool count)
{
    struct jm_fact *f = add(m, name);
    FILE *in = open_at(root, path);
    if (!in) {
        unset(f, path, strerror(errno));
        return;
    }
    char *line = NULL;
    size_t capacity = 0, n = 0, len = strlen(key);
    while (getline(&line, &capacity, in) > 0) {
        char *s = line + len;
        if (strncmp(line, key, len) != 0)
            continue;
        s += strspn(s, " \t");
        if (*s != ':')
            continue;
        n++;
        s++;
        s += strspn(s, " \t");
        s[strcspn(s, "\n")] = 0;
        if (n == 1)
            set(f, s);
    }
    free(line);
    (void)fclose(in);
    if (n == 0)
        unset(f, path, "no such line");
    else if (count)
        (void)snprintf(f->value, sizeof f->value, "%zu", n);
}

static void read_hypervisor(struct jm_machine *m, const char *root)
{
    struct jm_fact *f = add(m, "hypervisor");
    const char *path = "/proc/cpuinfo";
    FILE *in = open_at(root, path);
    if (!in) {
        unset(f, path, strerror(errno));
        return;
    }
    char *line = NULL;
    size_t capacity = 0;
    bool found = false, flags = false;
    while (!flags && getline(&line, &capacity, in) > 0) {
        flags = strncmp(line, "flags", 5) == 0;
        found = flags && strstr(line, " hypervisor");
    }
    free(line);
    (void)fclose(in);
    if (flags)
        set(f, found ? "yes" : "no");
    else
        unset(f, path, "no flags line");
}

static void read_permission(struct jm_machine *m, const char *root)
{
    struct jm_fact *f = add(m, "rapl_readable");
    const char *path = "/sys/class/powercap/intel-rapl:0/energy_uj";
    FILE *in = open_at(root, path);
    if (!in) {
        unset(f, path, strerror(errno));
        return;
    }
    (void)fclose(in);
    set(f, "yes");
}

/* How many nodes a list as "0-1,3" names; 0 where it is not one. */
static unsigned count_list(const char *s)
{
    unsigned n = 0;
    for (uint64_t first, last; jm_number_begins_u64(s, &first, &s); s++) {
        last = first;
        if (*s == '-' && !jm_number_begins_u64(s + 1, &last, &s))
            return 0;
        if (last < first || last - first > 4096)
            return 0;
        n += (unsigned)(last - first) + 1;
        if (*s != ',')
            return *s ? 0 : n;
    }
    return 0;
}

static void read_nodes(struct jm_machine *m, const char *root)
{
    const char *path = "/sys/devices/system/node/online";
    read_line(m, root, "numa_nodes", path);
    struct jm_fact *f = &m->fact[m->n - 1];
    if (!f->known)
        return;
    unsigned n = count_list(f->value);
    f->known = n > 0;
    if (n > 0)
        (void)snprintf(f->value, sizeof f->value, "%u", n);
    else
        unset(f, path, "names no node");
}

void jm_machine_read(const char *root, struct jm_machine *out)
{
    const char *cpu = "/proc/cpuinfo", *mem = "/proc/meminfo";
#define FREQ "/sys/devices/system/cpu/cpu0/cpufreq/"
    memset(out, 0, sizeof *out);
    read_key(out, root, "cpu_model", cpu, "model name", false);
    read_key(out, root, "logical_cores", cpu, "processor", true);
    read_key(out, root, "microcode", cpu, "microcode", false);
    read_hypervisor(out, root);
    read_line(out, root, "hypervisor_type", "/sys/hypervisor/type");
    read_line(out, root, "kernel", "/proc/sys/kernel/osrelease");
    read_line(out, root, "governor", FREQ "scaling_governor");
    read_line(out, root, "frequency_min_khz", FREQ "scaling_min_freq");
    read_line(out, root, "frequency_max_khz", FREQ "scaling_max_freq");
    read_line(out, root, "frequency_now_khz", FREQ "scaling_cur_freq");
    read_line(out, root, "boost", "/sys/devices/system/cpu/cpufreq/boost");
    read_line(out, root, "no_turbo", "/sys/devices/system/cpu/intel_pstate/no_turbo");
    read_key(out, root, "memory_total", mem, "MemTotal", false);
    read_key(out, root, "memory_available", mem, "MemAvailable", false);
    read_nodes(out, root);
    read_line(out, root, "perf_event_paranoid", "/proc/sys/kernel/perf_event_paranoid");
    read_permission(out, root);
#undef FREQ
    struct jm_build b = jm_machine_build();
    set(add(out, "compiler"), b.compiler);
    set(add(out, "compiler_flags"), b.flags);
}

const struct jm_fact *jm_machine_fact(const struct jm_machine *m, const char *name)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->fact[i].name, name) == 0)
            return &m->fact[i];
    return NULL;
}

uint32_t jm_machine_cores(void)
{
    hwloc_topology_t t;
    int n = 0;
    if (hwloc_topology_init(&t) != 0)
        return 0;
    if (hwloc_topology_load(t) == 0)
        n = hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_CORE);
    hwloc_topology_destroy(t);
    return n > 0 ? (uint32_t)n : 0;
}

uint64_t jm_machine_peak_rss(void)
{
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) != 0 || u.ru_maxrss < 0)
        return 0;
    return (uint64_t)u.ru_maxrss * 1024; /* Linux counts KiB */
}
