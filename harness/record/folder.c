/* SPDX-License-Identifier: Apache-2.0 */
/* See folder.h. */
#include "harness/record/folder.h"

#include <cjson/cJSON.h>
#include <csv.h>
#include <dirent.h>
#include <errno.h>
#include <hwloc.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/sha256.h"
#include "harness/system/machine.h"

static char *path_in(const char *dir, const char *name, jm_err *err)
{
    char *p = jm_asprintf("%s/%s", dir, name);
    if (!p)
        (void)jm_fail(err, JM_ENOMEM, "%s: no memory for a path", dir);
    return p;
}

static void write_time(FILE *f, int64_t t, int64_t start)
{
    if (t != 0)
        (void)fprintf(f, "%" PRId64, t - start);
    (void)fputc(',', f);
}

static jm_status write_samples(FILE *f, const struct jm_timing *timing, uint32_t n, int64_t start,
                               const struct jm_folder_source *src, jm_err *err)
{
    (void)fputs("id,index,lang,issue_ns,first_ns,done_ns,tokens_in,tokens_out,answer\n", f);
    for (uint32_t i = 0; i < n; i++) {
        const struct jm_timing *t = &timing[i];
        const char *lang = src->lang ? src->lang(src->user, t->index) : "", *text = "";
        if (src->answer && t->done_ns != 0) {
            jm_status st = src->answer(src->user, i, &text, err);
            if (st != JM_OK)
                return st;
        }
        (void)fprintf(f, "%" PRIu32 ",%" PRIu32 ",", i, t->index);
        (void)csv_fwrite(f, lang ? lang : "", lang ? strlen(lang) : 0);
        (void)fputc(',', f);
        write_time(f, t->issue_ns, start);
        write_time(f, t->first_ns, start);
        write_time(f, t->done_ns, start);
        (void)fprintf(f, "%" PRIu32 ",%" PRIu32 ",", t->tokens_in, t->tokens_out);
        (void)csv_fwrite(f, text, strlen(text));
        (void)fputc('\n', f);
    }
    return JM_OK;
}

jm_status jm_folder_samples(const char *dir, const struct jm_timing *timing, uint32_t n,
                            int64_t start_ns, const struct jm_folder_source *src, jm_err *err)
{
    jm_status st = jm_make_dirs(dir, err);
    if (st != JM_OK)
        return st;
    char *path = path_in(dir, "samples.csv", err);
    if (!path)
        return JM_ENOMEM;
    jm_writer w;
    st = jm_writer_open(path, &w, err);
    free(path);
    if (st != JM_OK)
        return st;
    st = write_samples(w.f, timing, n, start_ns, src, err);
    if (st == JM_OK)
        return jm_writer_commit(&w, err);
    jm_writer_abort(&w);
    return st;
}

/* Takes ownership of json, which may be NULL: out of memory. */
static jm_status write_json(const char *dir, const char *name, cJSON *json, jm_err *err)
{
    char *text = json ? cJSON_Print(json) : NULL;
    char *path = path_in(dir, name, err);
    jm_status st = JM_ENOMEM;
    if (text && path)
        st = jm_write_file(path, text, strlen(text), err);
    else
        (void)jm_fail(err, st, "%s/%s: no memory to write it", dir, name);
    free(path);
    cJSON_free(text);
    cJSON_Delete(json);
    return st;
}

static jm_status write_topology(const char *dir, jm_err *err)
{
    hwloc_topology_t topology;
    char *xml = NULL;
    int length = 0;
    if (hwloc_topology_init(&topology) != 0)
        return jm_fail(err, JM_ENOMEM, "%s/topology.xml: hwloc cannot start", dir);
    char *path = path_in(dir, "topology.xml", err);
    jm_status st = JM_ENOMEM;
    if (path) {
        if (hwloc_topology_load(topology) != 0 ||
            hwloc_topology_export_xmlbuffer(topology, &xml, &length, 0) != 0)
            st = jm_fail(err, JM_EIO, "%s: hwloc cannot read this machine's topology", path);
        else /* length counts the end */
            st = jm_write_file(path, xml, length > 0 ? (size_t)length - 1 : 0, err);
    }
    if (xml)
        hwloc_free_xmlbuffer(topology, xml);
    hwloc_topology_destroy(topology);
    free(path);
    return st;
}

jm_status jm_folder_machine(const char *dir, const char *root, jm_err *err)
{
    jm_status st = jm_make_dirs(dir, err);
    if (st != JM_OK)
        return st;
    struct jm_machine m;
    jm_machine_read(root, &m);
    cJSON *json = cJSON_CreateObject();
    for (size_t i = 0; i < m.n && json; i++) {
        cJSON *o = cJSON_AddObjectToObject(json, m.fact[i].name);
        (void)cJSON_AddStringToObject(o, "value", m.fact[i].value);
        if (!m.fact[i].known)
            (void)cJSON_AddStringToObject(o, "reason", m.fact[i].reason);
    }
    st = write_json(dir, "machine.json", json, err);
    return st == JM_OK ? write_topology(dir, err) : st;
}

