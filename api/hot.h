/* A mark for the functions that run in every frame of a game. A frame finds the caches full of the
 * game's own data, so what matters is how many pages and cache lines it touches: the compiler puts
 * the functions that bear this mark next to each other. */
#ifndef ZL_HOT_H
#define ZL_HOT_H

#if defined(__GNUC__)
#define ZL_HOT __attribute__((hot))
#else
#define ZL_HOT
#endif

#endif
