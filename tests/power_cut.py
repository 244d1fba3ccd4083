"""What a power cut leaves of a folder: what was synced, and nothing else that was written.

A library that the loader puts before libc hears of every fsync(2) and fdatasync(2) below a folder.
It keeps the file as it is at that moment, by inode, and notes which names are durable: that of the
file (as ext4 does for a file that is synced), or all names in a folder that is synced. `rebuilt`
makes a folder of that: a write, a rename or a removal that was not synced has not happened.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

_SOURCE = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void note(const char *line) {
    char log[PATH_MAX];
    snprintf(log, sizeof log, "%s/log", getenv("SYNCED_TO"));
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (out >= 0) { if (write(out, line, strlen(line)) < 0) {} close(out); }
}

static void keep(int fd, unsigned long inode) {
    char part[PATH_MAX], whole[PATH_MAX], same[64], buffer[65536];
    snprintf(part, sizeof part, "%s/.%lu.%ld", getenv("SYNCED_TO"), inode, syscall(SYS_gettid));
    snprintf(whole, sizeof whole, "%s/%lu", getenv("SYNCED_TO"), inode);
    snprintf(same, sizeof same, "/proc/self/fd/%d", fd);
    int in = open(same, O_RDONLY | O_CLOEXEC);
    int out = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t size;
    while (in >= 0 && out >= 0 && (size = read(in, buffer, sizeof buffer)) > 0)
        if (write(out, buffer, size) < 0) break;
    if (in >= 0) close(in);
    if (out >= 0) { close(out); rename(part, whole); }
}

static void synced(int fd) {
    const char *root = getenv("SYNCED_BELOW");
    char link[64], path[PATH_MAX], line[PATH_MAX * 2];
    struct stat found;
    if (!root || !getenv("SYNCED_TO")) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0 || fstat(fd, &found)) return;
    path[length] = 0;
    if (strncmp(path, root, strlen(root))) return;
    if (S_ISREG(found.st_mode)) {
        keep(fd, found.st_ino);
        snprintf(line, sizeof line, "F\t%s\t%lu\n", path, (unsigned long)found.st_ino);
        note(line);
    } else if (S_ISDIR(found.st_mode)) {
        DIR *folder = opendir(path);
        if (!folder) return;
        snprintf(line, sizeof line, "D\t%s\t0\n", path);
        note(line);
        for (struct dirent *entry; (entry = readdir(folder));)
            if (entry->d_type == DT_REG) {
                snprintf(line, sizeof line, "E\t%s/%s\t%lu\n", path, entry->d_name,
                         (unsigned long)entry->d_ino);
                note(line);
            }
        closedir(folder);
    }
}

#define WRAP(name) \
    int name(int fd) { \
        static int (*real)(int); \
        if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, #name); \
        int result = real(fd); \
        if (!result) synced(fd); \
        return result; \
    }
WRAP(fsync)
WRAP(fdatasync)
"""


def build(folder: Path) -> Path:
    """The library; takes a C compiler."""
    source, library = folder / "synced.c", folder / "synced.so"
    source.write_text(_SOURCE)
    command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True)
    return library


def rebuilt(synced: Path, below: Path, target: Path) -> None:
    """Make `target` of what was durable of `below`."""
    names: dict[str, str] = {}
    for line in (synced / "log").read_text().splitlines():
        kind, path, inode = line.split("\t")
        if kind == "D":
            names = {name: of for name, of in names.items() if str(Path(name).parent) != path}
        else:
            names[path] = inode
    target.mkdir()
    for name, inode in names.items():
        copy = target / Path(name).relative_to(below)
        copy.parent.mkdir(parents=True, exist_ok=True)
        content = synced / inode
        copy.write_bytes(content.read_bytes() if content.exists() else b"")
        copy.chmod(0o600)
