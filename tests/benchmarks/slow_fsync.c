/* Makes each fsync of a program take FSYNC_DELAY_US longer, as on another disk. Preloaded, because a tracer would slow down
 * every other call of the program too. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

static int synced(const char *name, int file)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int result = real(file), error = errno;
    const char *delay = getenv("FSYNC_DELAY_US");
    long delay_us = delay ? atol(delay) : 0;
    struct timespec left = { delay_us / 1000000, delay_us % 1000000 * 1000 };
    while (nanosleep(&left, &left) == -1 && errno == EINTR)
        ;
    errno = error;
    return result;
}

int fsync(int file)
{
    return synced("fsync", file);
}

int fdatasync(int file)
{
    return synced("fdatasync", file);
}
