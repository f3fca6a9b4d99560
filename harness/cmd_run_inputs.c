/* SPDX-License-Identifier: Apache-2.0 */
/* See cmd_run_inputs.h. */
#include "harness/cmd_run_inputs.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "harness/load_record.h"
#include "harness/paths.h"
#include "workloads/model/quantize.h"

const struct jm_workload_ops *jm_run_workload(const char *name, jm_err *err)
{
    size_t n;
    const struct jm_workload_ops *const *all = jm_workloads(&n);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    }
    jm_fail(err, JM_EUSAGE, "no workload '%s'; 'joulemark list' shows those there are", name);
    return NULL;
}

const char *jm_run_model(const struct jm_run_config *c)
{
    const struct jm_workload_ops *w = jm_run_workload(c->workload, NULL);
    return c->model[0] || !w ? c->model : w->model;
}

const char *jm_run_data(const struct jm_run_config *c)
{
    const struct jm_workload_ops *w = jm_run_workload(c->workload, NULL);
    return c->data[0] || !w ? c->data : w->data;
}

jm_status jm_run_kv_format(const struct jm_run_config *c, jm_format *out, jm_err *err)
{
    const struct jm_workload_ops *w = jm_run_workload(c->workload, err);
    if (!w)
        return JM_EUSAGE;
    *out = w->kv_format;
    if (c->kv_format[0] && (!jm_format_by_name(c->kv_format, out) ||
                            (*out != JM_F32 && *out != JM_F16 && *out != JM_Q8_0)))
        return jm_fail(err, JM_EUSAGE, "kv-format is F32, F16 or Q8_0, not '%.32s'", c->kv_format);
    return JM_OK;
}

static bool is_file(const char *path)
{
    struct stat sb;
    return stat(path, &sb) == 0 && S_ISREG(sb.st_mode);
}

jm_status jm_run_model_file(const struct jm_run_config *c, const char *results, char **model,
                            char **source, jm_err *err)
{
    jm_format format;
    *model = *source = NULL;
    jm_status st = jm_find_file(jm_run_model(c), ".gguf", source, err);
    if (st == JM_OK && c->format[0])
        st = jm_quantize_format(c->format, &format, err);
    if (st != JM_OK)
        return st;
    if (!c->format[0] || (format == JM_F16 && strstr(*source, "-f16.gguf"))) {
        *model = strdup(*source);
        return *model ? JM_OK : jm_fail(err, JM_ENOMEM, "out of memory");
    }
    if (!is_file(*source))
        return jm_fail(err, JM_EUNSUPPORTED,
                       "%s: a folder of safetensors runs as it is; --format wants a GGUF model",
                       *source);
    const char *base = strrchr(*source, '/');
    base = base ? base + 1 : *source;
    char *dir = jm_results_dir(results, JM_RESULTS_MODELS);
    *model = jm_asprintf("%s/%.*s-%s.gguf", dir ? dir : ".", (int)strcspn(base, "."), base,
                         jm_format_info(format)->name);
    st = *model && dir ? jm_make_dirs(dir, err) : jm_fail(err, JM_ENOMEM, "out of memory");
    if (st == JM_OK && access(*model, F_OK) != 0)
        st = jm_quantize_file(*source, *model, format, NULL, err);
    free(dir);
    return st;
}

/* Answers that are not text have no tokens: only their latency can be bounded. */
static jm_status check_bounds(const struct jm_workload_ops *w, const struct jm_run_config *c,
                              jm_err *err)
{
    if (!w->save || strcmp(c->scenario, "server") != 0)
        return JM_OK;
    if (jm_option_given(c, "ttft-ms") || jm_option_given(c, "tpot-ms"))
        return jm_fail(err, JM_EUSAGE,
                       "answers of %s have no tokens for ttft-ms and tpot-ms; give latency-ms",
                       c->workload);
    if (c->latency_ms == 0)
        return jm_fail(err, JM_EUSAGE, "the server scenario of %s needs latency-ms, a bound",
                       c->workload);
    return JM_OK;
}

static bool heeds(const struct jm_workload_ops *w, const char *setting)
{
    const char *const *s = w->settings;
    while (s && *s && strcmp(*s, setting) != 0)
        s++;
    return s && *s;
}

/* What only another workload heeds would be ignored without a word. */
static jm_status check_settings(const struct jm_workload_ops *w, const struct jm_run_config *c,
                                jm_err *err)
{
    size_t n;
    const struct jm_workload_ops *const *all = jm_workloads(&n);
    for (size_t i = 0; i < n; i++)
        for (const char *const *s = all[i]->settings; s && *s; s++)
            if (!heeds(w, *s) && jm_option_changed(c, *s))
                return jm_fail(err, JM_EUSAGE, "%s is a setting of the workload %s, not of %s", *s,
                               all[i]->name, w->name);
    return JM_OK;
}

jm_status jm_run_check(const struct jm_run_config *c, jm_err *err)
{
    const struct jm_workload_ops *w = jm_run_workload(c->workload, err);
    struct jm_load_config load;
    jm_format format;
    if (!w)
        return JM_EUSAGE;
    jm_status st = check_settings(w, c, err);
    if (st == JM_OK && c->format[0])
        st = jm_quantize_format(c->format, &format, err);
    if (st == JM_OK)
        st = jm_run_kv_format(c, &format, err);
    if (st == JM_OK)
        st = jm_load_settings(c, &load, err);
    return st == JM_OK ? check_bounds(w, c, err) : st;
}

jm_status jm_run_check_section(const struct jm_run_config *c, const char *file, const char *section,
                               jm_err *err)
{
    jm_err why = { .status = JM_OK };
    if (jm_run_check(c, &why) == JM_OK)
        return JM_OK;
    return jm_fail(err, JM_EINPUT, "%.160s: [%.60s]: %.280s", file, section, why.text);
}
