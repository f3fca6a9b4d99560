/* SPDX-License-Identifier: Apache-2.0 */
/* joulemark doctor: what can be measured here and what would improve it. */
#include "harness/commands.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/energy/session.h"
#include "harness/exit_code.h"
#include "harness/record/json.h"
#include "harness/system/machine.h"
#include "harness/system/probe.h"

static const char usage[] =
    "usage: joulemark doctor [--json]\n\n"
    "Says what can be measured on this machine, what makes its figures vary, what that means, and\n"
    "the command that would help. It changes nothing.\n\n"
    "examples:\n"
    "  joulemark doctor\n"
    "  joulemark doctor --json\n";

static void check_energy(struct jm_findings *r)
{
    jm_session *session;
    struct jm_energy e;
    jm_err err = { .status = JM_OK };
    char text[JM_ERR_TEXT];
    if (jm_session_open(&(struct jm_session_config){ .meters = "auto" }, &session, &err) != JM_OK) {
        jm_finding_add(r, JM_STATE_NOTE, "energy", err.text, "", "");
        return;
    }
    jm_session_energy(session, &e);
    if (jm_session_meters(session) > 0) {
        (void)snprintf(text, sizeof text, "measured by %s, scope %s", e.source, e.scope);
        jm_finding_add(r, JM_STATE_OK, "energy", text, "", "");
    } else {
        jm_finding_add(r, JM_STATE_NOTE, "energy", e.reason,
                       "runs have speed and quality, their joules are unavailable",
                       jm_session_denied(session)
                           ? "sudo chmod a+r /sys/class/powercap/intel-rapl*/energy_uj"
                           : "");
    }
    jm_session_close(session);
}

static void print_text(const struct jm_findings *r, const struct jm_machine *m)
{
    for (size_t i = 0; i < m->n; i++)
        (void)printf("%-20s %s%s%s%s\n", m->fact[i].name, m->fact[i].value,
                     m->fact[i].known ? "" : " (", m->fact[i].reason, m->fact[i].known ? "" : ")");
    (void)putchar('\n');
    for (size_t i = 0; i < r->n; i++) {
        const struct jm_finding *f = &r->f[i];
        (void)printf("%-9s %s: %s\n", jm_state_name(f->state), f->name, f->text);
        if (*f->means)
            (void)printf("          %s\n", f->means);
        if (*f->fix)
            (void)printf("          fix: %s\n", f->fix);
    }
}

static bool print_json(const struct jm_findings *r, const struct jm_machine *m)
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
        (void)cJSON_AddBoolToObject(o, "ok", r->f[i].state == JM_STATE_OK);
        (void)cJSON_AddStringToObject(o, "state", jm_state_name(r->f[i].state));
        (void)cJSON_AddStringToObject(o, "what", r->f[i].name);
        (void)cJSON_AddStringToObject(o, "text", r->f[i].text);
        (void)cJSON_AddStringToObject(o, "means", r->f[i].means);
        (void)cJSON_AddStringToObject(o, "fix", r->f[i].fix);
        if (!cJSON_AddItemToArray(list, o))
            cJSON_Delete(o);
    }
    return jm_json_print(stdout, json, NULL) == JM_OK;
}

int jm_cmd_doctor(int argc, char **argv)
{
    bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        (void)fputs(usage, stdout);
        return JM_EXIT_OK;
    }
    if (argc > 1 && !json) {
        (void)fprintf(stderr, "joulemark doctor: '%s' is not known here; try --json\n", argv[1]);
        return JM_EXIT_USAGE;
    }
    struct jm_machine m;
    struct jm_findings r = { .n = 0 };
    jm_machine_read("", &m);
    check_energy(&r);
    jm_probe("", &r);
    bool ok = true;
    if (json)
        ok = print_json(&r, &m);
    else
        print_text(&r, &m);
    return ok && fflush(stdout) == 0 ? JM_EXIT_OK : JM_EXIT_SYSTEM;
}
