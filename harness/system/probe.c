/* SPDX-License-Identifier: Apache-2.0 */
/* See probe.h. Every file may be missing, empty or nonsense: then the finding is unknown. */
#include "harness/system/probe.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "harness/system/machine.h"

#define CPUS "/sys/devices/system/cpu"

enum { TEXT = 8192, PATH = 1024 };

const char *jm_state_name(enum jm_state state)
{
    return state == JM_STATE_OK ? "ok" : state == JM_STATE_NOTE ? "note" : "unknown";
}

void jm_finding_add(struct jm_findings *list, enum jm_state state, const char *name,
                    const char *text, const char *means, const char *fix)
{
    if (list->n >= JM_FINDINGS)
        return;
    struct jm_finding *f = &list->f[list->n++];
    bool note = state == JM_STATE_NOTE;
    *f = (struct jm_finding){
        .state = state, .name = name, .means = note ? means : "", .fix = note ? fix : ""
    };
    (void)snprintf(f->text, sizeof f->text, "%s", text);
}

const struct jm_finding *jm_finding_find(const struct jm_findings *list, const char *name)
{
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->f[i].name, name) == 0)
            return &list->f[i];
    return NULL;
}

/* The start of a file, without white space at its end. false: errno says why. */
static bool read_text(const char *root, const char *path, char out[TEXT])
{
    char full[PATH];
    int length = snprintf(full, sizeof full, "%s%s", root, path);
    errno = ENAMETOOLONG;
    FILE *f = length > 0 && length < PATH ? fopen(full, "re") : NULL;
    if (!f)
        return false;
    size_t n = fread(out, 1, TEXT - 1, f);
    int e = ferror(f) ? errno : 0;
    (void)fclose(f);
    while (n > 0 && isspace((unsigned char)out[n - 1]))
        n--;
    out[n] = 0;
    errno = e ? e : ENODATA;
    return !e && n > 0;
}

static bool read_number(const char *root, const char *path, int64_t *out)
{
    char text[TEXT];
    if (!read_text(root, path, text))
        return false;
    bool ok = jm_number_i64(text, INT64_MIN, INT64_MAX, out);
    errno = EINVAL;
    return ok;
}

/* Of the file that errno is about. */
static void add_unknown(struct jm_findings *list, const char *name, const char *path)
{
    char text[512];
    (void)snprintf(text, sizeof text, "unavailable: %s: %s", path, strerror(errno));
    jm_finding_add(list, JM_STATE_UNKNOWN, name, text, "", "");
}

/* Calls on for the named file of each processor; returns how many have it. */
static unsigned each_cpu(const char *root, const char *file,
                         void (*on)(const char *text, void *user), void *user)
{
    char dir[PATH], path[PATH], text[TEXT];
    unsigned n = 0;
    (void)snprintf(dir, sizeof dir, "%.900s" CPUS, root);
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        if (strncmp(e->d_name, "cpu", 3) != 0 || !isdigit((unsigned char)e->d_name[3]))
            continue;
        (void)snprintf(path, sizeof path, CPUS "/%.40s/%s", e->d_name, file);
        if (!read_text(root, path, text))
            continue;
        on(text, user);
        n++;
    }
    if (d)
        (void)closedir(d);
    return n;
}

struct governors {
    unsigned other; /* than performance */
    char name[40];  /* of one of them */
};

static void on_governor(const char *text, void *user)
{
    struct governors *g = user;
    if (strcmp(text, "performance") == 0)
        return;
    g->other++;
    (void)snprintf(g->name, sizeof g->name, "%.39s", text);
}

static void probe_governor(const char *root, struct jm_findings *list)
{
    struct governors g = { 0 };
    char text[128];
    unsigned n = each_cpu(root, "cpufreq/scaling_governor", on_governor, &g);
    if (n == 0) {
        errno = ENOENT;
        add_unknown(list, "governor", CPUS "/cpu0/cpufreq/scaling_governor");
        return;
    }
    if (g.other == 0)
        (void)snprintf(text, sizeof text, "performance on all %u processors", n);
    else
        (void)snprintf(text, sizeof text, "%s on %u of %u processors", g.name, g.other, n);
    jm_finding_add(list, g.other ? JM_STATE_NOTE : JM_STATE_OK, "governor", text,
                   "clocks rise only some time after load: short runs are slower and vary",
                   "sudo cpupower frequency-set -g performance");
}