static void add_settings(cJSON *json, const struct jm_run_config *config)
{
    size_t n;
    const struct jm_option *o = jm_options(&n);
    for (size_t i = 0; i < n; i++) {
        const char *src = (const char *)config + o[i].offset;
        char text[24];
        if (o[i].kind == JM_OPTION_TEXT) {
            (void)cJSON_AddStringToObject(json, o[i].name, src);
        } else if (o[i].kind == JM_OPTION_FLAG) {
            uint32_t yes;
            memcpy(&yes, src, sizeof yes);
            (void)cJSON_AddBoolToObject(json, o[i].name, yes != 0);
        } else if (o[i].kind == JM_OPTION_DOUBLE) {
            double v;
            memcpy(&v, src, sizeof v);
            (void)cJSON_AddNumberToObject(json, o[i].name, v);
        } else {
            uint64_t v = 0;
            uint32_t small = 0;
            memcpy(&small, src, sizeof small);
            if (o[i].kind == JM_OPTION_U64)
                memcpy(&v, src, sizeof v);
            else
                v = small;
            /* Raw digits: cJSON's doubles would round a 64-bit seed. */
            (void)snprintf(text, sizeof text, "%" PRIu64, v);
            (void)cJSON_AddRawToObject(json, o[i].name, text);
        }
    }
}

static const char *const names[] = { "samples.csv", "captions.csv", "peak.csv",    "power.csv",
                                     "energy.csv",  "machine.json", "topology.xml" };
enum { N_NAMES = sizeof names / sizeof names[0] };

void jm_folder_remove(const char *dir)
{
    char *answers = path_in(dir, "answers", NULL);
    if (answers)
        jm_remove_folder(answers);
    free(answers);
    for (size_t i = 0; i <= N_NAMES; i++) {
        char *path = path_in(dir, i < N_NAMES ? names[i] : "manifest.json", NULL);
        if (path)
            (void)unlink(path);
        free(path);
    }
    (void)rmdir(dir);
}

static jm_status add_file(cJSON *files, const char *dir, const char *name, jm_err *err)
{
    char hex[JM_SHA256_HEX];
    char *path = path_in(dir, name, err);
    if (!path)
        return JM_ENOMEM;
    jm_err e = { .status = JM_OK };
    jm_status st = jm_sha256_file(path, hex, &e);
    free(path);
    if (st == JM_ENOTFOUND) /* no meter, or an interrupted run */
        return JM_OK;
    if (st != JM_OK)
        return jm_fail(err, st, "%s", e.text);
    (void)cJSON_AddStringToObject(files, name, hex);
    return JM_OK;
}

/* Answers that are not text have a folder. */
static jm_status add_answers(cJSON *files, const char *dir, jm_err *err)
{
    struct dirent **entry = NULL;
    char *path = path_in(dir, "answers", err);
    if (!path)
        return JM_ENOMEM;
    int n = scandir(path, &entry, NULL, alphasort);
    jm_status st =
        n < 0 && errno != ENOENT ? jm_fail(err, JM_EIO, "%s: %s", path, strerror(errno)) : JM_OK;
    free(path);
    for (int i = 0; i < n; i++) {
        char name[sizeof "answers/" + sizeof entry[i]->d_name];
        (void)snprintf(name, sizeof name, "answers/%s", entry[i]->d_name);
        if (st == JM_OK && entry[i]->d_name[0] != '.')
            st = add_file(files, dir, name, err);
        free(entry[i]);
    }
    free(entry);
    return st;
}

static jm_status add_files(cJSON *files, const char *dir, jm_err *err)
{
    jm_status st = JM_OK;
    for (size_t i = 0; i < N_NAMES && st == JM_OK; i++)
        st = add_file(files, dir, names[i], err);
    return st == JM_OK ? add_answers(files, dir, err) : st;
}

jm_status jm_folder_manifest(const char *dir, const struct jm_record *record,
                             const struct jm_run_config *config, jm_err *err)
{
    jm_status st = jm_make_dirs(dir, err);
    if (st != JM_OK)
        return st;
    cJSON *json = cJSON_CreateObject();
    (void)cJSON_AddNumberToObject(json, "schema_version", JM_SCHEMA_VERSION);
    (void)cJSON_AddStringToObject(json, "run_id", record->run_id);
    (void)cJSON_AddStringToObject(json, "time_utc", record->time_utc);
    (void)cJSON_AddStringToObject(json, "joulemark_version", record->joulemark_version);
    (void)cJSON_AddStringToObject(json, "commit", record->commit);
    (void)cJSON_AddStringToObject(json, "status", record->status);
    (void)cJSON_AddStringToObject(json, "status_reason", record->status_reason);
    (void)cJSON_AddStringToObject(json, "model_sha256", record->model_sha256);
    (void)cJSON_AddStringToObject(json, "data_sha256", record->data_sha256);
    add_settings(cJSON_AddObjectToObject(json, "settings"), config);
    st = add_files(cJSON_AddObjectToObject(json, "files"), dir, err);
    if (st != JM_OK) {
        cJSON_Delete(json);
        return st;
    }
    return write_json(dir, "manifest.json", json, err);
}
