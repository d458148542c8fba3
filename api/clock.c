#include "clock.h"

#include <sys/random.h>
#include <time.h>

#include "hot.h"

/* 53 random bits as a number in [0, 1). The kernel gives 8 bytes without fail once its pool is up;
 * before that, early in a boot, the nanoseconds are better than waiting. */
static double draw(void) {
    uint64_t bits;
    if (getrandom(&bits, sizeof bits, GRND_NONBLOCK) != (ssize_t)sizeof bits) {
        struct timespec mono = {0, 0};
        (void)clock_gettime(CLOCK_MONOTONIC, &mono);
        bits = (uint64_t)mono.tv_nsec * 0x9E3779B97F4A7C15u;
    }
    return (double)(bits >> 11) / 9007199254740992.0;
}

static int64_t to_ms(const struct timespec *time) {
    return (int64_t)time->tv_sec * 1000 + time->tv_nsec / 1000000;
}

void zl_clock_now(zl_moment *now) {
    struct timespec mono = {0, 0}, wall = {0, 0};
    (void)clock_gettime(CLOCK_MONOTONIC, &mono);
    (void)clock_gettime(CLOCK_REALTIME, &wall);
    *now = (zl_moment){.mono_ms = to_ms(&mono), .wall_s = (int64_t)wall.tv_sec, .draw = draw};
}

int64_t zl_clock_wall_ms(void) {
    struct timespec wall = {0, 0};
    (void)clock_gettime(CLOCK_REALTIME, &wall);
    return to_ms(&wall);
}

ZL_HOT int64_t zl_clock_mono_ms(void) {
    struct timespec mono = {0, 0};
    (void)clock_gettime(CLOCK_MONOTONIC, &mono);
    return to_ms(&mono);
}
