/* SPDX-License-Identifier: Apache-2.0 */
/* See past_run.h. A folder may come from someone else: names in it stay inside it, and sizes are
 * bounded. */
#include "harness/record/past_run.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/sha256.h"
#include "harness/record/csv.h"
#include "harness/system/machine.h"

enum { MAX_JSON = 1 << 20 };

/* A JSON object; NULL on failure. */
static cJSON *read_json(const char *dir, const char *name, jm_err *err)
{
    jm_map m;
    char *path = jm_asprintf("%s/%s", dir, name);
    jm_status st = path ? jm_map_open(path, &m, err) : jm_fail(err, JM_ENOMEM, "out of memory");
    cJSON *json = NULL;
    if (st == JM_OK) {
        if (m.bytes > 0 && m.bytes <= MAX_JSON)
            json = cJSON_ParseWithLength((const char *)m.data, m.bytes);
        jm_map_close(&m);
        if (!cJSON_IsObject(json)) {
            cJSON_Delete(json);
            json = NULL;
            (void)jm_fail(err, JM_EINPUT, "%s: not a JSON object of up to 1 MiB", path);
        }
    }
    free(path);
    return json;
}

static const char *text_in(const cJSON *o, const char *name)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, name));
    return s ? s : "";
}

/* Settings carry the names of fields; users, and jm_option_set, write dashes. */
static jm_status apply_setting(struct jm_run_config *c, const cJSON *item, const char *where,
                               jm_err *err)
{
    char key[64], value[64];
    const char *text = cJSON_IsTrue(item)    ? "yes"
                       : cJSON_IsFalse(item) ? "no"
                                             : cJSON_GetStringValue(item);
    size_t n = item->string ? strlen(item->string) : 0;
    if (n == 0 || n >= sizeof key)
        return jm_fail(err, JM_EINPUT, "%s: a setting without a name, or with a long one", where);
    for (size_t i = 0; i <= n; i++)
        key[i] = item->string[i] == '_' ? '-' : item->string[i];
    if (!text && (!cJSON_IsNumber(item) || item->valuedouble > 0x1p53))
        return jm_fail(err, JM_EINPUT, "%s: setting %s is neither text nor a number below 2^53",
                       where, key);
    if (!text)
        (void)snprintf(value, sizeof value, "%.17g", item->valuedouble);
    jm_err e = { .status = JM_OK };
    if (jm_option_set(c, key, text ? text : value, where, &e) == JM_OK)
        return JM_OK;
    return jm_fail(err, JM_EINPUT, "%s", e.text);
}

static jm_status check_files(const char *dir, const cJSON *files, jm_err *err)
{
    const cJSON *f;
    if (!cJSON_IsObject(files) || !files->child)
        return jm_fail(err, JM_EINPUT, "%s/manifest.json: lists no files", dir);
    cJSON_ArrayForEach(f, files)
    {
        char hex[JM_SHA256_HEX] = "";
        const char *want = cJSON_GetStringValue(f), *name = f->string ? f->string : "";
        static const char folder[] = "answers/"; /* the only one */
        const char *last = name + (strncmp(name, folder, strlen(folder)) ? 0 : strlen(folder));
        if (!want || !*last || *last == '.' || strchr(last, '/'))
            return jm_fail(err, JM_EINPUT, "%s/manifest.json: '%.60s' is no name of a file here",
                           dir, name);
        char *path = jm_asprintf("%s/%s", dir, name);
        jm_err e = { .status = JM_OK };
        jm_status st = path ? jm_sha256_file(path, hex, &e) : JM_ENOMEM;
        free(path);
        if (st != JM_OK)
            return jm_fail(err, st == JM_ENOTFOUND ? JM_EINPUT : st, "%s/%s: %s", dir, name,
                           e.text);
        if (strcmp(hex, want) != 0)
            return jm_fail(
                err, JM_EINPUT,
                "%s/%s: differs from the SHA-256 in manifest.json: the record was changed", dir,
                name);
    }
    return JM_OK;
}

