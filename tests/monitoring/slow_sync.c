/* A slow disk: every fdatasync takes 200 ms more. Loaded before the C library by tests/monitoring/check.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

int fdatasync(int file) {
    struct timespec slow = {0, 200 * 1000 * 1000};
    nanosleep(&slow, 0);
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(file);
}
