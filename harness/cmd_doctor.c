/* SPDX-License-Identifier: Apache-2.0 */
/* joulemark doctor: what can be measured here and what would improve it. */
#include "harness/commands.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/energy/meter.h"
#include "harness/exit_code.h"
#include "harness/system/machine.h"

enum { MAX_FINDINGS = 8 };

struct finding {
    bool ok;
    const char *what;
    char text[JM_ERR_TEXT];
    const char *fix; /* a command; "": nothing can be done here */
};

struct report {
    size_t n;
    struct finding f[MAX_FINDINGS];
};

static void add(struct report *r, bool ok, const char *what, const char *text, const char *fix)
{
    if (r->n >= MAX_FINDINGS)
        return;
    struct finding *f = &r->f[r->n++];
    *f = (struct finding){ .ok = ok, .what = what, .fix = ok ? "" : fix };
    (void)snprintf(f->text, sizeof f->text, "%s", text);
}

static void check_energy(struct report *r)
{
    const struct jm_meter_ops *ops;
    jm_meter *m;
    jm_err err = { .status = JM_OK };
    jm_status st = jm_meter_best(NULL, &ops, &m, &err);
    char text[JM_ERR_TEXT];
    if (st == JM_OK) {
        (void)snprintf(text, sizeof text, "measured by %s, scope %s", ops->name, ops->scope);
        add(r, true, "energy", text, "");
        ops->close(m);
        return;
    }
    add(r, false, "energy", err.text,
        st == JM_EIO ? "sudo chmod a+r /sys/class/powercap/*/energy_uj" : "");
}

/* A fact that should equal `good`; unavailable facts are told, not blamed. */
static void check_fact(struct report *r, const struct jm_machine *m, const char *name,
                       const char *good, const char *fix)
{
    const struct jm_fact *f = jm_machine_fact(m, name);
    if (!f)
        return;
    if (!f->known) {
        char text[JM_ERR_TEXT];
        (void)snprintf(text, sizeof text, "unavailable (%s)", f->reason);
        add(r, false, name, text, "");
    } else {
        add(r, strcmp(f->value, good) == 0, name, f->value, fix);
    }
}

static void check_all(struct report *r, const struct jm_machine *m)
{
    check_energy(r);
    check_fact(r, m, "governor", "performance", "sudo cpupower frequency-set -g performance");
    check_fact(r, m, "hypervisor", "no", "");
    const struct jm_fact *f = jm_machine_fact(m, "perf_event_paranoid");
    if (f && f->known)
        add(r, strtol(f->value, NULL, 10) <= 0, f->name, f->value,
            "sudo sysctl kernel.perf_event_paranoid=0");
    else if (f)
        add(r, false, f->name, f->reason, "");
}

static void print_text(const struct report *r, const struct jm_machine *m)
{
    for (size_t i = 0; i < m->n; i++)
        (void)printf("%-20s %s%s%s%s\n", m->fact[i].name, m->fact[i].value,
                     m->fact[i].known ? "" : " (", m->fact[i].reason, m->fact[i].known ? "" : ")");
    (void)putchar('\n');
    for (size_t i = 0; i < r->n; i++) {
        const struct finding *f = &r->f[i];
        (void)printf("%s %s: %s\n", f->ok ? "[ok]  " : "[note]", f->what, f->text);
        if (*f->fix)
            (void)printf("       fix: %s\n", f->fix);
    }
}

static bool print_json(const struct report *r, const struct jm_machine *m)
{
    cJSON *json = cJSON_CreateObject();
    cJSON *facts = cJSON_AddObjectToObject(json, "machine");
    for (size_t i = 0; i < m->n; i++) {
        cJSON *o = cJSON_AddObjectToObject(facts, m->fact[i].name);
        (void)cJSON_AddStringToObject(o, "value", m->fact[i].value);
        if (!m->fact[i].known)
            (void)cJSON_AddStringToObject(o, "reason", m->fact[i].reason);
    }
    cJSON *list = cJSON_AddArrayToObject(json, "findings");
    for (size_t i = 0; i < r->n; i++) {
        cJSON *o = cJSON_CreateObject();
        (void)cJSON_AddBoolToObject(o, "ok", r->f[i].ok);
        (void)cJSON_AddStringToObject(o, "what", r->f[i].what);
        (void)cJSON_AddStringToObject(o, "text", r->f[i].text);
        (void)cJSON_AddStringToObject(o, "fix", r->f[i].fix);
        if (!cJSON_AddItemToArray(list, o))
            cJSON_Delete(o);
    }
    char *text = cJSON_Print(json);
    bool ok = text != NULL;
    if (ok)
        (void)puts(text);
    cJSON_free(text);
    cJSON_Delete(json);
    return ok;
}

int jm_cmd_doctor(int argc, char **argv)
{
    bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
    if (argc > 1 && !json) {
        (void)fprintf(stderr, "joulemark doctor: '%s' is not known here; try --json\n", argv[1]);
        return JM_EXIT_USAGE;
    }
    struct jm_machine m;
    struct report r = { .n = 0 };
    jm_machine_read("", &m);
    check_all(&r, &m);
    bool ok = true;
    if (json)
        ok = print_json(&r, &m);
    else
        print_text(&r, &m);
    return ok && fflush(stdout) == 0 ? JM_EXIT_OK : JM_EXIT_SYSTEM;
}
