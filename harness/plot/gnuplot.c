/* SPDX-License-Identifier: Apache-2.0 */
/* See gnuplot.h. */
#include "harness/plot/gnuplot.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"

extern char **environ;

static const char *const suffix[] = { ".svg", ".png" };

/* The first line of what gnuplot said, cut to fit. */
static void first_line(const char *path, char *out, size_t room)
{
    FILE *f = fopen(path, "r");
    out[0] = '\0';
    while (f && fgets(out, (int)room, f) && out[strspn(out, " \n")] == '\0')
        continue;
    out[strcspn(out, "\n")] = '\0';
    if (f)
        fclose(f);
}

/* Whether the process ended well. A signal to us alone is handed on. */
static bool ends_well(pid_t pid, const volatile sig_atomic_t *stop)
{
    int status;
    if (stop && *stop)
        (void)kill(pid, SIGTERM);
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return false;
        if (stop && *stop)
            (void)kill(pid, SIGTERM);
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static jm_status spawn(char *const argv[], const char *log, const volatile sig_atomic_t *stop,
                       jm_err *err)
{
    pid_t pid;
    char said[200];
    posix_spawn_file_actions_t actions;

    if (posix_spawn_file_actions_init(&actions) != 0)
        return jm_fail(err, JM_ENOMEM, "plot: out of memory");
    posix_spawn_file_actions_addopen(&actions, 2, log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    int e = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (e == ENOENT)
        return jm_fail(err, JM_ENOTFOUND, "gnuplot is missing; install it (package gnuplot-nox)");
    if (e != 0)
        return jm_fail(err, JM_EIO, "gnuplot cannot be started: %s", strerror(e));
    bool well = ends_well(pid, stop);
    if (stop && *stop) /* what gnuplot says of the same signal is no news */
        return jm_fail(err, JM_EINTERRUPTED, "interrupted while plots were drawn");
    if (well)
        return JM_OK;
    first_line(log, said, sizeof said);
    return jm_fail(err, JM_EIO, "gnuplot failed on %s: %s", argv[2], said);
}

/* Whether a picture ends as its kind does: gnuplot says nothing of a disk that is full. */
static bool is_whole(const char *path)
{
    static const char svg[] = "</svg>", png[] = "IEND\xae\x42\x60\x82";
    char end[16];
    FILE *f = fopen(path, "rb");
    size_t n = f && fseek(f, -(long)sizeof end, SEEK_END) == 0 ? fread(end, 1, sizeof end, f) : 0;
    if (f)
        (void)fclose(f);
    return n == sizeof end && (memmem(end, n, svg, sizeof svg - 1) ||
                               memcmp(end + n - (sizeof png - 1), png, sizeof png - 1) == 0);
}

/* Gives the two pictures their names, or removes what there is of them. */
static jm_status finish(jm_status st, const char *tmp, const char *out, jm_err *err)
{
    for (size_t i = 0; i < sizeof suffix / sizeof *suffix; i++) {
        char *from = jm_asprintf("%s%s", tmp, suffix[i]), *to = jm_asprintf("%s%s", out, suffix[i]);
        if (!from || !to)
            st = jm_fail(err, JM_ENOMEM, "plot: out of memory");
        else if (st == JM_OK && !is_whole(from))
            st = jm_fail(err, JM_EIO, "%s: not written whole; is the disk full?", to);
        else if (st == JM_OK && rename(from, to) != 0)
            st = jm_fail(err, JM_EIO, "%s: cannot write: %s", to, strerror(errno));
        if (from && st != JM_OK)
            (void)unlink(from);
        free(from);
        free(to);
    }
    return st;
}

jm_status jm_gnuplot_run(const struct jm_gnuplot *g, const volatile sig_atomic_t *stop, jm_err *err)
{
    char *script = jm_asprintf("%s/%s.gp", g->scripts, g->script);
    char *log = jm_asprintf("%s.log", g->data);
    char *tmp = jm_asprintf("%s.tmp-%ld", g->out, (long)getpid());
    char *argv[] = { "gnuplot",
                     "-c",
                     script,
                     (char *)g->data,
                     tmp,
                     (char *)g->heading,
                     (char *)g->caption,
                     (char *)g->scripts,
                     (char *)g->extra[0],
                     (char *)g->extra[1],
                     (char *)g->extra[2],
                     NULL };
    jm_status st = script && log && tmp ? spawn(argv, log, stop, err)
                                        : jm_fail(err, JM_ENOMEM, "plot: out of memory");
    if (tmp)
        st = finish(st, tmp, g->out, err);
    free(script);
    free(log);
    free(tmp);
    return st;
}
