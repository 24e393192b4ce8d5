/* isa_baseline.c: SSE2, NEON or whatever 16-byte vectors compile to. */
#define CK_ISA baseline
#define CK_VECTOR_BYTES 16
#if defined(__aarch64__)
#define CK_REGISTERS 32
#else
#define CK_REGISTERS 16
#endif
#include "kernels.inc"