static void probe_boost(const char *root, struct jm_findings *list)
{
    static const char boost[] = CPUS "/cpufreq/boost", no_turbo[] = CPUS "/intel_pstate/no_turbo";
    static const char means[] =
        "clocks above the nominal one depend on temperature and on how many cores work";
    int64_t v;
    if (read_number(root, no_turbo, &v))
        jm_finding_add(list, v == 0 ? JM_STATE_NOTE : JM_STATE_OK, "boost", v == 0 ? "on" : "off",
                       means, "echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo");
    else if (read_number(root, boost, &v))
        jm_finding_add(list, v != 0 ? JM_STATE_NOTE : JM_STATE_OK, "boost", v != 0 ? "on" : "off",
                       means, "echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost");
    else
        add_unknown(list, "boost", boost);
}

static void probe_rapl(const char *root, struct jm_findings *list)
{
    static const char path[] = "/sys/class/powercap/intel-rapl:0/energy_uj";
    char text[512];
    int64_t v;
    if (read_number(root, path, &v)) {
        jm_finding_add(list, JM_STATE_OK, "rapl", "the energy counter can be read", "", "");
    } else if (errno == EACCES || errno == EPERM) {
        (void)snprintf(text, sizeof text, "%s: %s", path, strerror(errno));
        jm_finding_add(list, JM_STATE_NOTE, "rapl", text, "no joules through powercap",
                       "sudo chmod a+r /sys/class/powercap/intel-rapl*/energy_uj");
    } else {
        add_unknown(list, "rapl", path);
    }
}

static void probe_paranoid(const char *root, struct jm_findings *list)
{
    static const char path[] = "/proc/sys/kernel/perf_event_paranoid";
    char text[32];
    int64_t v;
    if (!read_number(root, path, &v)) {
        add_unknown(list, "perf_event_paranoid", path);
        return;
    }
    (void)snprintf(text, sizeof text, "%" PRId64, v);
    jm_finding_add(list, v > 0 ? JM_STATE_NOTE : JM_STATE_OK, "perf_event_paranoid", text,
                   "users other than root cannot read energy through perf events",
                   "sudo sysctl kernel.perf_event_paranoid=0");
}

static void probe_numa(const char *root, struct jm_findings *list)
{
    struct jm_machine m;
    char text[256];
    jm_machine_read(root, &m);
    const struct jm_fact *f = jm_machine_fact(&m, "numa_nodes");
    if (!f || !f->known) {
        (void)snprintf(text, sizeof text, "unavailable: %s", f ? f->reason : "");
        jm_finding_add(list, JM_STATE_UNKNOWN, "numa", text, "", "");
        return;
    }
    bool one = strcmp(f->value, "1") == 0;
    (void)snprintf(text, sizeof text, "%.20s node%s", f->value, one ? "" : "s");
    jm_finding_add(list, one ? JM_STATE_OK : JM_STATE_NOTE, "numa", text,
                   "threads may read memory of another node, which is slower",
                   "numactl --cpunodebind=0 --membind=0 joulemark run ...");
}

/* A "Key:  123 kB" line of meminfo. */
static bool memory_kb(const char *text, const char *key, uint64_t *kb)
{
    size_t n = strlen(key);
    for (const char *s = text; s; s = strchr(s, '\n'), s = s ? s + 1 : NULL)
        if (strncmp(s, key, n) == 0 && s[n] == ':') {
            const char *end;
            s += n + 1;
            return jm_number_begins_u64(s + strspn(s, " "), kb, &end);
        }
    return false;
}

static void probe_memory(const char *root, struct jm_findings *list)
{
    static const char path[] = "/proc/meminfo";
    char file[TEXT] = "", text[128];
    uint64_t total, available, swap, unused;
    bool read = read_text(root, path, file);
    int e = read ? ENODATA : errno;
    if (memory_kb(file, "MemTotal", &total) && memory_kb(file, "MemAvailable", &available)) {
        (void)snprintf(text, sizeof text, "%.1f of %.1f GiB available",
                       (double)available / (1 << 20), (double)total / (1 << 20));
        jm_finding_add(list, available < total / 10 ? JM_STATE_NOTE : JM_STATE_OK, "memory", text,
                       "a large model may not fit, or push others into swap",
                       "ps -eo pid,rss,comm --sort=-rss | head");
    } else {
        errno = e;
        add_unknown(list, "memory", path);
    }
    if (memory_kb(file, "SwapTotal", &swap) && memory_kb(file, "SwapFree", &unused)) {
        uint64_t used = swap > unused ? swap - unused : 0;
        (void)snprintf(text, sizeof text, "%.1f of %.1f GiB in use", (double)used / (1 << 20),
                       (double)swap / (1 << 20));
        jm_finding_add(list, used > 0 ? JM_STATE_NOTE : JM_STATE_OK, "swap", text,
                       "pages may be fetched from disk while a run is timed",
                       "sudo swapoff -a && sudo swapon -a");
    } else {
        errno = e;
        add_unknown(list, "swap", path);
    }
}

