/* isa_avx2.c: AVX2 and FMA. */
#define CK_ISA avx2
#define CK_VECTOR_BYTES 32
#define CK_REGISTERS 16
#include "kernels.inc"
