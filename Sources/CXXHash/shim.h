#include <xxhash.h>

// libxxhash for x86 also has entry points that choose the widest vectors at run time: two to three times as fast as the plain
// ones, with the same results. A build of the library may lack them, so they are looked up weakly.
//
// They return without clearing the upper halves of the vector registers, which slows all SSE code after them to less than
// half its speed; so that is done here. Whoever has them chose AVX2 or AVX-512 or, without AVX, has nothing to clear.
#if defined(__x86_64__)
extern XXH64_hash_t XXH3_64bits_dispatch(const void *data, size_t length) __attribute__((weak));
extern XXH128_hash_t XXH3_128bits_dispatch(const void *data, size_t length) __attribute__((weak));
extern XXH_errorcode XXH3_128bits_update_dispatch(XXH3_state_t *state, const void *data, size_t length)
    __attribute__((weak));

static inline void untangle_clear_upper_vector_halves(void) {
    if (__builtin_cpu_supports("avx")) __asm__ volatile("vzeroupper" ::: "memory");
}

static inline XXH64_hash_t untangle_XXH3_64bits(const void *data, size_t length) {
    if (!XXH3_64bits_dispatch) return XXH3_64bits(data, length);
    XXH64_hash_t hash = XXH3_64bits_dispatch(data, length);
    untangle_clear_upper_vector_halves();
    return hash;
}

static inline XXH128_hash_t untangle_XXH3_128bits(const void *data, size_t length) {
    if (!XXH3_128bits_dispatch) return XXH3_128bits(data, length);
    XXH128_hash_t hash = XXH3_128bits_dispatch(data, length);
    untangle_clear_upper_vector_halves();
    return hash;
}

static inline XXH_errorcode untangle_XXH3_128bits_update(XXH3_state_t *state, const void *data, size_t length) {
    if (!XXH3_128bits_update_dispatch) return XXH3_128bits_update(state, data, length);
    XXH_errorcode status = XXH3_128bits_update_dispatch(state, data, length);
    untangle_clear_upper_vector_halves();
    return status;
}
#else
static inline XXH64_hash_t untangle_XXH3_64bits(const void *data, size_t length) { return XXH3_64bits(data, length); }
static inline XXH128_hash_t untangle_XXH3_128bits(const void *data, size_t length) { return XXH3_128bits(data, length); }
static inline XXH_errorcode untangle_XXH3_128bits_update(XXH3_state_t *state, const void *data, size_t length) {
    return XXH3_128bits_update(state, data, length);
}
#endif
