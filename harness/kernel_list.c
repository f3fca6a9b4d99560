/* SPDX-License-Identifier: Apache-2.0 */
/* See kernel_list.h. Both forms are made from one tree: {"kernels": [{backend, set, state, needs,
 * lacks, operations: {name: how}}]}; a backend that could not be loaded has its error instead. */
#include "harness/kernel_list.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/loader.h"
#include "harness/record/json.h"

static const char *state_of(const struct jm_kernel_set *s)
{
    if (!s->written)
        return "missing";
    return s->chosen ? "chosen" : s->works ? "runs here" : "not here";
}

static void add_sets(cJSON *all, const struct jm_backend_ops *ops)
{
    struct jm_kernel_set s;
    for (size_t i = 0; ops->kernel_set && ops->kernel_set(i, &s); i++) {
        cJSON *set = cJSON_CreateObject(), *does;
        cJSON_AddStringToObject(set, "backend", ops->name);
        cJSON_AddStringToObject(set, "set", s.name);
        cJSON_AddStringToObject(set, "state", state_of(&s));
        cJSON_AddStringToObject(set, "needs", s.needs);
        cJSON_AddStringToObject(set, "lacks", s.lacks);
        does = cJSON_AddObjectToObject(set, "operations");
        for (uint32_t k = 0; k < s.n; k++) {
            if (s.kernel[k].how)
                cJSON_AddStringToObject(does, s.kernel[k].op, s.kernel[k].how);
            else
                cJSON_AddNullToObject(does, s.kernel[k].op);
        }
        cJSON_AddItemToArray(all, set);
    }
}

static cJSON *collect(void)
{
    cJSON *root = cJSON_CreateObject(), *all = cJSON_AddArrayToObject(root, "kernels");
    char **names = NULL;
    size_t n = 0;
    jm_backend_names(&names, &n, NULL);
    for (size_t i = 0; i < n; i++) {
        jm_backend b = { 0 };
        jm_err err = { 0 };
        if (jm_backend_load(names[i], &b, &err) == JM_OK) {
            add_sets(all, b.ops);
        } else {
            cJSON *broken = cJSON_CreateObject();
            cJSON_AddStringToObject(broken, "backend", names[i]);
            cJSON_AddStringToObject(broken, "error", err.text);
            cJSON_AddItemToArray(all, broken);
        }
        jm_backend_unload(&b);
        free(names[i]);
    }
    free(names);
    return root;
}

static const char *text_of(const cJSON *set, const char *key)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(set, key));
    return text ? text : "";
}

static void print_set(const cJSON *s)
{
    const char *lacks = text_of(s, "lacks"), *state = text_of(s, "state");
    if (cJSON_HasObjectItem(s, "error")) {
        printf("  %s: %s\n", text_of(s, "backend"), text_of(s, "error"));
        return;
    }
    printf("  %-6s %-12s  %-9s  needs %s", text_of(s, "backend"), text_of(s, "set"), state,
           text_of(s, "needs"));
    if (strcmp(state, "missing") == 0)
        fputs("; nobody has written it yet", stdout);
    else if (*lacks)
        printf("; no %s here", lacks);
    putchar('\n');
}

/* Wide enough for its name and for "as F32". */
static int width_of(const cJSON *set)
{
    size_t n = strlen(text_of(set, "set"));
    return (int)(n < 6 ? 6 : n) + 2;
}

static bool has_operations(const cJSON *set, const char *backend)
{
    return strcmp(text_of(set, "backend"), backend) == 0 &&
           cJSON_GetArraySize(cJSON_GetObjectItem(set, "operations")) > 0;
}

/* One line of the table: a title, then of each set that has operations its name, or how it does
 * operation `op`. */
static void print_line(const char *title, const cJSON *first, const char *op)
{
    const char *backend = text_of(first, "backend");
    int gap = 0;
    printf("  %-16s", title);
    for (const cJSON *s = first; s; s = s->next) {
        if (!has_operations(s, backend))
            continue;
        const char *cell =
            op ? text_of(cJSON_GetObjectItem(s, "operations"), op) : text_of(s, "set");
        cell = *cell ? cell : "-";
        printf("%*s%s", gap, "", cell);
        gap = width_of(s) - (int)strlen(cell);
    }
    putchar('\n');
}

/* Operations down, the sets of one backend across. first: a set that has them. */
static void print_table(const cJSON *first)
{
    putchar('\n');
    print_line(text_of(first, "backend"), first, NULL);
    for (const cJSON *op = cJSON_GetObjectItem(first, "operations")->child; op; op = op->next)
        print_line(op->string, first, op->string);
}

/* A backend of which some sets run here, and none is chosen. */
static void warn_unless_chosen(const cJSON *first)
{
    const char *backend = text_of(first, "backend");
    for (const cJSON *s = first; s; s = s->next)
        if (strcmp(text_of(s, "backend"), backend) == 0 &&
            strcmp(text_of(s, "state"), "chosen") == 0)
            return;
    printf("\n  %s: none is chosen, because JM_CPU_ISA names none that runs here; unset it\n",
           backend);
}

static void print_text(const cJSON *all)
{
    const char *last = "";
    puts("kernels");
    for (const cJSON *s = all->child; s; s = s->next)
        print_set(s);
    for (const cJSON *s = all->child; s; s = s->next) {
        const char *backend = text_of(s, "backend");
        if (!has_operations(s, backend) || strcmp(backend, last) == 0)
            continue;
        print_table(s);
        warn_unless_chosen(s);
        last = backend;
    }
    puts("\n  own: by vector kernels of its own; as F32, as I14: by those, on weights made F32 or\n"
         "  14-bit integers when loaded; C: by the C that all sets share; -: not at all");
}

bool jm_kernel_list_print(bool json)
{
    cJSON *root = collect();
    if (json)
        return jm_json_print(stdout, root, NULL) == JM_OK;
    if (root)
        print_text(cJSON_GetObjectItem(root, "kernels"));
    bool ok = root && fflush(stdout) == 0;
    cJSON_Delete(root);
    return ok;
}
