/* SPDX-License-Identifier: Apache-2.0 */
/* See plot.h. */
#include "harness/plot/plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "harness/format_name.h"

void jm_plot_clean(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == '"' || *s == '\\' || *s == 127)
            *s = ' ';
}

static bool is_synthetic(const struct jm_table *t, size_t r)
{
    return strcmp(jm_table_text(t, r, "weights"), "synthetic") == 0;
}

void jm_plot_label(const struct jm_table *t, size_t r, char out[JM_PLOT_LABEL])
{
    bool backend = jm_table_varies(t, "backend"),
         kv = jm_table_varies(t, "kv_format") && *jm_table_text(t, r, "kv_format"),
         made_up = is_synthetic(t, r) && jm_table_varies(t, "weights");
    const char *format = jm_table_text(t, r, "weight_format");
    char model[31] = "";

    if (t->name_models)
        snprintf(model, sizeof model, "%s", jm_table_text(t, r, "model"));
    if (jm_name_has_format(model, format)) /* as far as it is shown */
        format = "";
    snprintf(out, JM_PLOT_LABEL, "%s%s%.20s%s%.8s%s%.20s%s", model, *model && *format ? " " : "",
             format, kv ? " KV " : "", kv ? jm_table_text(t, r, "kv_format") : "",
             backend ? " " : "", backend ? jm_table_text(t, r, "backend") : "",
             made_up ? " synthetic" : "");
    jm_plot_clean(out);
}

const char *jm_plot_weights_note(const struct jm_table *t)
{
    size_t synthetic = 0;
    for (size_t r = 1; r < t->rows; r++)
        synthetic += is_synthetic(t, r);
    return synthetic == 0                 ? ""
           : synthetic == jm_plot_runs(t) ? " (synthetic weights)"
                                          : " (some weights synthetic)";
}

void jm_plot_values(const struct jm_table *t, const char *column, char *out, size_t room)
{
    size_t shown = 0, more = 0, at = 0;

    out[0] = '\0';
    for (size_t r = 1; r < t->rows; r++) {
        bool seen = false;
        for (size_t q = 1; q < r && !seen; q++)
            seen = strcmp(jm_table_text(t, q, column), jm_table_text(t, r, column)) == 0;
        if (seen || !*jm_table_text(t, r, column))
            continue;
        if (shown == 2) {
            more++;
            continue;
        }
        at += (size_t)snprintf(out + at, room - at, "%s%.60s", shown ? ", " : "",
                               jm_table_text(t, r, column));
        shown++;
    }
    if (more)
        snprintf(out + at, room - at, " and %zu more", more);
    if (!shown)
        snprintf(out, room, "unknown");
    jm_plot_clean(out);
}

/* Where the last two names of a path begin. */
static const char *last_two(const char *path)
{
    const char *at = path + strlen(path);
    for (int slashes = 0; at > path; at--) {
        slashes += at[-1] == '/';
        if (slashes == 2)
            break;
    }
    return at;
}

char *jm_plot_folder(const struct jm_plot_job *j, size_t r)
{
    const char *dir = jm_table_text(j->t, r, "record_dir"), *slash = strrchr(j->csv, '/');
    int folder = slash ? (int)(slash - j->csv) + 1 : 0;
    char *beside = jm_asprintf("%.*s%s", *dir == '/' ? 0 : folder, j->csv, dir);

    if (!beside || access(beside, R_OK) == 0)
        return beside;
    free(beside);
    if (access(dir, R_OK) == 0)
        return strdup(dir);
    return jm_asprintf("%.*s%s", folder, j->csv, last_two(dir));
}

jm_status jm_plot_file(const struct jm_plot_job *j, size_t r, const char *name,
                       struct jm_table *out, jm_err *err)
{
    if (!*jm_table_text(j->t, r, "record_dir"))
        return jm_fail(err, JM_ENOTFOUND, "the run has no folder");
    char *dir = jm_plot_folder(j, r), *path = dir ? jm_asprintf("%s/%s", dir, name) : NULL;
    free(dir);
    jm_status st = path ? jm_table_read(path, out, err) : jm_fail(err, JM_ENOMEM, "out of memory");
    free(path);
    return st;
}

int jm_plot_by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

size_t jm_plot_runs(const struct jm_table *t)
{
    size_t n = 0;
    for (size_t r = 1; r < t->rows; r++)
        n += *jm_table_text(t, r, "status") ? 1 : 0;
    return n;
}

bool jm_plot_alike(const struct jm_table *t, size_t q, size_t r, const char *column)
{
    char a[JM_PLOT_LABEL], b[JM_PLOT_LABEL];
    jm_plot_label(t, q, a);
    jm_plot_label(t, r, b);
    return strcmp(a, b) == 0 &&
           strcmp(jm_table_text(t, q, "scenario"), jm_table_text(t, r, "scenario")) == 0 &&
           (!column || strcmp(jm_table_text(t, q, column), jm_table_text(t, r, column)) == 0);
}

bool jm_plot_first(const struct jm_table *t, size_t r, const char *column)
{
    if (!*jm_table_text(t, r, "status"))
        return false;
    for (size_t q = 1; q < r; q++)
        if (jm_plot_alike(t, q, r, column))
            return false;
    return true;
}

size_t jm_plot_speeds(const struct jm_table *t, size_t r, const char *column, double *v)
{
    size_t n = 0;
    for (size_t q = 1; q < t->rows; q++) {
        double tokens = jm_table_number(t, q, "tokens_out_per_s");
        double x = isfinite(tokens) ? tokens : jm_table_number(t, q, "queries_per_s");
        if (isfinite(x) && x > 0.0 && jm_plot_alike(t, q, r, column))
            v[n++] = x;
    }
    return n;
}

static bool draws_pictures(const struct jm_table *t)
{
    size_t pictures = 0;
    for (size_t r = 1; r < t->rows; r++)
        pictures += strcmp(jm_table_text(t, r, "workload"), "imagegen") == 0;
    return pictures > 0 && pictures == jm_plot_runs(t);
}

const char *jm_plot_rate(const struct jm_table *t)
{
    return draws_pictures(t) ? "queries_per_s" : "tokens_out_per_s";
}

const char *jm_plot_rate_name(const struct jm_table *t)
{
    return draws_pictures(t) ? "pictures per second" : "output tokens per second";
}

const char *jm_plot_quality_name(const struct jm_table *t)
{
    return draws_pictures(t) ? "quality: SSIM to the reference (1: equal)"
                             : "quality: chrF2++ (0 to 100)";
}