static void count_one(const char *text, void *user)
{
    (void)text, (void)user;
}

static void probe_load(const char *root, struct jm_findings *list)
{
    static const char path[] = "/proc/loadavg";
    char text[TEXT], out[96];
    const char *end;
    bool read = read_text(root, path, text);
    double load = 0;
    if (!read || !jm_number_begins_real(text, &load, &end) || load < 0) {
        if (read)
            errno = EINVAL;
        add_unknown(list, "load", path);
        return;
    }
    unsigned cpus = each_cpu(root, "topology/core_id", count_one, NULL);
    if (cpus > 0)
        (void)snprintf(out, sizeof out, "%.2f over the last minute, %u processors", load, cpus);
    else
        (void)snprintf(out, sizeof out, "%.2f over the last minute", load);
    jm_finding_add(list, load >= 0.5 ? JM_STATE_NOTE : JM_STATE_OK, "load", out,
                   "other processes take time from a run, and their energy is counted with it",
                   "ps -eo pid,pcpu,comm --sort=-pcpu | head");
}

static void probe_hypervisor(const char *root, struct jm_findings *list)
{
    struct jm_machine m;
    char text[256];
    jm_machine_read(root, &m);
    const struct jm_fact *f = jm_machine_fact(&m, "hypervisor");
    if (f && f->known) {
        bool yes = strcmp(f->value, "yes") == 0;
        jm_finding_add(list, yes ? JM_STATE_NOTE : JM_STATE_OK, "hypervisor",
                       yes ? "a virtual machine" : "none",
                       "others on the host take time unseen; energy counters are mostly hidden",
                       "");
        return;
    }
    (void)snprintf(text, sizeof text, "unavailable: %s", f ? f->reason : "");
    jm_finding_add(list, JM_STATE_UNKNOWN, "hypervisor", text, "", "");
}

static void on_throttle(const char *text, void *user)
{
    uint64_t *sum = user, n;
    if (jm_number_u64(text, 0, UINT64_MAX, &n))
        *sum += n;
}

static void probe_throttling(const char *root, struct jm_findings *list)
{
    uint64_t sum = 0;
    char text[96];
    unsigned n = each_cpu(root, "thermal_throttle/core_throttle_count", on_throttle, &sum);
    if (n == 0) {
        errno = ENOENT;
        add_unknown(list, "throttling", CPUS "/cpu0/thermal_throttle/core_throttle_count");
        return;
    }
    (void)snprintf(text, sizeof text, "%" PRIu64 " times since start, summed over %u processors",
                   sum, n);
    jm_finding_add(list, sum > 0 ? JM_STATE_NOTE : JM_STATE_OK, "throttling", text,
                   "the processor was too hot and slowed down; cool it better", "");
}

static void probe_huge_pages(const char *root, struct jm_findings *list)
{
    static const char path[] = "/sys/kernel/mm/transparent_hugepage/enabled";
    char text[TEXT];
    char *chosen = read_text(root, path, text) ? strchr(text, '[') : NULL;
    char *end = chosen ? strchr(chosen, ']') : NULL;
    if (!end) {
        add_unknown(list, "huge_pages", path);
        return;
    }
    *end = 0;
    /* madvise is enough: the cpu backend asks for them. */
    jm_finding_add(
        list, strcmp(chosen + 1, "never") != 0 ? JM_STATE_OK : JM_STATE_NOTE, "huge_pages",
        chosen + 1,
        "weights lie in 4 KiB pages: large models load slower and look up more addresses",
        "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled");
}

void jm_probe(const char *root, struct jm_findings *list)
{
    probe_governor(root, list);
    probe_boost(root, list);
    probe_rapl(root, list);
    probe_paranoid(root, list);
    probe_numa(root, list);
    probe_memory(root, list);
    probe_load(root, list);
    probe_hypervisor(root, list);
    probe_throttling(root, list);
    probe_huge_pages(root, list);
}
