/* SPDX-License-Identifier: Apache-2.0 */
/* See gnuplot.h. */
#include "harness/plot/gnuplot.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

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

jm_status jm_plot_gnuplot(char *const argv[], const char *log, jm_err *err)
{
    pid_t pid;
    int status, e;
    char said[200];
    posix_spawn_file_actions_t actions;

    if (posix_spawn_file_actions_init(&actions) != 0)
        return jm_fail(err, JM_ENOMEM, "plot: out of memory");
    posix_spawn_file_actions_addopen(&actions, 2, log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    e = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (e == ENOENT)
        return jm_fail(err, JM_ENOTFOUND, "gnuplot is missing; install it (package gnuplot-nox)");
    if (e != 0)
        return jm_fail(err, JM_EIO, "gnuplot cannot be started: %s", strerror(e));
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return jm_fail(err, JM_EIO, "waiting for gnuplot: %s", strerror(errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return JM_OK;
    first_line(log, said, sizeof said);
    return jm_fail(err, JM_EIO, "gnuplot failed on %s: %s", argv[2], said);
}