/* The row with this run_id in the results file beside the folder of the suite. */
static jm_status find_row(const char *dir, const char *id, struct jm_record *out, jm_err *err)
{
    struct jm_record *rows = NULL;
    size_t n = 0, len = strlen(dir);
    while (len > 1 && dir[len - 1] == '/')
        len--;
    while (len > 0 && dir[len - 1] != '/')
        len--;
    while (len > 1 && dir[len - 1] == '/')
        len--;
    char *csv = jm_asprintf("%.*s.csv", (int)len, dir);
    jm_status st = csv && len > 0 ? jm_csv_read(csv, &rows, &n, err)
                                  : jm_fail(err, JM_EINPUT,
                                            "%s: name the folder as "
                                            "RESULTS/SUITE/RUN",
                                            dir);
    size_t i = 0;
    while (st == JM_OK && i < n && strcmp(rows[i].run_id, id) != 0)
        i++;
    if (st == JM_OK && i == n)
        st = jm_fail(err, JM_ENOTFOUND, "%s: has no row of run %.100s", csv, id);
    if (st == JM_OK)
        *out = rows[i];
    free(rows);
    free(csv);
    return st;
}

jm_status jm_past_run_read(const char *dir, struct jm_past_run *out, jm_err *err)
{
    const cJSON *item;
    char where[200];
    memset(out, 0, sizeof *out);
    jm_run_config_init(&out->config);
    jm_record_clear(&out->record);
    cJSON *json = read_json(dir, "manifest.json", err);
    if (!json)
        return err ? err->status : JM_EINPUT;
    (void)snprintf(where, sizeof where, "%.170s/manifest.json", dir);
    const cJSON *settings = cJSON_GetObjectItemCaseSensitive(json, "settings");
    jm_status st =
        cJSON_IsObject(settings) ? JM_OK : jm_fail(err, JM_EINPUT, "%s: holds no settings", where);
    cJSON_ArrayForEach(item, settings)
    {
        if (st == JM_OK)
            st = apply_setting(&out->config, item, where, err);
    }
    (void)snprintf(out->config.name, sizeof out->config.name, "again");
    if (st == JM_OK)
        st = check_files(dir, cJSON_GetObjectItemCaseSensitive(json, "files"), err);
    if (st == JM_OK)
        st = find_row(dir, text_in(json, "run_id"), &out->record, err);
    if (st == JM_OK && (strcmp(out->record.model_sha256, text_in(json, "model_sha256")) != 0 ||
                        strcmp(out->record.data_sha256, text_in(json, "data_sha256")) != 0))
        st =
            jm_fail(err, JM_EINPUT, "%s: names another model or data than the results file", where);
    cJSON_Delete(json);
    return st;
}

static void print_clean(FILE *f, const char *s)
{
    for (size_t i = 0; s[i] && i < 120; i++)
        (void)fputc((unsigned char)s[i] < ' ' || s[i] == 127 ? ' ' : s[i], f);
}

static int print_pair(FILE *f, const char *name, const char *then, const char *now, bool print)
{
    if (strcmp(then, now) == 0)
        return 0;
    if (print) {
        (void)fputs("  ", f);
        print_clean(f, name);
        (void)fputs(": ", f);
        print_clean(f, *then ? then : "(empty)");
        (void)fputs(" -> ", f);
        print_clean(f, *now ? now : "(empty)");
        (void)fputc('\n', f);
    }
    return 1;
}

int jm_past_run_print_differences(FILE *f, const char *dir, const struct jm_past_run *past,
                                  int most)
{
    struct jm_build build = jm_machine_build();
    int n = print_pair(f, "joulemark_version", past->record.joulemark_version, build.version, true);
    n += print_pair(f, "commit", past->record.commit, build.commit, true);
    struct jm_machine *now = calloc(1, sizeof *now);
    cJSON *json = read_json(dir, "machine.json", NULL);
    if (!json || !now) {
        cJSON_Delete(json);
        free(now);
        return -1;
    }
    jm_machine_read("", now);
    for (size_t i = 0; i < now->n; i++) {
        const char *name = now->fact[i].name;
        const cJSON *then = cJSON_GetObjectItemCaseSensitive(json, name);
        n += print_pair(f, name, text_in(then, "value"), now->fact[i].value, n < most);
    }
    cJSON_Delete(json);
    free(now);
    return n;
}
