/* The real clocks and the kernel's random numbers, for drivers. The core's rules never call this.
 */
#ifndef ZL_CLOCK_H
#define ZL_CLOCK_H

#include "retry.h"

/* The present moment, whose random numbers are getrandom(2)'s. */
void zl_clock_now(zl_moment *now);

/* UNIX time in ms. */
int64_t zl_clock_wall_ms(void);

/* Its mono_ms alone. */
int64_t zl_clock_mono_ms(void);

#endif
