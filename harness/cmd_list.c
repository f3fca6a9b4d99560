/* SPDX-License-Identifier: Apache-2.0 */
/* joulemark list: what there is to run and to measure with, as text or JSON. */
#include <cjson/cJSON.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/loader.h"
#include "base/file.h"
#include "harness/commands.h"
#include "harness/energy/meter.h"
#include "harness/exit_code.h"
#include "harness/kernel_list.h"
#include "harness/load/scenario.h"
#include "harness/paths.h"
#include "harness/record/json.h"
#include "workloads/workload.h"

static const char usage[] =
    "usage: joulemark list [--kernels] [--json]\n\n"
    "Lists workloads, backends and their devices, scenarios, energy "
    "meters, models and data sets.\n"
    "With --kernels: the kernel sets of each backend, the best first, which "
    "is chosen here or\n"
    "what the others lack, and how each does each operation. JM_CPU_ISA=NAME "
    "forces one where --isa does not.\n\n"
    "examples:\n"
    "  joulemark list\n"
    "  joulemark list --kernels\n"
    "  JM_CPU_ISA=avx2 joulemark list --kernels\n"
    "  joulemark list --json\n";

/* Adds {name, summary} to the group; cJSON takes care of missing memory by adding nothing. */
static void add(cJSON *group, const char *name, const char *summary)
{
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "name", name);
    cJSON_AddStringToObject(item, "summary", summary);
    cJSON_AddItemToArray(group, item);
}

static void add_backend(cJSON *group, const char *name)
{
    jm_backend b = { 0 };
    jm_device *dev = NULL;
    jm_err err = { 0 };
    uint32_t n = 0;
    if (jm_backend_load(name, &b, &err) != JM_OK || b.ops->count(&n, &err) != JM_OK) {
        add(group, name, err.text);
        jm_backend_unload(&b);
        return;
    }
    if (n == 0)
        add(group, name, "no device on this machine");
    for (uint32_t i = 0; i < n; i++) {
        struct jm_device_info info;
        struct jm_device_options opt = { 0 };
        jm_err why = { 0 };
        if (b.ops->open(i, &opt, &dev, &why) != JM_OK) {
            add(group, name, why.text);
            continue;
        }
        b.ops->info(dev, &info);
        char *line = jm_asprintf("%s; device %u: %s, %u threads, %s", b.ops->summary, i, info.name,
                                 info.threads, info.isa);
        add(group, name, line ? line : b.ops->summary);
        free(line);
        b.ops->close(dev);
    }
    jm_backend_unload(&b);
}

static void add_backends(cJSON *group)
{
    char **names = NULL;
    size_t n = 0;
    jm_backend_names(&names, &n, NULL);
    for (size_t i = 0; i < n; i++) {
        add_backend(group, names[i]);
        free(names[i]);
    }
    free(names);
}

static void add_meter(cJSON *group, const struct jm_meter_ops *m)
{
    jm_meter *meter = NULL;
    jm_err err = { 0 };
    if (m->takes_file) {
        add(group, m->name, m->summary);
        return;
    }
    bool ok = m->open(NULL, &meter, &err) == JM_OK;
    char *line = ok ? jm_asprintf("%s; works here", m->summary)
                    : jm_asprintf("%s; unavailable: %s", m->summary, err.text);
    add(group, m->name, line ? line : m->summary);
    free(line);
    m->close(meter);
}

static void add_files(cJSON *group, const char *folder, const char *suffix)
{
    char *dir = jm_share_dir(folder);
    struct dirent **entries = NULL;
    int n = dir ? scandir(dir, &entries, NULL, alphasort) : -1;
    for (int i = 0; i < n; i++) {
        size_t len = strlen(entries[i]->d_name), end = strlen(suffix);
        if (len > end && strcmp(entries[i]->d_name + len - end, suffix) == 0)
            add(group, entries[i]->d_name, dir);
        free(entries[i]);
    }
    free(entries);
    free(dir);
}

static cJSON *everything(void)
{
    cJSON *root = cJSON_CreateObject();
    cJSON *group = cJSON_AddArrayToObject(root, "workloads");
    size_t n;
    const struct jm_workload_ops *const *workloads = jm_workloads(&n);
    for (size_t i = 0; i < n; i++)
        add(group, workloads[i]->name, workloads[i]->summary);
    add_backends(cJSON_AddArrayToObject(root, "backends"));
    group = cJSON_AddArrayToObject(root, "scenarios");
    const struct jm_scenario_info *scenarios = jm_scenarios(&n);
    for (size_t i = 0; i < n; i++)
        add(group, scenarios[i].name, scenarios[i].summary);
    group = cJSON_AddArrayToObject(root, "meters");
    const struct jm_meter_ops *const *meters = jm_meters(&n);
    for (size_t i = 0; i < n; i++)
        add_meter(group, meters[i]);
    add_files(cJSON_AddArrayToObject(root, "models"), "data", ".gguf");
    add_files(cJSON_AddArrayToObject(root, "data_sets"), "data", ".csv");
    add_files(cJSON_AddArrayToObject(root, "suites"), "suites", ".ini");
    return root;
}

static void print_text(const cJSON *root)
{
    for (const cJSON *group = root->child; group; group = group->next) {
        printf("%s\n", group->string);
        for (const cJSON *item = group->child; item; item = item->next)
            printf("  %-24s %s\n", cJSON_GetObjectItem(item, "name")->valuestring,
                   cJSON_GetObjectItem(item, "summary")->valuestring);
    }
}

int jm_cmd_list(int argc, char **argv)
{
    bool json = false, only_kernels = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(usage, stdout);
            return JM_EXIT_OK;
        }
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (strcmp(argv[i], "--kernels") == 0) {
            only_kernels = true;
        } else {
            fputs(usage, stderr);
            return JM_EXIT_USAGE;
        }
    }
    if (only_kernels)
        return jm_kernel_list_print(json) ? JM_EXIT_OK : JM_EXIT_SYSTEM;
    cJSON *root = everything();
    if (json)
        return jm_json_print(stdout, root, NULL) == JM_OK ? JM_EXIT_OK : JM_EXIT_SYSTEM;
    if (root)
        print_text(root);
    bool ok = root && fflush(stdout) == 0;
    cJSON_Delete(root);
    return ok ? JM_EXIT_OK : JM_EXIT_SYSTEM;
}
